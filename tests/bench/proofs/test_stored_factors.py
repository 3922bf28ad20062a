"""Proofs about what rows share that is stored between kernels, part by part."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class LogSum(nn.Module):
    def forward(self, a, w):
        return torch.logsumexp(a, -1) + w


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.randn(6)]
"""
HALVES = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def half_max_kernel(a_ptr, w_ptr, half_ptr):
    cols = tl.arange(0, 8)
    x = tl.load(a_ptr + tl.program_id(0) * 6 + cols, mask=cols < 6, other=0.0)
    w = tl.load(w_ptr + tl.program_id(0) // 2)
    largest = tl.max(tl.where(cols < 6, x, float("-inf")), 0)
    tl.store(half_ptr + tl.program_id(0), largest)


@triton.jit
def max_kernel(half_ptr, largest_ptr):
    row = tl.arange(0, 8)[:, None]
    half = tl.arange(0, 2)[None, :]
    inside = (row < 6) & (half < 2)
    x = tl.load(half_ptr + row * 2 + half, mask=inside, other=0.0)
    largest = tl.max(tl.where(inside, x, float("-inf")), 1)[:, None]
    tl.store(largest_ptr + row, largest, mask=row < 6)


@triton.jit
def half_sum_kernel(a_ptr, largest_ptr, half_ptr):
    cols = tl.arange(0, 8)
    x = tl.load(a_ptr + tl.program_id(0) * 6 + cols, mask=cols < 6, other=0.0)
    largest = tl.load(largest_ptr + tl.program_id(0) // 2)
    powers = tl.where(cols < 6, tl.exp(x - largest), 0.0)
    tl.store(half_ptr + tl.program_id(0), tl.sum(powers, 0))


@triton.jit
def log_sum_kernel(half_ptr, largest_ptr, w_ptr, out_ptr):
    row = tl.arange(0, 8)[:, None]
    half = tl.arange(0, 2)[None, :]
    inside = (row < 6) & (half < 2)
    x = tl.load(half_ptr + row * 2 + half, mask=inside, other=0.0)
    largest = tl.load(largest_ptr + row, mask=row < 6)
    w = tl.load(w_ptr + row, mask=row < 6)
    total = tl.sum(tl.where(inside, x, 0.0), 1)[:, None]
    tl.store(out_ptr + row, tl.log(total) + largest + w, mask=row < 6)


class LogSumNew(nn.Module):
    def forward(self, a, w):
        half = torch.empty((12,), dtype=torch.float32, device=a.device)
        largest = torch.empty((6,), dtype=torch.float32, device=a.device)
        half_max_kernel[(12,)](a, w, half)
        max_kernel[(1,)](half, largest)
        sums = torch.empty((12,), dtype=torch.float32, device=a.device)
        half_sum_kernel[(12,)](a, largest, sums)
        out = torch.empty((6,), dtype=torch.float32, device=a.device)
        log_sum_kernel[(1,)](sums, largest, w, out)
        return out
"""
STORED = "tl.store(half_ptr + tl.program_id(0), largest)"
OF_ROWS = 'tl.where(inside, x, float("-inf"))'
POWERS = "tl.exp(x - largest)"
OF_HALF = 'tl.where(cols < 6, x, float("-inf"))'
TOTAL = "total = tl.sum(tl.where(inside, x, 0.0), 1)[:, None]"


@pytest.fixture(scope="module")
def log_sum() -> Prepared:
    return prepare(PROGRAM, "LogSum", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (STORED, STORED.replace("largest)", "largest * 0.5)"), SAME_REALS),
        (STORED, STORED.replace("largest)", "w)"), SAME_REALS),
        (STORED, STORED.replace("largest)", "tl.sum(x, 0) + 1.0)"), SAME_REALS),
        (OF_ROWS, "tl.where(inside, x - 1.0, float(\"-inf\"))", SAME_REALS),
        (OF_HALF, "tl.where(cols < 6 * (tl.program_id(0) % 2), x, float(\"-inf\"))", SAME_REALS),
        (OF_HALF, "tl.where(cols < 6 * (tl.program_id(0) // 2), x, float(\"-inf\"))", None),
        (OF_HALF, "tl.where(cols < 6 * (tl.program_id(0) % 2), x, float(\"inf\"))", None),
        (STORED, STORED.replace("largest)", "tl.where(w > 0.0, largest, float(\"-inf\")))"), None),
        (STORED, STORED.replace("largest)", "tl.log(w))"), None),
        (POWERS, "tl.exp2(x - largest)", None),
        (POWERS, "tl.exp(x - 2.0 * largest)", None),
        (POWERS, "tl.exp(x - largest) + 0.5", None),
        ("tl.log(total)", "tl.log2(total)", None),
        (TOTAL, "total = tl.max(tl.where(inside, x, 0.0), 1)[:, None]", None),
        (OF_ROWS, "tl.where(inside & (row < 3), x, float(\"-inf\"))", None),
    ],
)  # fmt: skip
def test_proofs(log_sum: Prepared, old: str, new: str, proof: str | None) -> None:
    assert HALVES.count(old) == 1
    assert proven_equivalent(log_sum, HALVES, HALVES.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OF_ROWS, "tl.where(inside & (row < 3), x, float(\"-inf\"))"),
        (POWERS, "tl.exp2(x - largest)"),
        (POWERS, "tl.exp(x * largest)"),
        ("tl.log(total)", "tl.log(total + 1.0)"),
        ("row * 2 + half, mask=inside, other=0.0)\n    largest = tl.load",
         "row + 6 * half, mask=inside, other=0.0)\n    largest = tl.load"),
    ],
)  # fmt: skip
def test_what_shows_the_largest_keeps_it(log_sum: Prepared, old: str, new: str) -> None:
    assert HALVES.count(old) == 1
    text = HALVES.replace(old, new)
    other = text.replace(STORED, STORED.replace("largest)", "largest * 0.5)"))
    assert proven_equivalent(log_sum, text, other) is None
