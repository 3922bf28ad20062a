"""Proofs about indices of least and greatest values, each tried both ways."""

from __future__ import annotations

import operator
from itertools import product
from math import inf, isnan, nan

import numpy as np
import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_TERMS, proven_equivalent
from builder.bench.proofs.ops import pointwise
from builder.bench.proofs.terms import Term, mixed
from builder.execute.ir import Function, Operation, Region, Type
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Places(nn.Module):
    def forward(self, x, y):
        product = x * y
        return product.argmin(1), product.amin(1), torch.cummax(y, dim=1).values


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 20), torch.randn(6, 20)]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def smaller_first(a, a_index, b, b_index):
    a_nan = a != a
    b_nan = b != b
    tie = (a == b) | (a_nan & b_nan)
    take_a = (a < b) | (a_nan & (b == b)) | (tie & (a_index < b_index))
    return tl.where(take_a, a, b), tl.where(take_a, a_index, b_index)


@triton.jit
def smaller_of(a, a_index, b, b_index):
    tie = (a == b) | ((a != a) & (b != b))
    take_a = (a < b) | ((a != a) & (b == b)) | (tie & (a_index < b_index))
    return tl.where(take_a, a, b), tl.where(take_a, a_index, b_index)


@triton.jit
def larger_last(a, a_index, b, b_index):
    tie = (a == b) | ((a != a) & (b != b))
    take_a = (a > b) | ((a != a) & (b == b)) | (tie & (a_index > b_index))
    return tl.where(take_a, a, b), tl.where(take_a, a_index, b_index)


@triton.jit
def sorted_pairs(x, lane):
    other = tl.gather(x, lane ^ 1, 0)
    takes_first = ((lane & 1) == 0) == ((lane & 2) == 0)
    first = tl.where(takes_first, x, other)
    second = tl.where(takes_first, other, x)
    misplaced = (second < first) | ((first != first) & (second == second))
    return tl.where(misplaced, other, x)


@triton.jit
def places_kernel(x_ptr, y_ptr, place_ptr, least_ptr, top_ptr, R0_BLOCK: tl.constexpr):
    num_cols = 20
    row = tl.program_id(0)
    lane = tl.arange(0, R0_BLOCK)
    least = tl.full([R0_BLOCK], float("inf"), tl.float32)
    place = tl.full([R0_BLOCK], 2147483647, tl.int32)
    for start in tl.range(0, num_cols, R0_BLOCK):
        col = start + lane
        mask = col < num_cols
        x = tl.load(x_ptr + 20 * row + col, mask, other=0.0)
        y = tl.load(y_ptr + 20 * row + col, mask, other=0.0)
        part, part_place = smaller_first(least, place, x * y, col)
        least = tl.where(mask, part, least)
        place = tl.where(mask, part_place, place)
    value, index = tl.reduce((least, place), 0, smaller_of)
    tl.store(place_ptr + row, index.to(tl.int64))
    tl.store(least_ptr + row, value)
    wide = tl.arange(0, 32)
    y = tl.load(y_ptr + 20 * row + wide, wide < 20, other=0.0)
    tops, _ = tl.associative_scan((y, wide), 0, larger_last)
    tl.store(top_ptr + 20 * row + wide, sorted_pairs(tops, wide), wide < 20)


class PlacesNew(nn.Module):
    def forward(self, x, y):
        place = torch.empty(6, dtype=torch.int64, device=x.device)
        least = torch.empty(6, dtype=torch.float32, device=x.device)
        tops = torch.empty((6, 20), dtype=torch.float32, device=x.device)
        places_kernel[(6,)](x, y, place, least, tops, R0_BLOCK=8)
        return place, least, tops
