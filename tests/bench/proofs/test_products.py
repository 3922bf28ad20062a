"""Proofs that read products of matrices as sums of products of real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.proofs.equivalence import SAME_REALS, SAME_TERMS, proven_equivalent
from builder.bench.proofs.field import PRIME, field_matmul
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Gram(nn.Module):
    def forward(self, x, w):
        return (x * w).T @ x


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(40, 16), torch.rand(40, 1)]
"""
GRAM = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def gram_kernel(x_ptr, w_ptr, out_ptr, BLOCK: tl.constexpr):
    m = tl.arange(0, 16)
    acc = tl.zeros((16, 16), dtype=tl.float32)
    for start in range(0, 40, BLOCK):
        k = start + tl.arange(0, BLOCK)
        w = tl.load(w_ptr + k, mask=k < 40, other=0.0)
        left = tl.load(x_ptr + 16 * k[None, :] + m[:, None], mask=k[None, :] < 40, other=0.0)
        right = tl.load(x_ptr + 16 * k[:, None] + m[None, :], mask=k[:, None] < 40, other=0.0)
        acc += tl.dot(left * w[None, :], right, input_precision="ieee")
    tl.store(out_ptr + 16 * m[:, None] + m[None, :], acc)


class GramNew(nn.Module):
    def forward(self, x, w):
        out = torch.empty((16, 16), dtype=torch.float32, device=x.device)
        gram_kernel[(1,)](x, w, out, BLOCK=16)
        return out
"""
LEFT = "left * w[None, :], right"
RIGHT = "left, right * w[:, None]"


@pytest.fixture(scope="module")
def gram() -> Prepared:
    return prepare(PROGRAM, "Gram", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (LEFT, RIGHT, SAME_REALS),
        ("acc += tl.dot(left", "acc -= tl.dot(-left", SAME_REALS),
        ("BLOCK=16)", "BLOCK=32)", SAME_REALS),
        ("k = start +", "k = 32 - start +", SAME_REALS),
        ("m[None, :], acc)", "m[None, :], tl.trans(acc))", SAME_REALS),
        ("range(0, 40, BLOCK)", "range(0, 64, BLOCK)", SAME_TERMS),
        (LEFT, "left, right", None),
        (LEFT, f"{LEFT} * w[:, None]", None),
        (LEFT, "left * w[None, :], right * 1.0000001", None),
        (LEFT, "left * w[None, :] + right, right", None),
        ("range(0, 40, BLOCK)", "range(0, 32, BLOCK)", None),
        ("k = start +", "k = 33 - start +", None),
        ("acc += tl.dot(left", "acc = tl.dot(left", None),
        ('"ieee"', '"tf32"', None),
    ],
)
def test_proofs(gram: Prepared, old: str, new: str, proof: str | None) -> None:
    assert GRAM.count(old) == 1
    assert proven_equivalent(gram, GRAM, GRAM.replace(old, new)) == proof


def test_operands_that_are_rounded_first_are_other_operands(gram: Prepared) -> None:
    rounded = GRAM.replace('"ieee"', '"tf32"')
    turned = rounded.replace(
        "m[:, None] + m[None, :], acc", "m[:, None] + m[None, :], tl.trans(acc)"
    )
    assert proven_equivalent(gram, rounded, rounded.replace(LEFT, RIGHT)) is None
    even = rounded.replace(LEFT, "left, right"), turned.replace(LEFT, "left, right")
    assert proven_equivalent(gram, *even) == SAME_REALS


@pytest.mark.parametrize("inner", [5, 5000])
def test_products_in_the_field_are_those_of_integers(inner: int) -> None:
    generator = np.random.default_rng(0)
    sides = [
        generator.integers(0, int(PRIME), shape, dtype=np.uint64)
        for shape in ((2, 3, inner), (1, inner, 4))
    ]
    sides[0][0, 0], sides[1][0, :, 0] = PRIME - np.uint64(1), PRIME - np.uint64(1)
    left, right = (side.astype(object) for side in sides)
    assert np.array_equal(field_matmul(*sides).astype(object), (left @ right) % int(PRIME))


@pytest.mark.parametrize(("function", "proof"), [("exp", SAME_REALS), ("log", None)])
def test_nothing_times_what_may_be_no_number_is_not_left_out(
    gram: Prepared, function: str, proof: str | None
) -> None:
    texts = (
        GRAM.replace(LEFT, f"left * 0.0, {right}") for right in (f"tl.{function}(right)", "right")
    )
    assert proven_equivalent(gram, *texts) == proof


_ONE_BLOCK = GRAM.replace("< 40", "< 16").replace("range(0, 40", "range(0, 16")
_ADDED_TO = _ONE_BLOCK.replace("acc)", "acc + tl.load(x_ptr + 16 + m)[None, :])")


@pytest.mark.parametrize("factor", ["2.0", 'float("inf")'])
@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("range(0, 16,", "range(0, 32,", SAME_REALS),
        ("range(0, 16,", "range(0, 0,", None),
        ("x_ptr + 16 + m", "x_ptr + 32 + m", None),
        ("acc + tl.load", "acc - tl.load", None),
        ("mask=k[:, None] < 16, other=0.0", "mask=k[:, None] < 16, other=1.0", SAME_TERMS),
    ],
)
def test_a_sum_that_is_begun_with_may_be_added_later(
    gram: Prepared, factor: str, old: str, new: str, proof: str | None
) -> None:
    left = f"tl.where(k[None, :] < 16, left * {factor}, 0.0), right"
    text = _ADDED_TO.replace(LEFT, left)
    assert old in text
    assert proven_equivalent(gram, text, text.replace(old, new)) == proof
    more = text.replace("range(0, 16,", "range(0, 32,").replace("< 16", "< 17")
    assert proven_equivalent(gram, text, more) is None
