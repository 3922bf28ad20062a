"""Proofs about numbers that are not below zero, stored and loaded again."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

SCALED_PROGRAM = """
import torch
from torch import nn


class Scaled(nn.Module):
    def forward(self, a):
        return torch.softmax(a * torch.rsqrt(a.square().sum(-1, keepdim=True) + 1.0), -1)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12)]
"""
SCALED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def squares_kernel(a_ptr, total_ptr):
    cols = tl.arange(0, 16)
    x = tl.load(a_ptr + tl.program_id(0) * 12 + cols, mask=cols < 12, other=0.0)
    total = tl.sum(x * x, 0)
    tl.store(total_ptr + tl.program_id(0), total)


@triton.jit
def softmax_kernel(a_ptr, total_ptr, out_ptr):
    row = tl.arange(0, 8)[:, None]
    col = tl.arange(0, 16)[None, :]
    mask = (row < 6) & (col < 12)
    total = tl.load(total_ptr + row, mask=row < 6)
    x = tl.load(a_ptr + row * 12 + col, mask=mask, other=0.0) * tl.rsqrt(total + 1.0)
    largest = tl.max(tl.where(mask, x, float("-inf")), 1)[:, None]
    powers = tl.exp(x - largest)
    share = powers / tl.sum(tl.where(mask, powers, 0.0), 1)[:, None]
    tl.store(out_ptr + row * 12 + col, share, mask=mask)


class ScaledNew(nn.Module):
    def forward(self, a):
        total = torch.empty(6, dtype=torch.float32, device=a.device)
        out = torch.empty((6, 12), dtype=torch.float32, device=a.device)
        squares_kernel[(6,)](a, total)
        softmax_kernel[(1,)](a, total, out)
        return out
"""
STORE = "tl.store(total_ptr + tl.program_id(0), total)"
LARGEST = 'tl.max(tl.where(mask, x, float("-inf")), 1)'


@pytest.fixture(scope="module")
def scaled() -> Prepared:
    return prepare(SCALED_PROGRAM, "Scaled")


def test_a_stored_sum_of_squares_is_not_below_zero(scaled: Prepared) -> None:
    assert SCALED.count(LARGEST) == 1
    mutant = SCALED.replace(LARGEST, "tl.max(x, 1)")
    assert proven_equivalent(scaled, SCALED, mutant) == SAME_REALS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tl.sum(x * x, 0)", "tl.sum(x, 0)"),
        ("tl.sum(x * x, 0)", "-tl.sum(x * x, 0)"),
        (STORE, "tl.atomic_add(total_ptr, total)"),
        (
            STORE,
            STORE.replace(", total", ", total, mask=total > 1.0"),
        ),
        ("mask=row < 6)", "mask=row < 5, other=-1.0)"),
        (
            STORE,
            STORE.replace(", total", ", -total") + f"\n    {STORE}",
        ),
        ("(a, total, out)", "(a, a, out)"),
    ],
)
def test_other_stored_numbers_may_be(scaled: Prepared, old: str, new: str) -> None:
    assert SCALED.count(old) == 1
    original = SCALED.replace(old, new)
    mutant = original.replace(LARGEST, "tl.max(x, 1)")
    assert proven_equivalent(scaled, original, mutant) is None
