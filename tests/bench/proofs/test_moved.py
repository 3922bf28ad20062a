"""Proofs that a sort, and a softmax of what it leaves, may be of numbers to which one was added."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Ranked(nn.Module):
    def forward(self, a, w):
        ordered = a.view(6, 6, 2).sort(-1, descending=True).values.view(6, 12)
        return ordered.softmax(-1) + w


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.rand(6, 12)]
"""
RANKED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sort_kernel(a_ptr, w_ptr, out_ptr):
    index = tl.arange(0, 16)
    place = tl.program_id(0) * 12 + index
    mask = index < 12
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    w = tl.load(w_ptr + place, mask=mask, other=0.0)
    least = tl.min(w, 0)
    x = tl.where(mask, x, float("-inf"))
    partner = index ^ 1
    other = tl.gather(x, partner, 0)
    is_even = (index & 1) == 0
    first = tl.where(is_even, x, other)
    second = tl.where(is_even, other, x)
    misplaced = second > first
    x = tl.where(misplaced, other, x)
    largest = tl.max(x, 0)
    powers = tl.exp(x - largest)
    tl.store(out_ptr + place, powers / tl.sum(powers, 0) + w, mask=mask)


class RankedNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty((6, 12), dtype=torch.float32, device=a.device)
        sort_kernel[(6,)](a, w, out)
        return out
"""
MASKED = 'x = tl.where(mask, x, float("-inf"))'
OTHER = "other = tl.gather(x, partner, 0)"
MISPLACED = "misplaced = second > first"
LARGEST = "largest = tl.max(x, 0)"


@pytest.fixture(scope="module")
def ranked() -> Prepared:
    return prepare(PROGRAM, "Ranked", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (MASKED, MASKED.replace(", x,", ", x - 1.0,"), SAME_REALS),
        (MASKED, MASKED.replace(", x,", ", x + least,"), SAME_REALS),
        (MASKED, f"{MASKED} + 1.0 - least", SAME_REALS),
        (OTHER, f"x = x - 2.0\n    {OTHER}", SAME_REALS),
        (LARGEST, f"x = x + 1.0\n    {LARGEST}", SAME_REALS),
        (MASKED, MASKED.replace(", x,", ", x - w,"), None),
        (MASKED, MASKED.replace(", x,", ", 1.0 - x,"), None),
        (MASKED, MASKED.replace(", x,", ", x * 2.0,"), None),
        (MASKED, MASKED.replace(", x,", ", tl.where(index < 3, x - 1.0, x),"), None),
        (MASKED, MASKED.replace('float("-inf")', "0.0").replace(", x,", ", x - 1.0,"), None),
        (OTHER, f"{OTHER} - 1.0", None),
        (MISPLACED, f"{MISPLACED} - 1.0", None),
        (MISPLACED, MISPLACED.replace(">", "<"), None),
        (LARGEST, LARGEST.replace("x, 0", "x + 1.0, 0"), None),
    ],
)
def test_proofs(ranked: Prepared, old: str, new: str, proof: str | None) -> None:
    assert RANKED.count(old) == 1
    assert proven_equivalent(ranked, RANKED, RANKED.replace(old, new)) == proof
