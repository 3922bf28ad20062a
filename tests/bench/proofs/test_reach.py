"""Proofs that a vector over its norm is at most one, and near misses."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn
from torch.nn import functional as F


class Directions(nn.Module):
    def forward(self, x):
        return F.softplus(F.normalize(x, dim=-1))


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 10)]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def direction_kernel(x_ptr, out_ptr, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    inside = (row < 6) & (col < 10)
    x = tl.load(x_ptr + row * 10 + col, inside, other=0.0)
    total = tl.sum(tl.where(inside, x * x, 0), 1)[:, None]
    y = x / maximum(tl.sqrt_rn(total), 1e-12)
    lower = libdevice.log1p(libdevice.exp(y))
    tl.store(out_ptr + row * 10 + col, tl.where(y > 20.0, y, lower), inside)


class DirectionsNew(nn.Module):
    def forward(self, x):
        out = torch.empty((6, 10), dtype=torch.float32, device=x.device)
        direction_kernel[(2,)](x, out, ROWS=4, COLS=16)
        return out
"""
NEVER = ("y > 20.0, y", "(y > 20.0) != (y > 20.0), y")
ROOT = "maximum(tl.sqrt_rn(total), 1e-12)"
SQUARES = "tl.where(inside, x * x, 0)"


@pytest.fixture(scope="module")
def directions() -> Prepared:
    return prepare(PROGRAM, "Directions", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (*NEVER, FINITE_TERMS),
        ("tl.where(y > 20.0, y, lower)", "lower", FINITE_TERMS),
        ("y > 20.0, y", "y > 2.0, y", FINITE_TERMS),
        ("y > 20.0, y", "y < -2.0, y", FINITE_TERMS),
        ("y > 20.0", "y > 0.5", None),
        ("y > 20.0", "y > 1.0", None),
        ("y > 20.0", "y > -2.0", None),
        ("y > 20.0", "y < 2.0", None),
        ("y > 20.0", "y < -0.5", None),
    ],
)
def test_a_vector_over_its_norm_is_at_most_one(
    directions: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert old in TEXT
    assert proven_equivalent(directions, TEXT, TEXT.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new", "bound", "proof"),
    [
        (ROOT, "maximum(tl.sqrt(total), 1e-8)", 2.0, FINITE_TERMS),
        (ROOT, "tl.sqrt_rn(total + 1e-6)", 2.0, FINITE_TERMS),
        (ROOT, "(tl.sqrt_rn(total) + 1e-6)", 2.0, FINITE_TERMS),
        (ROOT, "tl.sqrt_rn(total * 0.25 + 1e-6)", 3.0, FINITE_TERMS),
        (SQUARES, "tl.where(inside, tl.abs(x), 0)", 20.0, None),  # which is no square
        # x / 4 bounds x by four times as much
        (ROOT, "tl.sqrt_rn(total * 0.0625 + 1e-6)", 3.0, None),
        # what may be nothing divides, or next to it, for squares underflow
        (ROOT, "tl.sqrt_rn(total)", 20.0, None),
        (ROOT, "maximum(tl.sqrt_rn(total), 1e-18)", 20.0, None),
        (ROOT, "maximum(tl.sqrt_rn(total * 1e-20), 1e-12)", 20.0, None),
        # a sum of other numbers, of some, or of what may be below zero
        (SQUARES, "tl.where(inside & (col > 0), x * x, 0)", 20.0, None),
        (SQUARES, "tl.where(inside, (x + 1.0) * (x + 1.0), 0)", 20.0, None),
        (SQUARES, "tl.where(inside, x * x - 1.0, 0)", 20.0, None),
        (SQUARES, "tl.where(inside, x * x, 0) + tl.where(col == 0, -1.0, 0.0)", 20.0, None),
        (SQUARES, "tl.where(inside, x * x, float('-inf'))", 20.0, None),
        ("tl.sum(tl.where(inside, x * x, 0), 1)[:, None]", "x * x - 1.0", 20.0, None),
        # another value over it
        ("y = x /", "y = (x + 1.0) /", 20.0, None),
        ("y = x /", "y = x * 30.0 /", 20.0, None),
        ("maximum(tl.sqrt_rn(total), 1e-12)", "tl.minimum(tl.sqrt_rn(total), 1.0)", 20.0, None),
    ],
)
def test_what_a_divisor_bounds(
    directions: Prepared, old: str, new: str, bound: float, proof: str | None
) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new).replace("20.0", str(bound))
    mutant = text.replace(f"tl.where(y > {bound}, y, lower)", "lower")
    assert mutant != text
    assert proven_equivalent(directions, text, mutant) == proof


@pytest.mark.parametrize(
    ("divisor", "bound", "proof"),
    [("maximum(total, 1e-9)", 2.0, FINITE_TERMS), ("maximum(total, 1e-14)", 2.0, None)],
)
def test_a_sum_of_sizes_bounds_as_well(
    directions: Prepared, divisor: str, bound: float, proof: str | None
) -> None:
    text = TEXT.replace(SQUARES, "tl.where(inside, tl.abs(x), 0)").replace(ROOT, divisor)
    text = text.replace("20.0", str(bound))
    mutant = text.replace(f"tl.where(y > {bound}, y, lower)", "lower")
    assert proven_equivalent(directions, text, mutant) == proof


def test_a_maximum_that_forgets_nan_bounds_only_what_is_none(directions: Prepared) -> None:
    hidden = "tl.where(inside & (col == 3), float('-inf'), {})"
    masked = f"x = {hidden.format('x')} - {hidden.format('0.0')}\n"
    text = TEXT.replace("    total = ", f"    {masked}    total = ")
    mutant = text.replace(*NEVER)
    assert proven_equivalent(directions, text, mutant) == FINITE_TERMS
    text, mutant = (t.replace(ROOT, "tl.maximum(tl.sqrt_rn(total), 1e-12)") for t in (text, mutant))
    assert proven_equivalent(directions, text, mutant) is None
