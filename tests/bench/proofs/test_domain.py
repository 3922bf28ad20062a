"""Proofs from what a program declares: bounds of its integers, and constants without data."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_REALS, SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Rows(nn.Module):
    def forward(self, table, index, mask):
        return table[index] * 0.5 + mask.to(torch.float32)[:, None]


def get_init_inputs():
    return []


def get_inputs():
    index = torch.randint(0, 12, (10,))
    return [torch.randn(12, 16), index, torch.randint(2, 5, (10,)).flip(0).to(torch.int32)]
"""
ROWS = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def rows_kernel(table, index, mask, out, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.load(index + row)
    place = tl.where(place < 0, place + 12, place)
    shift = tl.load(mask + row).to(tl.float32)
    cols = tl.arange(0, BLOCK)
    weight = (row * 0 + 1).to(tl.float32) / 2.0
    x = tl.load(table + place * 16 + cols)
    tl.store(out + row * 16 + cols, x * weight + shift)


class RowsNew(nn.Module):
    def forward(self, table, index, mask):
        out = torch.empty((10, 16), dtype=torch.float32, device=table.device)
        rows_kernel[(10,)](table, index, mask, out, BLOCK=16)
        return out
"""


@pytest.fixture(scope="module")
def rows() -> Prepared:
    return prepare(PROGRAM, "Rows", draws=2)


def test_bounds_follow_from_how_inputs_are_made(rows: Prepared) -> None:
    assert rows.declared_bounds(0) == {"input 1": (0, 11), "input 2": (2, 4)}


def test_a_tensor_written_in_place_has_no_bounds() -> None:
    text = PROGRAM.replace("(10,))\n", "(10,))\n    index[0] = -1\n", 1)
    assert "input 1" not in prepare(text, "Rows", draws=1).declared_bounds(0)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        # no index is negative
        ("place + 12", "place + 13", SAME_TERMS),
        ("place < 0", "place < -5", SAME_TERMS),
        ("place < 0, place + 12, place", "place == 99, place * 2, place", SAME_TERMS),
        # but some are 0, and some are 11
        ("place < 0", "place < 1", None),
        ("place < 0", "place > 10", None),
        # constants that no data reach
        (
            "(row * 0 + 1).to(tl.float32) / 2.0",
            "tl.floor((row // 100 + 1).to(tl.float32) * 1.5) * 0.5",
            SAME_TERMS,
        ),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "(row // 100 + 1) * 0.5", SAME_TERMS),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "0.5000001", None),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "(row + 1).to(tl.float32) / 2.0", None),
    ],
)
def test_proofs(rows: Prepared, old: str, new: str, proof: str | None) -> None:
    assert old in ROWS
    assert proven_equivalent(rows, ROWS, ROWS.replace(old, new)) == proof


def test_a_table_without_a_range_proves_nothing() -> None:
    text = PROGRAM.replace("index = torch.randint(0, 12, (10,))", "index = torch.randn(10).long()")
    prepared = prepare(text, "Rows", draws=1)
    assert proven_equivalent(prepared, ROWS, ROWS.replace("place + 12", "place + 13")) is None


PEAK_PROGRAM = """
import torch
from torch import nn


class Peak(nn.Module):
    def forward(self, x, slope):
        peak = x.logsumexp(1, keepdim=True)
        return torch.where(x > 0, x, x * slope) + peak


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 10), torch.randn(10)]
"""
PEAK = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def peak_kernel(x_ptr, slope_ptr, out_ptr, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    inside = (row < 6) & (col < 10)
    x = tl.load(x_ptr + row * 10 + col, inside, other=0.0)
    slope = tl.load(slope_ptr + col, col < 10, other=0.0)
    top = tl.reduce(tl.where(inside, x, float("-inf")), 1, maximum)[:, None]
    shift = tl.where(tl.abs(top) == float("inf"), 0.0, top)
    total = tl.sum(tl.where(inside, tl.exp(x - shift), 0.0), 1)[:, None]
    leaky = tl.where(x > 0, x, x * slope)
    nothing = (x - x) * total
    tl.store(out_ptr + row * 10 + col, leaky + tl.log(total) + shift + nothing, inside)


class PeakNew(nn.Module):
    def forward(self, x, slope):
        out = torch.empty((6, 10), dtype=torch.float32, device=x.device)
        peak_kernel[(2,)](x, slope, out, ROWS=4, COLS=16)
        return out
"""


