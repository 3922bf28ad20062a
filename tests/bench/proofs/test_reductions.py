"""Proofs about maxima, reductions of several results and conversions, each tried both ways."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.proofs.equivalence import (
    FINITE_TERMS,
    SAME_REALS,
    SAME_TERMS,
    proven_equivalent,
)
from builder.bench.proofs.sets import set_words, united, united_along
from builder.bench.proofs.terms import Term, float_constant, mixed
from builder.execute.ir import Type
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Extremes(nn.Module):
    def forward(self, x, y):
        wide = x.float() * y
        return wide.amax(1), (wide > 1.0).any(1), wide.argmin(1), x.float() + 1.0


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 32).to(torch.bfloat16), torch.randn(6, 32)]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def either(a, b):
    return a | b


@triton.jit
def smaller_first(a, a_index, b, b_index):
    tie = (a == b) | ((a != a) & (b != b))
    takes = (a < b) | ((a != a) & (b == b)) | (tie & (a_index < b_index))
    return tl.where(takes, a, b), tl.where(takes, a_index, b_index)


@triton.jit
def mean_join(mean_a, count_a, mean_b, count_b):
    count = count_a + count_b
    return mean_a + (mean_b - mean_a) * count_b / count, count


@triton.jit
def extremes_kernel(x_ptr, y_ptr, max_ptr, any_ptr, arg_ptr, wide_ptr, R0_BLOCK: tl.constexpr):
    r0_numel = 32
    row = tl.program_id(0)
    r0_base = tl.arange(0, R0_BLOCK)
    largest = tl.full([R0_BLOCK], float('-inf'), tl.float32)
    nans = tl.full([R0_BLOCK], False, tl.int1)
    for r0_offset in tl.range(0, r0_numel, R0_BLOCK):
        r0_index = r0_offset + r0_base
        mask = r0_index < r0_numel
        x = tl.load(x_ptr + 32 * row + r0_index, mask, other=0.0).to(tl.float32)
        y = tl.load(y_ptr + 32 * row + r0_index, mask, other=0.0)
        z = x * y
        largest = tl.where(mask, maximum(largest, z), largest)
        nans = tl.where(mask, nans | (z > 1.0), nans)
        tl.store(wide_ptr + 32 * row + r0_index, x + 1.0, mask)
    tl.store(max_ptr + row, tl.reduce(largest, 0, maximum))
    tl.store(any_ptr + row, tl.reduce(nans.to(tl.int8), 0, either) != 0)
    lanes = tl.arange(0, 32)
    xs = tl.load(x_ptr + 32 * row + lanes).to(tl.float32)
    value, index = tl.reduce((xs * tl.load(y_ptr + 32 * row + lanes), lanes), 0, smaller_first)
    tl.store(arg_ptr + row, index.to(tl.int64))


class ExtremesNew(nn.Module):
    def forward(self, x, y):
        largest = torch.empty(6, dtype=torch.float32, device=x.device)
        nans = torch.empty(6, dtype=torch.bool, device=x.device)
        places = torch.empty(6, dtype=torch.int64, device=x.device)
        wide = torch.empty((6, 32), dtype=torch.float32, device=x.device)
        extremes_kernel[(6,)](x, y, largest, nans, places, wide, R0_BLOCK=8)
        return largest, nans, places, wide
"""
STEP = "tl.range(0, r0_numel, R0_BLOCK)"
KEPT = "propagate_nan=tl.PropagateNan.ALL"
TIE = "a_index < b_index"
WIDE = "x + 1.0, mask"

