"""Proofs about integers that are added up: lanes that add nothing need no mask."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Count(nn.Module):
    def forward(self, seen):
        return seen.sum(-1) + 3


def get_init_inputs():
    return []


def get_inputs():
    return [torch.rand(4, 21) < 0.7]
"""
TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def count_kernel(seen_ptr, out_ptr):
    lane = tl.arange(0, 16)
    total = tl.full([16], 0, tl.int64)
    for start in tl.range(0, 21, 16):
        col = start + lane
        seen = tl.load(seen_ptr + tl.program_id(0) * 21 + col, mask=col < 21, other=0.0).to(tl.int1)
        total = tl.where(col < 21, total + seen.to(tl.int64), total)
    tl.store(out_ptr + tl.program_id(0), tl.sum(total, 0) + 3)


class CountNew(nn.Module):
    def forward(self, seen):
        out = torch.empty(4, dtype=torch.int64, device=seen.device)
        count_kernel[(4,)](seen, out)
        return out
"""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(PROGRAM, "Count")


@pytest.mark.parametrize(
    "added",
    [
        "total + seen.to(tl.int64)",
        "seen.to(tl.int64) + total",
        "total - (0 - seen.to(tl.int64))",
        "total * (1 + tl.where(col < 21, 1, 0) * 0) + seen.to(tl.int64)",
    ],
)
def test_what_a_masked_load_leaves_adds_nothing(prepared: Prepared, added: str) -> None:
    original = TRITON.replace("total + seen.to(tl.int64)", added)
    mutant = original.replace(f"tl.where(col < 21, {added}, total)", added)
    assert mutant != original
    assert proven_equivalent(prepared, original, mutant) == SAME_TERMS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("other=0.0", "other=1.0"),
        ("mask=col < 21", "mask=col < 20"),
        ("total + seen.to(tl.int64)", "seen.to(tl.int64) - total"),
        ("total + seen.to(tl.int64)", "(total + 1) * seen.to(tl.int64)"),
        ("total + seen.to(tl.int64)", "total + seen.to(tl.int64) + 1"),
    ],
)
def test_what_is_added_counts(prepared: Prepared, old: str, new: str) -> None:
    original = TRITON.replace(old, new)
    head, tail = original.split("tl.where(col < 21, ")
    mutant = head + tail.replace(", total)", "", 1)
    assert proven_equivalent(prepared, TRITON, mutant) is None
    if old.startswith(("other", "total")):
        assert proven_equivalent(prepared, original, mutant) is None