"""
STEP = "tl.range(0, num_cols, R0_BLOCK)"
JOIN = "smaller_first(least, place, x * y, col)"
SORTED = "(second < first) | ((first != first) & (second == second))"
LAST = "a_index > b_index"

SAME = [
    # candidates more than once, from either end, in blocks of another size
    (STEP, "tl.range(0, num_cols, R0_BLOCK // 2)"),
    ("col = start + lane", "col = 16 - start + lane"),
    ("R0_BLOCK=8", "R0_BLOCK=32"),
    (JOIN, f"{JOIN}\n        part, part_place = smaller_of(x * y, col, part, part_place)"),
    (JOIN, "smaller_first(x * y, col, least, place)"),
    # the same order in other words
    ("tie = (a == b) | (a_nan & b_nan)", "tie = ~((a < b) | (a > b) | (a_nan ^ b_nan))"),
    ("(a_nan & (b == b)) | (tie", "(a_nan & ~b_nan) | (tie"),
    # partial results of a scan are of different elements
    (LAST, "a_index > b_index - 1"),
    (LAST, "a_index >= b_index"),
    # and those of the left come before those of the right
    (LAST, "a_index > b_index + 1"),
    (LAST, "b_index - a_index < -3"),
    # which of equal values is taken is nothing to the value
    (LAST, "a_index > b_index - 2"),
    (LAST, "a_index < b_index"),
    # of two NaN either will do, and of two that are equal
    (SORTED, "(second < first) | (first != first)"),
    (SORTED, "(second <= first) | ((first != first) & (second == second))"),
]  # fmt: skip
NUMBERS = [
    ("(a_nan & (b == b)) | (tie", "(tie"),
    ("(a == b) | (a_nan & b_nan)", "a == b"),
    ("(a_nan & (b == b)) | (tie", "(b_nan & (a == a)) | (tie"),
    # of values that are all infinite, that of the first index is least
    ("2147483647", "0"),
    (SORTED, "(second < first) | ((second != second) & (first == first))"),
]
DIFFERENT = [
    (STEP, "tl.range(0, num_cols, R0_BLOCK * 2)"),
    (STEP, "tl.range(R0_BLOCK, num_cols, R0_BLOCK)"),
    (STEP, "tl.range(0, num_cols - R0_BLOCK, R0_BLOCK)"),
    (JOIN, "smaller_first(least, place, x * y, col + 1)"),
    (JOIN, "smaller_first(least, place, x * y, lane)"),
    (JOIN, "smaller_first(least, place, x * x, col)"),
    ("(a < b) | (a_nan", "(a > b) | (a_nan"),
    ("float(\"inf\"), tl.float32)", "0.0, tl.float32)"),
    ("tl.where(mask, part, least)", "tl.where(mask, x * y, least)"),
    ("tl.where(mask, part, least)", "part"),
    ("tl.where(mask, part, least)", "tl.where(mask, part, float('inf'))"),
    ("tl.where(mask, part_place, place)", "part_place"),
    ("tl.where(mask, part_place, place)", "tl.where(mask, col, place)"),
    (SORTED, "(second > first) | ((first != first) & (second == second))"),
    (SORTED, "(second < first) ^ (first == second)"),
    ("((lane & 2) == 0)", "((lane & 4) == 0)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def places() -> Prepared:
    return prepare(PROGRAM, "Places", draws=1)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(("old", "new"), SAME, ids=[case[1] for case in SAME])
def test_proves_what_is_the_same(places: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(places, TEXT, changed(TEXT, old, new)) == SAME_TERMS


@pytest.mark.parametrize(
    ("scanned", "is_same"),
    [
        ("(y, wide), 0, larger_last", True),
        ("(y, wide * 2 + 1), 0, larger_last", True),
        ("(y, wide), 0, larger_last, reverse=True", False),
        ("(y, 31 - wide), 0, larger_last", False),
        ("(y, wide ^ 1), 0, larger_last", False),
        ("(y, wide // 2), 0, larger_last", False),
    ],
)
def test_places_on_the_left_of_a_scan_are_lower_if_they_ascend(
    places: Prepared, scanned: str, is_same: bool
) -> None:
    text = changed(TEXT, "(y, wide), 0, larger_last", scanned)
    text = changed(text, f"(tie & ({LAST}))", f"({LAST})")
    mutant = changed(text, LAST, "a_index > b_index + 64")
    assert (proven_equivalent(places, text, mutant) is not None) == is_same


@pytest.mark.parametrize(
    ("condition", "is_same"), [("take_a", True), ("~(b >= a)", False), ("a_place < 9", False)]
)
def test_places_are_of_one_element_if_one_condition_selects_them(
    places: Prepared, condition: str, is_same: bool
) -> None:
    text = changed(
        TEXT,
        "@triton.jit\ndef sorted_pairs",
        f"""@triton.jit