SAME = [
    # elements read twice, from either end; another block size
    (STEP, "tl.range(0, r0_numel, R0_BLOCK // 2)"),
    ("r0_index = r0_offset + r0_base", "r0_index = r0_numel - R0_BLOCK - r0_offset + r0_base"),
    ("R0_BLOCK=8", "R0_BLOCK=16"),
    ("maximum(largest, z)", "maximum(z, maximum(largest, z))"),
    ("nans | (z > 1.0)", "(z > 1.0) | nans | nans"),
    # places of different elements differ
    (TIE, "a_index <= b_index"),
    (TIE, "a_index < b_index + 1"),
    (TIE, "(a_index < b_index) | (a_index == b_index)"),
    # a bfloat16 is one in float32 too
    (WIDE, "tl.where(mask, x, x).to(tl.bfloat16).to(tl.float32) + 1.0 + -0.0, mask"),
]
DIFFERENT = [
    (STEP, "tl.range(0, r0_numel - R0_BLOCK, R0_BLOCK)"),
    (STEP, "tl.range(R0_BLOCK, r0_numel, R0_BLOCK)"),
    ("maximum(largest, z)", "maximum(largest, largest)"),
    ("maximum(largest, z)", "tl.maximum(largest, z)"),
    ("R0_BLOCK], float('-inf')", "R0_BLOCK], 0.0"),
    ("nans | (z > 1.0)", "nans & (z > 1.0)"),
    ("R0_BLOCK], False", "R0_BLOCK], True"),
    ("return a | b", "return a | a"),
    ("return a | b", "return a ^ b"),
    (TIE, "a_index > b_index"),
    (TIE, "a_index < b_index + 2"),
    (TIE, "a_index != b_index"),
    (WIDE, "(x * 0.0 - 0.0), mask"),
]


ROUNDED = [
    "x.to(tl.float16).to(tl.float32) + 1.0, mask",
    "(x + 1.0).to(tl.bfloat16).to(tl.float32), mask",
]


@pytest.fixture(scope="module")
def extremes() -> Prepared:
    return prepare(PROGRAM, "Extremes", draws=1)


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, text.count(old)
    return text.replace(old, new)


