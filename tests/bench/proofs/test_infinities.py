"""Proofs for rows of real numbers of which some lanes are masked by minus infinity."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Sunk(nn.Module):
    def forward(self, a, w):
        hidden = torch.ones(8, 8, dtype=torch.bool, device=a.device).triu(1)
        scores = a.masked_fill(hidden, float("-inf"))
        total = torch.logsumexp(scores, -1, keepdim=True)
        return scores.softmax(-1) + torch.exp(scores - torch.logaddexp(total, w[:, :1]))


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(8, 8), torch.randn(8, 8)]
"""
SUNK = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sunk_kernel(a_ptr, w_ptr, out_ptr):
    row = tl.arange(0, 8)[:, None]
    col = tl.arange(0, 8)[None, :]
    x = tl.load(a_ptr + row * 8 + col)
    w = tl.load(w_ptr + row * 8 + col)
    sink = tl.load(w_ptr + row * 8)
    low = float("-inf")
    scores = tl.where(col > row, low, x)
    largest = tl.max(scores, 1)[:, None]
    shift = tl.where(tl.abs(largest) == float("inf"), 0.0, largest)
    powers = tl.exp(scores - shift)
    total = tl.sum(powers, 1)[:, None]
    whole = tl.log(total) + shift
    greater = tl.where(whole >= sink, whole, sink)
    lesser = tl.where(whole >= sink, sink, whole)
    sunk = greater + tl.log(1.0 + tl.exp(lesser - greater))
    tl.store(out_ptr + row * 8 + col, powers / total + tl.exp(scores - sunk))


class SunkNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty((8, 8), dtype=torch.float32, device=a.device)
        sunk_kernel[(1,)](a, w, out)
        return out
"""
SCORES = "scores = tl.where(col > row, low, x)"
LARGEST = "largest = tl.max(scores, 1)[:, None]"
SHIFT = 'shift = tl.where(tl.abs(largest) == float("inf"), 0.0, largest)'
POWERS = "powers = tl.exp(scores - shift)"
TOTAL = "total = tl.sum(powers, 1)[:, None]"
STORED = "powers / total + tl.exp(scores - sunk)"
WHOLE = "whole = tl.log(total) + shift"


@pytest.fixture(scope="module")
def sunk() -> Prepared:
    return prepare(PROGRAM, "Sunk", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (LARGEST, LARGEST.replace("scores", "tl.where(col < row, low, x)"), SAME_REALS),
        (LARGEST, LARGEST.replace("scores", "tl.where(col <= row + 1, low, x)"), SAME_REALS),
        (LARGEST, LARGEST.replace("scores", "scores - tl.exp(w)"), SAME_REALS),
        (LARGEST, LARGEST.replace("max(scores", "min(tl.where(col > row, 2.0, x)"), SAME_REALS),
        (SHIFT, "shift = tl.sum(w, 1)[:, None]", SAME_REALS),
        (SHIFT, "shift = 0.0", SAME_REALS),
        (POWERS, "powers = tl.exp(0.5 + (scores - 0.5) - shift)", SAME_REALS),
        (POWERS, "powers = tl.exp((scores - shift).to(tl.bfloat16).to(tl.float32))", SAME_REALS),
        (POWERS, "powers = tl.where(col > row, 0.0, tl.exp(x - shift))", SAME_REALS),
        (LARGEST, LARGEST.replace("scores", "tl.where(w > 0.5, low, x)"), None),
        (SHIFT, "shift = tl.max(tl.where(col <= row + 1, low, x), 1)[:, None]", None),
        (SHIFT, 'shift = tl.max(tl.where(w > 0.5, float("inf"), x), 1)[:, None]', None),
        (SHIFT, "shift = w", None),
        (SHIFT, "shift = tl.max(scores, 0)[None, :]", None),
        (SHIFT, "shift = tl.log(tl.sum(w, 1)[:, None])", None),
        (POWERS, "powers = tl.exp(scores - 2.0 * shift)", None),
        (POWERS, "powers = tl.exp(scores - shift - w)", None),
        (POWERS, "powers = tl.exp2(scores - shift)", None),
        (POWERS, "powers = tl.exp(shift - scores)", None),
        (POWERS, POWERS.replace("scores", "tl.where(col > row + 1, low, x)"), None),
        (POWERS, POWERS.replace("scores", "tl.where(col > row, 0.0, x)"), None),
        (POWERS, POWERS.replace("scores", "tl.where(col > row, -low, x)"), None),
        (POWERS, POWERS.replace("scores", "tl.where(w > 0.5, low, x)"), None),
        (WHOLE, "whole = tl.log(total) + tl.max(x, 1)[:, None]", None),
        (WHOLE, "whole = tl.log2(total) + shift", None),
        (WHOLE, "whole = tl.log(total) - shift", None),
        (WHOLE, "whole = tl.log(total)", None),
        (TOTAL, TOTAL.replace("powers", "scores - shift"), None),
        (TOTAL, TOTAL.replace("powers", "tl.where(col > 0, powers, 0.0)"), None),
    ],
)  # fmt: skip
def test_proofs(sunk: Prepared, old: str, new: str, proof: str | None) -> None:
    assert SUNK.count(old) == 1
    assert proven_equivalent(sunk, SUNK, SUNK.replace(old, new)) == proof


@pytest.mark.parametrize("stored", ["scores + 1.5", "scores - w", "tl.exp(scores - w)"])
@pytest.mark.parametrize("number", ["0.0", "1.0", "2.5", "-low", "x"])
def test_what_is_infinite_stays(sunk: Prepared, stored: str, number: str) -> None:
    """A number in the place of an infinity, also the one that rules are given there, is seen."""
    text = SUNK.replace(STORED, stored)
    assert SUNK.count(STORED) == 1
    mutant = text.replace(
        SCORES, f"scores = tl.where(col > row, tl.where(col == 7, {number}, low), x)"
    )
    assert proven_equivalent(sunk, text, mutant) is None
    same = text.replace(SCORES, "scores = 0.5 + tl.where(col > row, low, x - 0.5)")
    assert proven_equivalent(sunk, text, same) == SAME_REALS
