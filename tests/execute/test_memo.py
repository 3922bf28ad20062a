"""What is kept from launch to launch changes no result and hides no fault."""

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import MemoryFault
from builder.execute import launches_on_cpu, memo, run, seams


@triton.jit
def scale(x_ptr, out_ptr, n, factor, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = place < n
    tl.store(out_ptr + place, tl.load(x_ptr + place, mask, other=0.0) * factor, mask)


@triton.jit
def tiles(x_ptr, out_ptr, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    for first in range(0, 64, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)[None, :]
        value = tl.load(x_ptr + rows * stride + columns)
        tl.store(out_ptr + rows * 64 + columns, value)


@triton.jit
def clash(out_ptr, value_ptr, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    value = tl.load(value_ptr + tl.program_id(0) * BLOCK + lanes)
    tl.store(out_ptr + lanes, value)


def test_other_data_and_other_integers_on_the_same_grid():
    memo.forget_memos()
    for n in (100, 128, 37, 100):
        x, out = torch.randn(128), torch.zeros(128)
        run(scale, 2, x, out, n, 3.0, BLOCK=64)
        assert torch.equal(out[:n], x[:n] * 3.0)
        assert not out[n:].any()


def test_rows_of_tiles_with_other_strides_and_starts():
    memo.forget_memos()
    for stride, start in ((64, 0), (80, 0), (64, 5), (64, 0)):
        storage = torch.randn(start + 32 * stride)
        x = storage[start:]
        out = torch.zeros(32, 64)
        run(tiles, 2, x, out, stride, ROWS=16, COLUMNS=16)
        assert torch.equal(out, x.as_strided((32, 64), (stride, 1)))


def test_a_smaller_tensor_is_still_out_of_bounds_after_a_larger_one():
    large, out = torch.randn(32, 64), torch.zeros(32, 64)
    run(tiles, 2, large, out, 64, ROWS=16, COLUMNS=16)
    with pytest.raises(MemoryFault) as caught:
        run(tiles, 2, torch.randn(31, 64), out, 64, ROWS=16, COLUMNS=16)
    assert caught.value.kind == "out_of_bounds"
    with pytest.raises(MemoryFault) as caught:
        run(scale, 2, torch.randn(128), torch.zeros(99), 100, 1.0, BLOCK=64)
    assert caught.value.kind == "out_of_bounds"


def test_unwritten_memory_is_still_found_after_written_memory():
    with launches_on_cpu():
        run(tiles, 2, torch.randn(32, 64), torch.empty(32, 64), 64, ROWS=16, COLUMNS=16)
        with pytest.raises(MemoryFault) as caught:
            run(tiles, 2, torch.empty(32, 64), torch.empty(32, 64), 64, ROWS=16, COLUMNS=16)
    assert caught.value.kind == "uninitialised_read"


def test_a_race_that_depends_on_values_is_found_in_a_later_launch():
    equal = torch.ones(64)
    run(clash, 2, torch.zeros(32), equal, BLOCK=32)
    with pytest.raises(MemoryFault) as caught:
        run(clash, 2, torch.zeros(32), torch.arange(64.0), BLOCK=32)
    assert caught.value.kind == "race"


def test_a_full_memo_keeps_no_more(monkeypatch):
    memo.forget_memos()
    monkeypatch.setattr(memo, "BYTES_A_MEMO", 4096)
    x, out = torch.randn(128), torch.zeros(128)
    for _ in range(2):
        run(scale, 2, x, out, 100, 2.0, BLOCK=64)
    assert torch.equal(out[:100], x[:100] * 2.0)
    assert all(kept.nbytes <= 4096 for kept in memo._memos.values())


@triton.jit
def told(out_ptr, n, C: tl.constexpr):
    kind: tl.constexpr = 1.0 if isinstance(C, float) else 2.0
    tl.store(out_ptr, kind)
    tl.store(out_ptr + 1, 1.0 / (C + 0.0 * n))
    tl.store(out_ptr + 2, n * 2.0)


def test_constants_that_are_equal_and_not_the_same():
    seen = set()
    for constant in (2, 2.0, 1, 1.0, True, 4.0, 4):
        for n in (1, 2, 16, 1 << 33):
            out = torch.zeros(3)
            binding = seams.bind(told, (out, n, constant), {})
            seen.add(binding.key)
            run(told, 1, out, n, constant)
            expected = [1.0 if isinstance(constant, float) else 2.0, 1 / constant, 2.0 * n]
            assert out.tolist() == expected
    assert len(seen) == 7 * 3  # whether n is divisible by 16 changes no TTIR
    assert seams.bind(told, (out, 2, -0.0), {}).key != seams.bind(told, (out, 2, 0.0), {}).key
    plain, divisible = (seams.bind(told, (out, n, 2), {}) for n in (3, 16))
    assert plain.key == divisible.key
    assert plain.attributes != divisible.attributes
    assert seams.bind(told, (out, 2, tl.float32), {}).key is None
