"""Proofs about norms that are zero or beyond the epsilon that keeps them from zero."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
import torch.nn.functional as F
from torch import nn


class Mean(nn.Module):
    def forward(self, x, kept, w):
        kept = kept[..., None].float()
        mean = (x.float() * kept).sum(1) / kept.sum(1).clamp(min=1.0)
        return F.normalize(mean, dim=-1) + w[:, 0]


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(4, 5, 12).half(), torch.rand(4, 5) < 0.8, torch.rand(4, 5, 12)]
"""
MEAN = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sums_kernel(x_ptr, kept_ptr, w_ptr, total_ptr, count_ptr):
    token = tl.arange(0, 8)[:, None]
    col = tl.arange(0, 16)[None, :]
    inside = (token < 5) & (col < 12)
    place = tl.program_id(0) * 60 + token * 12 + col
    x = tl.load(x_ptr + place, mask=inside, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + place, mask=inside, other=0.0)
    bit = tl.load(kept_ptr + tl.program_id(0) * 5 + token, mask=token < 5, other=0)
    kept = bit.to(tl.int1).to(tl.float32)
    total = tl.sum(x * kept, 0)[None, :]
    count = tl.sum(tl.sum(kept, 1), 0)
    tl.store(total_ptr + tl.program_id(0) * 12 + col, total, mask=col < 12)
    tl.store(count_ptr + tl.program_id(0), count)


@triton.jit
def norm_kernel(w_ptr, total_ptr, count_ptr, out_ptr):
    col = tl.arange(0, 16)
    place = tl.program_id(0) * 12 + col
    total = tl.load(total_ptr + place, mask=col < 12, other=0.0)
    count = tl.load(count_ptr + tl.program_id(0))
    w = tl.load(w_ptr + tl.program_id(0) * 60 + col, mask=col < 12, other=0.0)
    mean = total / tl.maximum(count, 1.0)
    norm = tl.sqrt(tl.sum(tl.where(col < 12, mean * mean, 0.0), 0))
    out = mean / tl.maximum(norm, 1e-12)
    tl.store(out_ptr + place, out + w, mask=col < 12)


class MeanNew(nn.Module):
    def forward(self, x, kept, w):
        total = torch.empty((4, 12), dtype=torch.float32, device=x.device)
        count = torch.empty((4,), dtype=torch.float32, device=x.device)
        out = torch.empty((4, 12), dtype=torch.float32, device=x.device)
        sums_kernel[(4,)](x, kept, w, total, count)
        norm_kernel[(4,)](w, total, count, out)
        return out
