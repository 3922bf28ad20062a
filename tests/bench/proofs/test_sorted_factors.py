"""Proofs that a sort, and what is loaded of it later, keeps a positive factor of a row."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Ranked(nn.Module):
    def forward(self, a, w):
        pairs, order = a.softmax(-1).view(6, 8, 2).sort(-1, descending=True)
        pairs = pairs.view(6, 16)
        return pairs / (pairs + pairs[:, :1]) + w, order.view(6, 16)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16), torch.rand(6, 16)]
"""
RANKED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sort_kernel(a_ptr, w_ptr, pairs_ptr, order_ptr):
    index = tl.arange(0, 16)
    place = tl.program_id(0) * 16 + index
    x = tl.load(a_ptr + place)
    w = tl.load(w_ptr + place)
    powers = tl.exp(x)
    divisor = tl.sum(powers, 0)
    p = powers / divisor
    partner = index ^ 1
    other = tl.gather(p, partner, 0)
    first = (p > other) | ((p == other) & (index < partner))
    keep = first == ((index & 1) == 0)
    pairs = tl.where(keep, p, other)
    tl.store(pairs_ptr + place, pairs)
    tl.store(order_ptr + place, tl.where(keep, index, partner) & 1)


@triton.jit
def shares_kernel(pairs_ptr, w_ptr, out_ptr):
    index = tl.arange(0, 128)
    mask = index < 96
    pairs = tl.load(pairs_ptr + index, mask=mask)
    leading = tl.load(pairs_ptr + index // 16 * 16, mask=mask)
    w = tl.load(w_ptr + index, mask=mask)
    tl.store(out_ptr + index, pairs / (pairs + leading) + w, mask=mask)


class RankedNew(nn.Module):
    def forward(self, a, w):
        pairs = torch.empty((6, 16), dtype=torch.float32, device=a.device)
        order = torch.empty((6, 16), dtype=torch.int32, device=a.device)
        sort_kernel[(6,)](a, w, pairs, order)
        out = torch.empty((6, 16), dtype=torch.float32, device=a.device)
        shares_kernel[(1,)](pairs, w, out)
        return out, order
"""
DIVISOR = "divisor = tl.sum(powers, 0)"
POWERS = "powers = tl.exp(x)"
OTHER = "other = tl.gather(p, partner, 0)"
LEADING = "leading = tl.load(pairs_ptr + index // 16 * 16, mask=mask)"
STORED = "tl.store(pairs_ptr + place, pairs)"


@pytest.fixture(scope="module")
def ranked() -> Prepared:
    return prepare(PROGRAM, "Ranked", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (DIVISOR, "divisor = tl.max(powers, 0)", SAME_REALS),
        (DIVISOR, "divisor = tl.exp(tl.sum(w, 0))", SAME_REALS),
        (POWERS, "powers = tl.exp(x - tl.max(w, 0))", SAME_REALS),
        (DIVISOR, "divisor = tl.max(powers, 0) * w", None),
        (DIVISOR, "divisor = 0.0 - tl.max(powers, 0)", None),
        (DIVISOR, "divisor = tl.max(x, 0)", None),
        (DIVISOR, "divisor = tl.max(powers * (w > 0.5), 0)", None),
        (POWERS, "powers = tl.exp(x - w)", None),
        (POWERS, "powers = tl.exp(tl.max(w, 0) - x)", None),
        (OTHER, "other = tl.gather(powers, partner, 0)", None),
        (OTHER, "other = tl.gather(p, partner, 0) * 2.0", None),
        (OTHER, f"{OTHER} / tl.max(powers, 0)", None),
        (LEADING, LEADING.replace("// 16 * 16", "// 16 * 15"), None),
        (STORED, f"{STORED[:-1]} * divisor)", SAME_REALS),
        (STORED, f"{STORED[:-1]} * w)", None),
        (STORED, f"{STORED[:-1]} + divisor)", None),
    ],
)
def test_proofs(ranked: Prepared, old: str, new: str, proof: str | None) -> None:
    assert RANKED.count(old) == 1
    assert proven_equivalent(ranked, RANKED, RANKED.replace(old, new)) == proof


@pytest.mark.parametrize("new", ["(leading * leading)", "(leading + 1.0)", "tl.abs(leading)"])
def test_what_is_not_divided_out_stays(ranked: Prepared, new: str) -> None:
    text = RANKED.replace("/ (pairs + leading)", f"/ {new}" if "abs" not in new else f"* {new}")
    mutant = text.replace(DIVISOR, "divisor = tl.max(powers, 0)")
    assert proven_equivalent(ranked, text, mutant) is None