def together(a, a_index, a_place, b, b_index, b_place):
    take_a = a > b
    value = tl.where(take_a & (a_index == a_place), a, b)
    index = tl.where(take_a, a_index, b_index)
    return value, index, tl.where({condition}, a_place, b_place)


@triton.jit
def sorted_pairs""",
    )
    text = changed(text, "tops, _ =", "tops, _, _ =")
    text = changed(text, "(y, wide), 0, larger_last", "(y, wide, wide), 0, together")
    mutant = changed(text, "take_a & (a_index == a_place)", "take_a")
    assert (proven_equivalent(places, text, mutant) is not None) == is_same


@pytest.mark.parametrize(("old", "new"), NUMBERS, ids=[case[1] for case in NUMBERS])
def test_where_nan_stands_is_nothing_to_numbers(places: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(places, TEXT, changed(TEXT, old, new)) == FINITE_TERMS


def test_a_lane_without_values_counts(places: Prepared) -> None:
    """Its infinity loses against numbers, but is no less than others."""
    text = changed(TEXT, "R0_BLOCK=8", "R0_BLOCK=32")
    assert proven_equivalent(places, text, changed(text, "2147483647", "0")) is None
    assert proven_equivalent(places, text, changed(text, "2147483647", "-2147483648")) is None


@pytest.mark.parametrize(("old", "new"), DIFFERENT, ids=[case[1] for case in DIFFERENT])
def test_refuses_what_differs(places: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(places, TEXT, changed(TEXT, old, new)) is None


PREDICATES = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt,
    "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
CONNECTIVES = {
    "arith.andi": operator.and_, "arith.ori": operator.or_, "arith.xori": operator.xor,
}  # fmt: skip


def condition(name: str, predicate: str, args: list[Term], kind: str) -> Term:
    types = [Type(kind), Type(kind), Type("i1")]
    words = {"words": [predicate]} if predicate else {}
    result = pointwise(
        Function("", (0, 1), Region(), types), Operation(name, (0, 1), (2,), words), args
    )
    assert isinstance(result, Term)
    return result


def compare(predicate: str, pair: tuple[float, float]) -> bool:
    if any(isnan(value) for value in pair):
        return predicate.startswith("u")
    return bool(PREDICATES[predicate[1:]](*pair))


def way(left: float, right: float) -> int:
    if isnan(left) or isnan(right):
        return 5 if isnan(left) and isnan(right) else 3 if isnan(left) else 4
    return 0 if left < right else 1 if left == right else 2


@pytest.mark.parametrize("connective", CONNECTIVES)
def test_tables_say_what_floats_do(connective: str) -> None:
    """Of two comparisons, either way round or of one value with itself, in every way."""
    left, right = (Term(mixed(np.full(1, number, dtype=np.uint64))) for number in (1, 2))
    predicates = [first + word for first in "ou" for word in PREDICATES]
    for one, other in product(predicates, repeat=2):
        for places in ((0, 1), (1, 0), (0, 0), (1, 1)):
            terms = [(left, right)[place] for place in places]
            decides = [
                condition("arith.cmpf", one, [left, right], "f32"),
                condition("arith.cmpf", other, terms, "f32"),
            ]
            contest = condition(connective, "", decides, "i1").contest
            assert contest is not None
            for pair in product((nan, -inf, 0.0, 1.0, inf), repeat=2):
                swapped = (pair[places[0]], pair[places[1]])
                holds = CONNECTIVES[connective](compare(one, pair), compare(other, swapped))
                bits = int(contest.table[0]) >> (3 * way(*pair)) & 7
                assert bits == (7 if holds else 0), (one, other, places, pair)