@pytest.fixture(scope="module")
def peak() -> Prepared:
    return prepare(PEAK_PROGRAM, "Peak", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        # a maximum over a row and its padding is finite, though rows beyond the last are not
        ('float("inf"), 0.0, top', 'float("inf"), 1.0, top', FINITE_TERMS),
        ("tl.abs(top) ==", "tl.abs(x - x) ==", FINITE_TERMS),
        # nor does it count, of real numbers, what is taken from a row and added again
        ("tl.abs(top) ==", "tl.abs(top) !=", SAME_REALS),
        ("tl.log(total) + shift", "tl.log(total)", None),
        # at zero, both sides are zero
        ("x > 0, x, x * slope", "x >= 0, x, x * slope", FINITE_TERMS),
        ("x > 0, x, x * slope", "x >= 0, x, slope", None),
        ("x > 0, x, x * slope", "x > 1, x, x * slope", None),
        # nothing is left of a number without itself
        ("(x - x) * total", "(x - x) * top", FINITE_TERMS),
        ("(x - x) * total", "(x - slope) * total", None),
    ],
)
def test_proofs_for_finite_numbers(peak: Prepared, old: str, new: str, proof: str | None) -> None:
    assert old in PEAK
    assert proven_equivalent(peak, PEAK, PEAK.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("new", "is_proven"),
    [
        ("x * x < -1.0", True),
        ("-3.0 >= x * x", True),
        ("tl.abs(x) < 0.0", True),
        ("x * x <= 0.0", False),
        ("x * x < 0.5", False),
        ("x < -1.0", False),
        ("x * slope < 0.0", False),
    ],
)
def test_a_square_is_never_below_zero(peak: Prepared, new: str, is_proven: bool) -> None:
    square = PEAK.replace("(x - x) * total", "tl.where(x * x < 0.0, 7.0, 0.0)")
    proof = proven_equivalent(peak, square, square.replace("x * x < 0.0", new))
    assert (proof is not None) is is_proven


def test_a_constant_slope_needs_no_such_assumption(peak: Prepared) -> None:
    fixed = PEAK.replace("x * slope)", "x * 0.1 + 0.0 * slope)")
    constant = PEAK.replace("x > 0, x, x * slope", "x > 0, x, x * 0.1")
    loose = constant.replace("x > 0", "x >= 0")
    assert proven_equivalent(peak, constant, loose) == SAME_TERMS
    assert proven_equivalent(peak, constant, fixed) == FINITE_TERMS


SOFTPLUS_PROGRAM = """
import torch
from torch import nn


class Softplus(nn.Module):
    def forward(self, x, mask):
        return nn.functional.softplus(x), mask.float().sum()


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(40), torch.rand(40) < 0.5]
"""
SOFTPLUS = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def softplus_kernel(x_ptr, mask_ptr, out_ptr, count_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, i < n, other=0.0)
    tl.store(out_ptr + i, tl.where(x > 20.0, x, libdevice.log1p(libdevice.exp(x))), i < n)
    mask = tl.load(mask_ptr + i, i < n, other=0).to(tl.int1)
    tl.store(count_ptr, tl.sum(tl.where(i < n, mask.to(tl.float32), 0.0), 0))


class SoftplusNew(nn.Module):
    def forward(self, x, mask):
        out = torch.empty_like(x)
        count = torch.empty((), dtype=torch.float32, device=x.device)
        softplus_kernel[(1,)](x, mask, out, count, 40, BLOCK=64)
        return out, count
