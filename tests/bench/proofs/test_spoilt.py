"""Proofs for rows of a block that infinite constants spoil, and that nothing is stored of."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Shared(nn.Module):
    def forward(self, a, w):
        pairs, order = a[:5].softmax(-1).view(5, 8, 2).sort(-1, descending=True)
        pairs = pairs.view(5, 16)
        shares = pairs / pairs.sum(-1, keepdim=True)
        return torch.cat([shares + w[:5], w[5:]]), shares.sum(0), order.view(5, 16)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16), torch.rand(6, 16)]
"""
SHARED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def shares_kernel(a_ptr, w_ptr, out_ptr, total_ptr, order_ptr):
    row = tl.arange(0, 8)[:, None]
    mask = row < 6
    valid = row < 5
    col = tl.arange(0, 16)[None, :]
    place = row * 16 + col
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    w = tl.load(w_ptr + place, mask=mask, other=0.0)
    largest = tl.max(tl.where(valid, x, float("-inf")), 1)[:, None]
    powers = tl.exp(x - largest)
    divisor = tl.sum(tl.where(valid, powers, 0.0), 1)[:, None]
    p = powers / divisor
    partner = tl.broadcast_to(col ^ 1, [8, 16])
    other = tl.gather(p, partner, 1)
    first = (p > other) | ((p == other) & (col < partner))
    keep = first == ((col & 1) == 0)
    pairs = tl.where(keep, p, other)
    order = tl.where(keep, col, partner) & 1
    shares = pairs / tl.sum(pairs, 1)[:, None]
    out = tl.where(valid, shares + w, w)
    total = tl.sum(tl.where(valid, shares, 0.0), 0)
    tl.store(out_ptr + place, out, mask=mask)
    tl.store(total_ptr + tl.arange(0, 16), total)
    tl.store(order_ptr + place, order, mask=valid)


class SharedNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty((6, 16), dtype=torch.float32, device=a.device)
        total = torch.empty(16, dtype=torch.float32, device=a.device)
        order = torch.empty((5, 16), dtype=torch.int32, device=a.device)
        shares_kernel[(1,)](a, w, out, total, order)
        return out, total, order
"""
DIVISOR = "divisor = tl.sum(tl.where(valid, powers, 0.0), 1)[:, None]"
LARGEST = DIVISOR.replace("tl.sum", "tl.max")
POWERS = "powers = tl.exp(x - largest)"
OTHER = "other = tl.gather(p, partner, 1)"
OUT = "out = tl.where(valid, shares + w, w)"
TOTAL = "total = tl.sum(tl.where(valid, shares, 0.0), 0)"
ORDER = "tl.store(order_ptr + place, order, mask=valid)"


@pytest.fixture(scope="module")
def shared() -> Prepared:
    return prepare(PROGRAM, "Shared", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (DIVISOR, LARGEST, SAME_REALS),
        (DIVISOR, "divisor = tl.sum(powers, 1)[:, None]", SAME_TERMS),
        (DIVISOR, "divisor = tl.exp(tl.sum(w, 1))[:, None]", SAME_REALS),
        (OUT, "out = tl.where(valid, shares, 0.0) + w", SAME_TERMS),
        (DIVISOR, f"{LARGEST} * w", None),
        (DIVISOR, f"divisor = 0.0 - {LARGEST.removeprefix('divisor = ')}", None),
        (POWERS, "powers = tl.exp(x - largest - w)", None),
        (POWERS, "powers = tl.exp(largest - x)", None),
        (OTHER, "other = tl.gather(p, partner, 1) * 2.0", None),
        (OTHER, "other = tl.gather(p, partner, 1) / divisor", None),
        (OUT, "out = tl.where(valid, shares + w, x)", None),
        (OUT, "out = tl.where(valid, shares + w, 1.0)", None),
        (OUT, "out = tl.where(row < 4, shares + w, w)", None),
        (OUT, "out = shares + w", None),
        (OUT, "out = tl.where(row < 6, shares + w, w)", None),
        (OUT, "out = tl.where(valid | (w > 0.5), shares + w, w)", None),
        (TOTAL, "total = tl.sum(shares, 0)", None),
        (TOTAL, "total = tl.sum(tl.where(mask, shares, 0.0), 0)", None),
        (TOTAL, "total = tl.sum(tl.where(row < 4, shares, 0.0), 0)", None),
        (ORDER, ORDER.replace("order,", "order ^ 1,"), None),
    ],
)
def test_proofs(shared: Prepared, old: str, new: str, proof: str | None) -> None:
    assert SHARED.count(old) == 1
    assert proven_equivalent(shared, SHARED, SHARED.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OUT, "out = tl.where(row < 7, w, shares)"),
        (OUT, "out = shares + w"),
        (TOTAL, "total = tl.sum(shares, 0)"),
        (TOTAL, "total = tl.sum(tl.cumsum(shares, 0), 0)"),
        (ORDER, "tl.store(out_ptr + place, order, mask=mask)"),
    ],
)
@pytest.mark.parametrize("spoilt", ["0.0", "p / p", "p - p + 1.0"])
def test_what_is_stored_of_spoilt_rows_stays(
    shared: Prepared, old: str, new: str, spoilt: str
) -> None:
    """Numbers in the place of what is none; ``w`` alone is stored of such rows in the first."""
    text = SHARED.replace(old, new)
    mutant = text.replace(OTHER, f"p = tl.where(valid, p, {spoilt})\n    {OTHER}")
    proof = proven_equivalent(shared, text, mutant)
    assert (proof is not None) == ("row < 7" in new)


@pytest.mark.parametrize(("number", "is_same"), [("1.0", False), ("second", True)])
def test_rows_spoilt_by_one_of_two_operands_stay(
    shared: Prepared, number: str, is_same: bool
) -> None:
    second = f"{OTHER}\n    second = tl.max(tl.where(row < 4, x, float('-inf')), 1)[:, None]"
    text = SHARED.replace(OTHER, second).replace(OUT, "out = tl.where(valid, shares - second, w)")
    mutant = text.replace("shares - second", f"shares - tl.where(row == 4, {number}, second)")
    assert (proven_equivalent(shared, text, mutant) is not None) == is_same
    mutant = mutant.replace(DIVISOR, LARGEST)
    assert proven_equivalent(shared, text, mutant) is None


@pytest.mark.parametrize("mask", ["", ", mask=tl.max(w, 0) > 0.5", ", mask=line < 4"])
@pytest.mark.parametrize(("number", "is_same"), [("1.0", False), ("peaks", True)])
def test_a_spoilt_lane_that_is_stored_stays(
    shared: Prepared, mask: str, number: str, is_same: bool
) -> None:
    peaks = "peaks = tl.max(tl.where(mask & (col != 3), x, float('-inf')), 0)"
    total = f"line = tl.arange(0, 16)\n    {peaks}\n    total = peaks"
    store = "tl.store(total_ptr + tl.arange(0, 16), total"
    text = SHARED.replace(TOTAL, total).replace(store, f"{store}{mask}")
    mutant = text.replace("= peaks", f"= tl.where(line == 3, {number}, peaks)")
    assert (proven_equivalent(shared, text, mutant) is not None) == is_same
    mutant = text.replace("= peaks", "= tl.where(line >= 4, 2.0, peaks)")
    assert (proven_equivalent(shared, text, mutant) is not None) == ("line" in mask)