@pytest.mark.parametrize(("old", "new"), SAME, ids=[case[1] for case in SAME])
def test_proves_what_is_the_same(extremes: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(extremes, TEXT, changed(TEXT, old, new)) == SAME_TERMS


@pytest.mark.parametrize("new", ROUNDED)
def test_a_rounding_is_nothing_in_real_numbers_alone(extremes: Prepared, new: str) -> None:
    assert proven_equivalent(extremes, TEXT, changed(TEXT, WIDE, new)) == SAME_REALS


@pytest.mark.parametrize(("old", "new"), DIFFERENT, ids=[case[1] for case in DIFFERENT])
def test_refuses_what_differs(extremes: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(extremes, TEXT, changed(TEXT, old, new)) is None


def test_a_maximum_that_ignores_nan_is_a_set_too(extremes: Prepared) -> None:
    text = changed(TEXT, f", {KEPT}", "")
    twice = changed(text, STEP, "tl.range(0, r0_numel, R0_BLOCK // 2)")
    assert proven_equivalent(extremes, text, twice) == SAME_TERMS
    assert proven_equivalent(extremes, TEXT, text) is None


def test_an_infinity_counts_for_a_maximum_that_ignores_nan(extremes: Prepared) -> None:
    """The maximum of minus infinity and NaN is minus infinity, and that of NaN alone is NaN."""
    text = changed(TEXT, f", {KEPT}", "")
    bare = "tl.store(max_ptr + row, tl.reduce(largest, 0, maximum))"
    alone = changed(text, "maximum(largest, z)", "tl.where(r0_offset == 0, z, maximum(largest, z))")
    assert bare in alone
    assert proven_equivalent(extremes, text, alone) == FINITE_TERMS
    kept = changed(TEXT, "maximum(largest, z)", "tl.where(r0_offset == 0, z, maximum(largest, z))")
    assert proven_equivalent(extremes, TEXT, kept) == SAME_TERMS


def test_of_equal_values_at_equal_places_either_will_do(extremes: Prepared) -> None:
    text = changed(TEXT, "lanes), 0, smaller", "lanes // 2), 0, smaller")
    assert proven_equivalent(extremes, text, changed(text, TIE, "a_index <= b_index")) == SAME_TERMS
    assert proven_equivalent(extremes, text, changed(text, TIE, "a_index >= b_index")) is None
    assert proven_equivalent(extremes, text, changed(text, TIE, "a_index < b_index + 1")) is None


def test_places_that_are_computed_on_are_not_told_apart(extremes: Prepared) -> None:
    text = changed(TEXT, "tl.where(takes, a_index, b_index)", "tl.where(takes, a_index, b_index)^1")
    assert proven_equivalent(extremes, text, changed(text, TIE, "a_index < b_index + 1")) is None


def counted(last: str, row: str = "row") -> str:
    """A text that joins means and counts of a row and stores the count, or the mean."""
    call = "tl.reduce((xs, tl.full([32], 1.0, tl.float32)), 0, mean_join)"
    loads = f"xs = tl.load(x_ptr + 32 * {row} + lanes).to(tl.float32)"
    text = changed(TEXT, "xs = tl.load(x_ptr + 32 * row + lanes).to(tl.float32)", loads)
    text = changed(text, "tl.load(y_ptr + 32 * row + lanes), lanes)", "1.0, lanes)")
    stored = "tl.store(arg_ptr + row, index.to(tl.int64))"
    return changed(text, stored, f"mean, count = {call}\n    tl.store(max_ptr + row, {last})")


def test_a_count_is_reduced_by_itself(extremes: Prepared) -> None:
    assert proven_equivalent(extremes, counted("count"), counted("count", "0")) == SAME_TERMS
    assert proven_equivalent(extremes, counted("mean"), counted("mean", "0")) is None
    joined = changed(counted("count"), "count_a + count_b", "count_a + count_a")
    assert proven_equivalent(extremes, counted("count"), joined) is None


def test_a_zero_under_an_infinity_that_data_chooses_is_no_zero(extremes: Prepared) -> None:
    """``max(0, -inf)`` is 0, so that zero cannot be left out where data may choose the infinity."""
    size = "tl.where(x > 0, tl.abs(z), float('-inf'))"
    text = changed(TEXT, "maximum(largest, z)", f"maximum(largest, {size})")
    more = changed(TEXT, "maximum(largest, z)", f"maximum(maximum(largest, {size}), 0.0)")
    assert proven_equivalent(extremes, text, more) is None
    sizes = changed(TEXT, "maximum(largest, z)", "maximum(largest, tl.abs(z))")
    more = changed(TEXT, "maximum(largest, z)", "maximum(maximum(largest, tl.abs(z)), 0.0)")
    assert proven_equivalent(extremes, sizes, more) == SAME_TERMS


def test_sets_of_operands() -> None:
    name, kind = "arith.maximumf", Type("f32")
    words = mixed(np.arange(1, 4, dtype=np.uint64))
    one, two, three = (Term(words[n : n + 1]) for n in range(3))

    def largest(*terms: Term) -> Term:
        result = terms[0]
        for term in terms[1:]:
            result = united(name, [result, term], kind, finite=False)
        return result

    assert largest(one, one).hashes == one.hashes
    assert largest(one, two, three).hashes == largest(three, largest(two, one, one)).hashes
    assert largest(one, two).hashes != largest(one, three).hashes
    infinity = Term(np.full(1, float_constant("f32", float("-inf"))), finite=False)
    assert largest(infinity, one).hashes == one.hashes
    assert largest(infinity, infinity).hashes == infinity.hashes
    ignoring = united("arith.maxnumf", [infinity, one], kind, finite=False)
    assert ignoring.hashes != one.hashes
    row = Term(np.stack([words[[0, 1, 2, 1]], words[[1, 1, 1, 1]]]))
    along = united_along(name, row, Type("f32", (4,)), 1, finite=False)
    assert along.hashes[0] == largest(one, two, three).hashes
    assert along.hashes[1] == two.hashes
    assert set_words(name, "f32", np.sort(words)[None]) == largest(one, two, three).hashes