"""
TOTAL = "total = tl.sum(x * kept, 0)[None, :]"
COUNT = "count = tl.sum(tl.sum(kept, 1), 0)"
CLAMPED = "tl.maximum(count, 1.0)"
QUOTIENT = f"mean = total / {CLAMPED}"
SQUARES = "tl.where(col < 12, mean * mean, 0.0)"
ROOT = f"tl.sqrt(tl.sum({SQUARES}, 0))"
OUT = "out = mean / tl.maximum(norm, 1e-12)"


@pytest.fixture(scope="module")
def mean() -> Prepared:
    return prepare(PROGRAM, "Mean", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (COUNT, f"{COUNT} * 3.0", SAME_REALS),
        (COUNT, "count = 0.0 - tl.sum(tl.sum(kept, 1), 0)", SAME_REALS),
        (COUNT, "count = 0.0", SAME_REALS),
        (CLAMPED, "tl.maximum(count, 2.0)", SAME_REALS),
        (CLAMPED, "(tl.maximum(count, 1.0) * tl.maximum(count, 2.0))", SAME_REALS),
        (OUT, OUT.replace("1e-12", "1e-10"), SAME_REALS),
        (OUT, OUT.replace("1e-12", "1e-3"), None),
        (OUT, OUT.replace("1e-12", "0.0"), None),
        (OUT, "out = mean / (norm + 1e-12)", None),
        (OUT, "out = total / tl.maximum(norm, 1e-12)", None),
        (CLAMPED, "tl.maximum(count + col, 1.0)", None),
        (CLAMPED, "tl.minimum(count, -1.0)", None),
        (CLAMPED, "tl.maximum(count, w)", None),
        (COUNT, "count = tl.sum(tl.sum(w, 1), 0)", None),
        (COUNT, f"{COUNT} * 1e9", None),
        (TOTAL, TOTAL.replace("kept", "w"), None),
    ],
)
def test_proofs(mean: Prepared, old: str, new: str, proof: str | None) -> None:
    assert MEAN.count(old) == 1
    assert proven_equivalent(mean, MEAN, MEAN.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (TOTAL, "total = tl.sum(tl.where(kept > 0.5, x, 0.0), 0)[None, :]", SAME_REALS),
        (TOTAL, "total = tl.sum(tl.maximum(tl.abs(x * kept), 3.0) - x, 0)[None, :]", SAME_REALS),
        (TOTAL, "total = tl.sum(w * kept, 0)[None, :]", None),
        (TOTAL, "total = tl.sum(x * w, 0)[None, :]", None),
        (TOTAL, "total = tl.sum(x + 0.3, 0)[None, :]", None),
        (TOTAL, "total = tl.sum(x * x * x, 0)[None, :]", None),
        (TOTAL, "total = tl.sum(tl.exp(x), 0)[None, :]", None),
        (TOTAL, "total = tl.sum(tl.where(kept > 0.5, x, w), 0)[None, :]", None),
        (OUT, OUT.replace("1e-12", "1e-9"), SAME_REALS),
        (OUT, OUT.replace("1e-12", "1e-8"), None),
        (OUT, OUT.replace("1e-12", "1e-3"), None),
        (OUT, "out = (mean + 1.0) / tl.maximum(norm, 1e-12)", None),
        (OUT, "out = w / tl.maximum(norm, 1e-12)", None),
        (OUT, "out = mean / tl.sqrt(tl.maximum(norm, 1e-12))", None),
        (OUT, "out = mean / norm", SAME_REALS),
        (OUT, "out = mean * tl.rsqrt(norm * norm)", SAME_REALS),
        (OUT, "out = mean * tl.rsqrt(norm)", None),
        (OUT, "out = mean / tl.maximum(0.0 - norm, 1e-12)", None),
        (SQUARES, "tl.where(col < 6, mean * mean, 0.0)", None),
        (SQUARES, "tl.where(col < 12, mean, 0.0)", None),
        (SQUARES, "tl.where(col < 12, mean * mean - mean, 0.0)", None),
        (SQUARES, "tl.where(col < 12, mean * w, 0.0)", None),
        (ROOT, f"tl.sum({SQUARES}, 0)", None),
    ],
)
def test_what_a_norm_is_of(mean: Prepared, old: str, new: str, proof: str | None) -> None:
    assert MEAN.count(old) == 1
    text = MEAN.replace(old, new)
    mutant = text.replace(CLAMPED, "tl.maximum(count, 2.0)")
    assert proven_equivalent(mean, text, mutant) == proof


def test_numerators_are_of_the_row(mean: Prepared) -> None:
    other = "mean = tl.load(total_ptr + (place + 12) % 48, mask=col < 12, other=0.0) / count"
    text = MEAN.replace(OUT, f"{other.replace('count', CLAMPED)}\n    {OUT}")
    mutant = text.replace(CLAMPED, "tl.maximum(count, 2.0)")
    assert proven_equivalent(mean, text, mutant) is None


@pytest.mark.parametrize(
    "old_and_new",
    [
        (
            "dtype=torch.float32, device=x.device)\n        count",
            "dtype=torch.float16, device=x.device)\n        count",
        ),
        ("total, mask=col < 12)", "total + tl.max(w, 0)[None, :], mask=col < 12)"),
        (
            "    tl.store(count_ptr",
            "    tl.atomic_add(total_ptr + tl.program_id(0), 0.25)\n    tl.store(count_ptr",
        ),
        (
            "tl.store(count_ptr + tl.program_id(0), count)",
            "tl.store(count_ptr + tl.program_id(0), count * tl.max(tl.max(tl.abs(w), 1), 0))",
        ),
    ],
)
def test_memory_knows_what_is_stored(mean: Prepared, old_and_new: tuple[str, str]) -> None:
    assert MEAN.count(old_and_new[0]) == 1
    text = MEAN.replace(*old_and_new)
    mutant = text.replace(CLAMPED, "tl.maximum(count, 2.0)")
    assert proven_equivalent(mean, text, mutant) is None


@pytest.mark.parametrize("cast", ["", ".bfloat16()"])
def test_other_types_have_no_gap(cast: str) -> None:
    prepared = prepare(PROGRAM.replace(".half()", cast), "Mean", draws=1)
    mutant = MEAN.replace(CLAMPED, "tl.maximum(count, 2.0)")
    assert proven_equivalent(prepared, MEAN, mutant) is None
    pole = MEAN.replace(OUT, "out = mean / norm")
    mutant = pole.replace(CLAMPED, "tl.maximum(count, 2.0)")
    assert proven_equivalent(prepared, pole, mutant) == SAME_REALS
