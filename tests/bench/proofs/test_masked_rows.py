"""Proofs about rows of a softmax of which some lanes have no weight."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

MIXED_PROGRAM = """
import torch
from torch import nn


class Mixed(nn.Module):
    def forward(self, a, v):
        return torch.softmax(a, -1) @ v


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(16, 12), torch.randn(12, 16)]
"""
MIXED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mixed_kernel(a_ptr, v_ptr, out_ptr):
    row = tl.arange(0, 16)[:, None]
    col = tl.arange(0, 16)[None, :]
    v = tl.load(v_ptr + row * 16 + col, mask=row < 12, other=0.0)
    x = tl.load(a_ptr + row * 12 + col, mask=col < 12, other=0.0)
    x = tl.where(col < 12, x, float("-inf"))
    powers = tl.exp(x - tl.max(x, 1)[:, None])
    total = tl.sum(powers, 1)[:, None]
    out = tl.dot(powers / total, v, input_precision="ieee")
    tl.store(out_ptr + row * 16 + col, out)


class MixedNew(nn.Module):
    def forward(self, a, v):
        out = torch.empty((16, 16), dtype=torch.float32, device=a.device)
        mixed_kernel[(1,)](a, v, out)
        return out
"""


@pytest.fixture(scope="module")
def mixed() -> Prepared:
    return prepare(MIXED_PROGRAM, "Mixed")


def test_what_a_lane_without_weight_holds_does_not_count(mixed: Prepared) -> None:
    mutant = MIXED.replace("mask=row < 12, other=0.0", "mask=row < 12, other=1.0")
    assert proven_equivalent(mixed, MIXED, mutant) == SAME_REALS


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [
        ('x = tl.where(col < 12, x, float("-inf"))', "", "1.0"),
        ('float("-inf")', "-100.0", "1.0"),
        ("tl.where(col < 12, ", "tl.where(col < 13, ", "1.0"),
        ("tl.sum(powers, 1)", "tl.sum(x, 1)", "1.0"),
        ("tl.sum(powers, 1)", "(tl.sum(powers, 1) - 1.0)", "1.0"),
        ("tl.sum(powers, 1)", "tl.sum(tl.where(row < 15, powers, 0.0), 1)", "1.0"),
        ("", "", 'float("inf")'),
        ("", "", 'float("nan")'),
    ],
)
def test_what_has_weight_does(mixed: Prepared, old: str, new: str, other: str) -> None:
    assert not old or MIXED.count(old) == 1
    original = MIXED.replace(old, new) if old else MIXED
    mutant = original.replace("mask=row < 12, other=0.0", f"mask=row < 12, other={other}")
    assert mutant != original
    assert proven_equivalent(mixed, original, mutant) is None
