"""Proofs that a reduction of several values, such as Welford's, takes them in any order."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Spread(nn.Module):
    def forward(self, a, w):
        weights = w.exp()
        mean = (a * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
        return mean + ((a - mean).square() * weights).sum(-1, keepdim=True)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.randn(6, 12)]
"""
SPREAD = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def join(mean, m2, count, other_mean, other_m2, other_count):
    total = count + other_count
    share = tl.where(total == 0.0, 0.0, other_count / total)
    delta = tl.where(mean == other_mean, 0.0, other_mean - mean)
    return mean + delta * share, m2 + other_m2 + delta * delta * count * share, total


@triton.jit
def spread_kernel(a_ptr, w_ptr, out_ptr):
    cols = tl.arange(0, 16)
    mask = cols < 12
    place = tl.program_id(0) * 12 + cols
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    w = tl.load(w_ptr + place, mask=mask, other=0.0)
    count = tl.where(mask, tl.exp(w), 0.0)
    mean, m2, total = tl.reduce((x, 0.0 * x, count), 0, join)
    tl.store(out_ptr + tl.program_id(0), mean + m2)


class SpreadNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty((6, 1), dtype=torch.float32, device=a.device)
        spread_kernel[(6,)](a, w, out)
        return out
"""
PLACE = "place = tl.program_id(0) * 12 + cols"
REVERSED = "place = tl.program_id(0) * 12 + 11 - cols"
JOIN = "def join(mean, m2, count, other_mean, other_m2, other_count)"
SHARE = "share = tl.where(total == 0.0, 0.0, other_count / total)"
DELTA = "delta = tl.where(mean == other_mean, 0.0, other_mean - mean)"
COUNT = "count = tl.where(mask, tl.exp(w), 0.0)"


@pytest.fixture(scope="module")
def spread() -> Prepared:
    return prepare(PROGRAM, "Spread", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (PLACE, REVERSED, SAME_REALS),
        (JOIN, "def join(other_mean, other_m2, other_count, mean, m2, count)", SAME_REALS),
        (DELTA, "delta = other_mean - mean", FINITE_TERMS),
        (SHARE, "share = tl.where(total == 0.0, 0.0, count / total)", None),
        (SHARE, "share = tl.where(total == 0.0, 1.0, other_count / total)", SAME_REALS),
        (SHARE, "share = other_count / total", None),
        (DELTA, "delta = mean - other_mean", None),
        (DELTA, "delta = tl.where(mean == other_m2, 0.0, other_mean - mean)", None),
        (DELTA, "delta = tl.where(mean == other_mean, 1.0, other_mean - mean)", None),
        ("delta * delta * count * share", "delta * delta * count", None),
        ("delta * delta * count * share", "delta * delta * share", None),
        ("x = tl.load(a_ptr + place", "x = tl.load(a_ptr + place // 2", None),
        (COUNT, "count = tl.where(mask, tl.exp(x), 0.0)", None),
        (COUNT, "count = tl.exp(w)", None),
    ],
)
def test_proofs(spread: Prepared, old: str, new: str, proof: str | None) -> None:
    assert SPREAD.count(old) == 1
    assert proven_equivalent(spread, SPREAD, SPREAD.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (COUNT, "count = tl.where(mask, w, 0.0)"),
        (COUNT, "count = tl.where(mask & (x > 0.0), tl.exp(w), 0.0)"),
        (SHARE, "share = other_count / total"),
        (SHARE, "share = tl.where(total == 0.0, 0.0, 0.5)"),
        (DELTA, "delta = tl.where(mean == other_mean, 1.0, other_mean - mean)"),
        ("delta * delta * count * share", "delta * delta * count"),
        ("count * share, total", "count * share, total - count * other_count"),
        ("(x, 0.0 * x, count)", "(x / w, 0.0 * x, count)"),
        ("(x, 0.0 * x, count)", "(x + 1.0, 0.0 * x, count)"),
    ],
)
def test_where_the_order_may_count(spread: Prepared, old: str, new: str) -> None:
    assert SPREAD.count(old) == 1
    text = SPREAD.replace(old, new)
    assert proven_equivalent(spread, text, text.replace(PLACE, REVERSED)) is None


@pytest.mark.parametrize(
    ("count", "proof"), [("total", SAME_REALS), ("total - count * other_count", None)]
)
def test_what_is_joined_stays_above_zero(spread: Prepared, count: str, proof: str | None) -> None:
    """``a + b - a b`` takes 3 and 3 to -3, though it may be taken in any order."""
    text = SPREAD.replace("* count * share, total", f"* 0.0, {count}").replace(SHARE, "share = 0.0")
    text = text.replace("mean + delta * share", "mean + other_mean")
    inside, outside = ("tl.max(2.0 * x * total, 0)", "tl.max(2.0 * x, 0) * total")
    texts = (text.replace("mean + m2)", f"mean + {value})") for value in (inside, outside))
    assert proven_equivalent(spread, *texts) == proof
