"""Proofs about maxima and sums that several kernels share, elements of which are read twice."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.proofs.equivalence import SAME_TERMS, proven_equivalent
from builder.bench.proofs.sets import united_along
from builder.bench.proofs.stored_sets import StoredSets
from builder.bench.proofs.terms import Known, Term, as_words, mixed
from builder.execute.ir import Type
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Extremes(nn.Module):
    def forward(self, x):
        return x.abs().amax() + 1.0, (x > 2.0).any(), x.sum()


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(5, 9)]
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
def parts_kernel(x_ptr, max_ptr, any_ptr, sum_ptr):
    part = tl.program_id(0)
    place = tl.arange(0, 16) + part * 12
    in_part = tl.arange(0, 16) < 12
    takes = (place < 45) & in_part
    x = tl.load(x_ptr + place % 45, mask=takes, other=0.0)
    largest = tl.where(takes, tl.abs(x), float("-inf"))
    tl.store(max_ptr + part, tl.reduce(largest, 0, maximum))
    flags = tl.where(takes, x > 2.0, False)
    tl.store(any_ptr + part, tl.reduce(flags.to(tl.int8), 0, either))
    place = part * 12 + tl.arange(0, 16)
    added = (place < 45) & in_part
    tl.store(sum_ptr + part, tl.sum(tl.where(added, tl.load(x_ptr + place % 45), 0.0), 0))


@triton.jit
def whole_kernel(max_ptr, any_ptr, sum_ptr, largest_ptr, flag_ptr, total_ptr):
    part = tl.arange(0, 4)
    largest = tl.load(max_ptr + part, mask=part < 4, other=0.0)
    whole = tl.reduce(tl.where(part < 4, largest, float("-inf")), 0, maximum)
    tl.store(largest_ptr, whole + 1.0)
    flags = tl.load(any_ptr + part, mask=part < 4, other=0)
    tl.store(flag_ptr, tl.reduce(flags, 0, either) != 0)
    tl.store(total_ptr, tl.sum(tl.load(sum_ptr + part, mask=part < 4, other=0.0), 0))


class ExtremesNew(nn.Module):
    def forward(self, x):
        largest = torch.empty(4, dtype=torch.float32, device=x.device)
        flags = torch.empty(4, dtype=torch.int8, device=x.device)
        sums = torch.empty(4, dtype=torch.float32, device=x.device)
        whole = torch.empty((), dtype=torch.float32, device=x.device)
        flag = torch.empty((), dtype=torch.bool, device=x.device)
        total = torch.empty((), dtype=torch.float32, device=x.device)
        parts_kernel[(4,)](x, largest, flags, sums)
        whole_kernel[(1,)](largest, flags, sums, whole, flag, total)
        return whole, flag, total
"""
TAKES = "takes = (place < 45) & in_part"
WHERE = "tl.where(part < 4, largest"


@pytest.fixture(scope="module")
def extremes() -> Prepared:
    return prepare(PROGRAM, "Extremes")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TAKES, "takes = (place < 48) & in_part"),
        (TAKES, "takes = place < 45"),
        ("tl.arange(0, 16) + part * 12", "tl.arange(0, 16) + (3 - part) * 12"),
    ],
)
def test_an_element_that_two_parts_have_counts_once(extremes: Prepared, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert proven_equivalent(extremes, TEXT, TEXT.replace(old, new)) == SAME_TERMS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # an element is left out
        (TAKES, "takes = (place < 44) & in_part"),
        (TAKES, "takes = (place < 45) & (tl.arange(0, 16) < 11)"),
        (TAKES, "takes = (place < 45) & in_part & (place != 7)"),
        # what is no element
        ('tl.abs(x), float("-inf")', "tl.abs(x), 1.0"),
        ("tl.where(takes, x > 2.0, False)", "tl.where(takes, x > 2.0, True)"),
        # a part is left out, or read before it is written
        (WHERE, "tl.where(part < 3, largest"),
        (WHERE, "tl.where(part > 0, largest"),
        # a sum counts elements
        ("added = (place < 45) & in_part", "added = (place < 48) & in_part"),
        ("added = (place < 45) & in_part", "added = place < 45"),
        # other functions of elements, or of parts
        ("tl.abs(x)", "x"),
        ("max_ptr + part, tl.reduce(largest, 0, maximum)", "max_ptr + part, tl.min(largest, 0)"),
        (WHERE, "tl.where(part < 4, -largest"),
        ("whole + 1.0", "whole + 2.0"),
    ],
)
def test_elements_that_no_part_has_are_missed(extremes: Prepared, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert proven_equivalent(extremes, TEXT, TEXT.replace(old, new)) is None


def _elements(*numbers: int) -> Term:
    return Term(mixed(np.array([numbers], dtype=np.uint64)))


def _set(name: str, *numbers: int) -> Term:
    return united_along(name, _elements(*numbers), Type("f32", (len(numbers),)), 1, finite=False)


def test_operands_are_of_one_operation_and_one_type() -> None:
    sets, largest = StoredSets(), _set("arith.maximumf", 3, 4, 5)
    sets.keep(largest, "f32")
    loaded = Term(np.array([[largest.hashes[0], _elements(6).hashes[0, 0]]]))
    known, same = sets.recalled(loaded, "f32"), sets.recalled(loaded, "bf16")
    assert isinstance(known, Term)
    assert known.parts is not None
    assert known.parts.operation == "arith.maximumf"
    whole = united_along("arith.maximumf", known, Type("f32", (2,)), 1, finite=False)
    assert np.array_equal(whole.hashes, _set("arith.maximumf", 6, 5, 4, 3).hashes)
    assert same is loaded
    assert isinstance(sets.recalled(Known(np.arange(3)), "f32"), Known)


def test_operands_are_kept_of_the_term_that_they_make() -> None:
    sets, largest = StoredSets(), _set("arith.maximumf", 3, 4, 5)
    other = Term(largest.hashes + np.uint64(1), parts=largest.parts)
    sets.keep(other, "f32")
    assert sets.recalled(other, "f32") is other
    sets.keep(largest, "f16")
    loaded = Term(as_words(largest))
    assert sets.recalled(loaded, "f16") is loaded


def test_what_is_the_largest_and_the_least_of_different_operands_is_left_alone() -> None:
    sets = StoredSets()
    ends = [_set(name, 3, 4, 5) for name in ("arith.maximumf", "arith.minimumf")]
    for value in ends:
        sets.keep(value, "f32")
    both = Term(np.concatenate([value.hashes for value in ends]))
    assert sets.recalled(both, "f32") is both