"""


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("x > 20.0", "x >= 20.0", SAME_TERMS),
        ("x > 20.0", "x >= 21.0", SAME_TERMS),
        ("x > 20.0", "x > 16.0", None),
        ("x > 20.0", "x > 89.0", None),
        ("x > 20.0, x,", "x >= 20.0, x + x,", None),
        # what a masked load leaves is zero, as an integer and as a float
        ("tl.where(i < n, mask.to(tl.float32), 0.0)", "mask.to(tl.float32)", SAME_TERMS),
        ("other=0).to(tl.int1)", "other=1).to(tl.int1)", SAME_TERMS),
        ("tl.where(i < n, mask.to(tl.float32), 0.0)",
         "tl.where(i <= n, mask.to(tl.float32), 1.0)", None),
    ],
)  # fmt: skip
def test_the_cut_off_of_a_softplus_and_masked_integers(
    old: str, new: str, proof: str | None
) -> None:
    assert old in SOFTPLUS
    prepared = prepare(SOFTPLUS_PROGRAM, "Softplus", draws=1)
    assert proven_equivalent(prepared, SOFTPLUS, SOFTPLUS.replace(old, new)) == proof


MISH_PROGRAM = """
import torch
from torch import nn


class Mish(nn.Module):
    def forward(self, x, y):
        return nn.functional.mish(x) / y.abs().clamp(min=1e-3)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(40), torch.randn(40)]
"""
MISH = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def mish_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, i < n, other=0.0)
    y = tl.load(y_ptr + i, i < n, other=0.0)
    curve = tl.where(x > 20.0, x, libdevice.log1p(libdevice.exp(x)))
    found = x * libdevice.tanh(curve) / maximum(tl.abs(y), 1e-3)
    padding = tl.sum(tl.where(i < n, 0.0, tl.where(i < n, x, 0.0) / maximum(tl.abs(y), 1e-3)), 0)
    tl.store(out_ptr + i, found + padding, i < n)


class MishNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        mish_kernel[(1,)](x, y, out, 40, BLOCK=64)
        return out
"""


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("x > 20.0", "x > 40.0", SAME_TERMS),
        ("x > 20.0", "x >= 21.25", SAME_TERMS),
        ("tl.where(x > 20.0, x, libdevice.log1p(libdevice.exp(x)))",
         "libdevice.log1p(libdevice.exp(x))", SAME_TERMS),
        ("x > 20.0", "x > 9.0", None),
        ("x > 20.0", "x < 20.0", None),
        ("x > 20.0", "(x > 20.0) != (x > 20.0)", SAME_TERMS),
        ("libdevice.tanh(curve)", "libdevice.tanh(x)", None),
        # nothing over what cannot be nothing
        ("tl.where(i < n, 0.0, tl.where(i < n, x, 0.0) / maximum(tl.abs(y), 1e-3))",
         "tl.where(i < n, 0.0, 0.0)", FINITE_TERMS),
        ("tl.where(i < n, x, 0.0) / maximum(tl.abs(y), 1e-3)",
         "tl.where(i < n, x, 0.0) / tl.abs(y)", None),
    ],
)  # fmt: skip
def test_saturated_and_empty_quotients(old: str, new: str, proof: str | None) -> None:
    assert old in MISH
    prepared = prepare(MISH_PROGRAM, "Mish", draws=1)
    assert proven_equivalent(prepared, MISH, MISH.replace(old, new)) == proof


def test_an_infinity_that_data_chooses_is_not_taken_for_padding(peak: Prepared) -> None:
    """A row may be masked as a whole, and then its maximum is infinite."""
    masked = PEAK.replace("tl.where(inside, x, float", "tl.where(inside & (slope > 0), x, float")
    guarded = masked.replace("0.0, top)", "1.0, top)")
    assert masked != guarded
    assert proven_equivalent(peak, masked, guarded) is None


def test_an_infinity_turned_round_is_one(peak: Prepared) -> None:
    text = PEAK.replace("tl.where(inside, x, float", "-tl.where(inside, x, float")
    other = text.replace("0.0, top)", "1.0, top)")
    assert proven_equivalent(peak, text, other) is None


@pytest.mark.parametrize(
    "made",
    [
        "torch.randint(0, 12, (20,), dtype=torch.uint8).view(torch.int8)[:10].long()",
        "torch.sub(torch.randint(0, 12, (10,)), 3, out=torch.zeros(10, dtype=torch.int64))",
    ],
)
def test_bits_read_otherwise_and_results_written_have_no_bounds(made: str) -> None:
    text = PROGRAM.replace("torch.randint(0, 12, (10,))\n", f"{made}\n")
    assert made in text
    text = text.replace("table[index]", "table[index % 12]")
    assert "input 1" not in prepare(text, "Rows", draws=1).declared_bounds(0)
