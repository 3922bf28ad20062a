"""Lanes that a masked load left undefined, in scaled products and mapped functions."""

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import MemoryFault
from builder.execute import run


@triton.jit
def scaled_rows(a, scale, b, out, m, kept, DEEP: tl.constexpr):
    i, k, j = tl.arange(0, 32), tl.arange(0, 64), tl.arange(0, 16)
    if DEEP:
        left = tl.load(a + i[:, None] * 32 + tl.arange(0, 32)[None, :], i[:, None] < m)
    else:
        rows = tl.arange(0, 16)
        left = tl.load(a + rows[:, None] * 64 + k[None, :], rows[:, None] < m // 2)
    factor = tl.load(scale + i[:, None] * 2 + tl.arange(0, 2)[None, :])
    right = tl.load(b + k[:, None] * 16 + j[None, :])
    result = tl.dot_scaled(left, factor, "e2m1", right, None, "bf16", lhs_k_pack=DEEP)
    tl.store(out + i[:, None] * 16 + j[None, :], result, i[:, None] < kept)


@pytest.mark.parametrize("deep", [False, True])
def test_rows_of_scaled_products(deep):
    """Only the rows that were not loaded are undefined."""
    a, scale = torch.zeros(32, 32, dtype=torch.uint8), torch.full((32, 2), 127, dtype=torch.uint8)
    b, out = torch.ones(64, 16).bfloat16(), torch.full((32, 16), 7.0)
    run(scaled_rows, (1,), a, scale, b, out, 10, 10, DEEP=deep)
    assert torch.equal(out, torch.where(torch.arange(32)[:, None] < 10, 0.0, 7.0).expand(32, 16))
    with pytest.raises(MemoryFault, match="undefined") as caught:
        run(scaled_rows, (1,), a, scale, b, out, 10, 11, DEEP=deep)
    assert caught.value.kind == "poison"


@triton.jit
def negated(value):
    return -value


@triton.jit
def swapped(first, second):
    return second, first


@triton.jit
def mapped_part(x, out, n, kept, PACK: tl.constexpr):
    lane = tl.arange(0, 16)
    value = tl.load(x + lane, lane < n)
    if PACK == 1:
        result = tl.map_elementwise(negated, value)
    else:
        result = tl.map_elementwise(swapped, value, pack=2)[0]
    tl.store(out + lane, result, lane < kept)


@pytest.mark.parametrize(("pack", "defined"), [(1, 5), (2, 4)])
def test_elements_of_mapped_functions(pack, defined):
    """With two elements a call, an undefined one spoils its neighbour."""
    x, out = torch.arange(16.0), torch.zeros(16)
    run(mapped_part, (1,), x, out, 5, defined, PACK=pack)
    expected = -x if pack == 1 else x.reshape(8, 2).flip(1).reshape(-1)
    assert torch.equal(out[:defined], expected[:defined])
    with pytest.raises(MemoryFault) as caught:
        run(mapped_part, (1,), x, out, 5, defined + 1, PACK=pack)
    assert caught.value.kind == "poison"
