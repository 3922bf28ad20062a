"""Proofs about values of scans and reductions beside which there are indices."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Peaks(nn.Module):
    def forward(self, x):
        return torch.cummax(x, dim=1).values, x.amax(1)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16)]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def larger(a, a_index, b, b_index):
    tie = (a == b) | ((a != a) & (b != b))
    take_a = (a > b) | ((a != a) & (b == b)) | (tie & (a_index > b_index))
    value = tl.where(take_a, a, b)
    index = tl.where(take_a, a_index, b_index)
    return value, index


@triton.jit
def peaks_kernel(x_ptr, run_ptr, top_ptr):
    row = tl.program_id(0)
    lane = tl.arange(0, 16)
    x = tl.load(x_ptr + 16 * row + lane)
    run, run_index = tl.associative_scan((x, lane), 0, larger)
    top, top_index = tl.reduce((x, lane), 0, larger)
    tl.store(run_ptr + 16 * row + lane, run)
    tl.store(top_ptr + row, top)


class PeaksNew(nn.Module):
    def forward(self, x):
        run = torch.empty_like(x)
        top = torch.empty(6, dtype=torch.float32, device=x.device)
        peaks_kernel[(6,)](x, run, top)
        return run, top
"""
TAKES = "(a > b) | ((a != a) & (b == b)) | (tie & (a_index > b_index))"
INDEX = "tl.where(take_a, a_index, b_index)"
RUN, TOP = "+ lane, run)", "+ row, top)"

SAME = [
    (INDEX, "tl.where(take_a, b_index, a_index)"),
    (INDEX, "a_index"),
    (INDEX, "a_index + 3 * b_index"),
    (TAKES, "(a > b) | ((a != a) & (b == b)) | (tie & (a_index < b_index))"),
    (TAKES, "(a > b) | ((a != a) & (b == b))"),
    (TAKES, "(a >= b) | (a != a)"),
    ("value = tl.where(take_a, a, b)", "value = tl.maximum(a, b, tl.PropagateNan.ALL)"),
]  # fmt: skip
NUMBERS = [
    (TAKES, "(a > b) | (tie & (a_index > b_index))"),
    (TAKES, "(a > b) | ((b != b) & (a == a)) | (tie & (a_index > b_index))"),
    (TAKES, "~((a < b) | (tie & (a_index > b_index)))"),
]
DIFFERENT = [
    # the smaller one, and of numbers that differ one that the index decides on
    (TAKES, "(a < b) | ((a != a) & (b == b)) | (tie & (a_index > b_index))"),
    (TAKES, "(a > b) | ((a < b) & (a_index == 3))"),
    (TAKES, "(a > b) & (a_index < 9)"),
    (TAKES, "(a > b) | (a_index > 4)"),
    ("value = tl.where(take_a, a, b)", "value = tl.where(take_a, b, a)"),
    ("value = tl.where(take_a, a, b)", "value = tl.where(take_a, a, b) + 1.0"),
    ("value = tl.where(take_a, a, b)", "value = tl.where(take_a, a, a)"),
    ("associative_scan((x, lane), 0, larger)", "associative_scan((-x, lane), 0, larger)"),
    ("0, larger)\n    top", "0, larger, reverse=True)\n    top"),
    ("tl.reduce((x, lane)", "tl.reduce((x + x, lane)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def peaks() -> Prepared:
    return prepare(PROGRAM, "Peaks", draws=1)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(("old", "new"), SAME, ids=[case[1] for case in SAME])
def test_values_are_the_same_whatever_indices_are(peaks: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(peaks, TEXT, changed(TEXT, old, new)) == SAME_TERMS


@pytest.mark.parametrize(("old", "new"), NUMBERS, ids=[case[1] for case in NUMBERS])
def test_where_nan_stands_is_nothing_to_numbers(peaks: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(peaks, TEXT, changed(TEXT, old, new)) == FINITE_TERMS


@pytest.mark.parametrize(("old", "new"), DIFFERENT, ids=[case[1] for case in DIFFERENT])
def test_refuses_other_values(peaks: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(peaks, TEXT, changed(TEXT, old, new)) is None


@pytest.mark.parametrize(
    ("stored", "used"), [(RUN, "+ lane, run + run_index)"), (TOP, "+ row, top + top_index)")]
)
@pytest.mark.parametrize(
    ("old", "new"),
    [(INDEX, "tl.where(take_a, b_index, a_index)"), ("a_index > b_index", "a_index < b_index")],
)
def test_indices_count_where_they_are_used(
    peaks: Prepared, stored: str, used: str, old: str, new: str
) -> None:
    text = changed(TEXT, stored, used)
    assert proven_equivalent(peaks, text, changed(text, old, new)) is None
