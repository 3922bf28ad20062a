"""Proofs about a row's largest that is stored and loaded for each element by itself."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Shares(nn.Module):
    def forward(self, a, w):
        return torch.softmax(a, -1) / w.exp().sum(-1, keepdim=True)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.randn(6, 12)]
"""
SHARES = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def max_kernel(a_ptr, largest_ptr):
    cols = tl.arange(0, 16)
    x = tl.load(a_ptr + tl.program_id(0) * 12 + cols, mask=cols < 12, other=0.0)
    largest = tl.max(tl.where(cols < 12, x, float("-inf")), 0)
    tl.store(largest_ptr + tl.program_id(0), largest)


@triton.jit
def sum_kernel(a_ptr, largest_ptr, total_ptr):
    row = tl.arange(0, 8)[:, None]
    total = tl.zeros([8, 8], dtype=tl.float32)
    for start in range(0, 12, 8):
        col = start + tl.arange(0, 8)[None, :]
        mask = (col < 12) & (row < 6)
        x = tl.load(a_ptr + row * 12 + col, mask=mask, other=0.0)
        rows = tl.broadcast_to(row, [8, 8])
        largest = tl.load(largest_ptr + rows, mask=mask, other=0.0)
        total = tl.where(mask, total + tl.exp(x - largest), total)
    tl.store(total_ptr + row, tl.sum(total, 1)[:, None], mask=row < 6)


@triton.jit
def softmax_kernel(a_ptr, largest_ptr, total_ptr, out_ptr):
    place = tl.arange(0, 128)
    mask = place < 72
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    largest = tl.load(largest_ptr + place // 12, mask=mask, other=0.0)
    total = tl.load(total_ptr + place // 12, mask=mask, other=1.0)
    tl.store(out_ptr + place, tl.exp(x - largest) / total, mask=mask)


@triton.jit
def plain_sum_kernel(w_ptr, total_ptr):
    cols = tl.arange(0, 16)
    w = tl.load(w_ptr + tl.program_id(0) * 12 + cols, mask=cols < 12, other=0.0)
    tl.store(total_ptr + tl.program_id(0), tl.sum(tl.where(cols < 12, tl.exp(w), 0.0), 0))


@triton.jit
def quotient_kernel(out_ptr, total_ptr):
    place = tl.arange(0, 128)
    mask = place < 72
    share = tl.load(out_ptr + place, mask=mask, other=0.0)
    total = tl.load(total_ptr + place // 12, mask=mask, other=1.0)
    tl.store(out_ptr + place, share / total, mask=mask)


class SharesNew(nn.Module):
    def forward(self, a, w):
        largest = torch.empty(6, dtype=torch.float32, device=a.device)
        total = torch.empty(6, dtype=torch.float32, device=a.device)
        out = torch.empty((6, 12), dtype=torch.float32, device=a.device)
        max_kernel[(6,)](a, largest)
        sum_kernel[(1,)](a, largest, total)
        softmax_kernel[(1,)](a, largest, total, out)
        plain_sum_kernel[(6,)](w, total)
        quotient_kernel[(1,)](out, total)
        return out
"""


@pytest.fixture(scope="module")
def shares() -> Prepared:
    return prepare(PROGRAM, "Shares")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('tl.where(cols < 12, x, float("-inf"))', 'tl.where(cols < 6, x, float("-inf"))'),
        ("a_ptr + tl.program_id(0) * 12 + cols", "a_ptr + tl.program_id(0) * 12 + cols // 2"),
        ('tl.max(tl.where(cols < 12, x, float("-inf")), 0)', "tl.min(x, 0)"),
    ],
)
def test_another_number_of_the_row_does_as_well(shares: Prepared, old: str, new: str) -> None:
    assert SHARES.count(old) == 1
    assert proven_equivalent(shares, SHARES, SHARES.replace(old, new)) == SAME_REALS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("total + tl.exp(x - largest)", "total + tl.exp(x)"),
        ("total + tl.exp(x - largest)", "total + tl.exp(x + largest)"),
        ("tl.load(largest_ptr + rows, ", "tl.load(largest_ptr + (rows + 1) % 6, "),
        ("tl.load(largest_ptr + rows, ", "tl.load(largest_ptr + (rows + col) % 6, "),
        ("tl.exp(x - largest) / total", "tl.exp(x - 2.0 * largest) / total"),
        ("largest_ptr + rows, mask=mask", "largest_ptr + rows, mask=mask & (col < 5)"),
        ("plain_sum_kernel[(6,)](w, total)", "plain_sum_kernel[(6,)](a, total)"),
        ("plain_sum_kernel[(6,)](w, total)", "pass"),
    ],
)
def test_what_does_not_cancel_stays(shares: Prepared, old: str, new: str) -> None:
    assert SHARES.count(old) == 1
    assert proven_equivalent(shares, SHARES, SHARES.replace(old, new)) is None
