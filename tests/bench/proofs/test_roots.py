"""Proofs that draw constants out of square roots."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.bench.proofs.roots import chosen_scale
from builder.bench.proofs.terms import Term
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Cosine(nn.Module):
    def forward(self, a, b):
        b = b * 0.7071
        norms = a.norm(dim=-1) * b.norm(dim=-1) + 0.1
        return (a * b).sum(-1) / norms * torch.rsqrt((a * a).sum(-1) + 1.0)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.randn(6, 12)]
"""
COSINE = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def cosine_kernel(a_ptr, b_ptr, out_ptr):
    cols = tl.arange(0, 16)
    mask = cols < 12
    place = tl.program_id(0) * 12 + cols
    a = tl.load(a_ptr + place, mask=mask, other=0.0)
    b = tl.load(b_ptr + place, mask=mask, other=0.0)
    scaled = b * 0.7071
    dot = tl.sum(a * scaled, 0)
    ours = tl.sum(tl.where(mask, a * a, 0.0), 0)
    theirs = tl.sum(tl.where(mask, scaled * scaled, 0.0), 0)
    norms = tl.sqrt(ours) * tl.sqrt_rn(theirs) + 0.1
    tl.store(out_ptr + tl.program_id(0), dot / norms * tl.rsqrt(ours + 1.0))


class CosineNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty((6,), dtype=torch.float32, device=a.device)
        cosine_kernel[(6,)](a, b, out)
        return out
"""
LAST = "tl.rsqrt(ours + 1.0)"


@pytest.fixture(scope="module")
def cosine() -> Prepared:
    return prepare(PROGRAM, "Cosine", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("tl.sqrt(ours)", "2.0 * tl.sqrt(ours * 0.25)", SAME_REALS),
        ("tl.sqrt(ours)", "tl.sqrt(ours / 4.0) / 0.5", SAME_REALS),
        ("tl.sqrt(ours)", "tl.sqrt(tl.sum(a * -3.0 * (a * -3.0), 0)) / 3.0", SAME_REALS),
        ("tl.sqrt_rn(theirs)", "tl.sqrt_rn(tl.sum(b * b, 0)) * 0.7071", SAME_REALS),
        (LAST, "(2.0 * tl.rsqrt((ours + 1.0) * 4.0))", SAME_REALS),
        (LAST, "(2.0 * tl.rsqrt(ours * 4.0 + 1.0))", None),
        (LAST, "(0.5 * tl.rsqrt((ours + 1.0) * 4.0))", None),
        ("tl.sqrt(ours)", "2.0 * tl.sqrt(ours * 0.5)", None),
        ("tl.sqrt(ours)", "0.5 * tl.sqrt(ours * 0.25)", None),
        ("tl.sqrt(ours)", "2.0 * tl.sqrt(ours * -0.25)", None),
        ("tl.sqrt(ours)", "tl.sqrt(tl.sum(a * -3.0 * (a * -3.0), 0)) / -3.0", None),
        ("tl.sqrt(ours)", "tl.sqrt(tl.sum(a * 3.0 * (a + 3.0), 0)) / 3.0", None),
        ("tl.sqrt_rn(theirs)", "tl.sqrt_rn(tl.sum(b * b, 0)) * 0.7072", None),
        ("tl.sqrt_rn(theirs)", "tl.sqrt_rn(ours) * 0.7071", None),
        ("tl.where(mask, a * a, 0.0)", "tl.where(mask, a * a * 4.0, a)", None),
    ],
)
def test_proofs(cosine: Prepared, old: str, new: str, proof: str | None) -> None:
    assert COSINE.count(old) == 1
    assert proven_equivalent(cosine, COSINE, COSINE.replace(old, new)) == proof


def test_the_vectors_of_a_cosine_have_no_order(cosine: Prepared) -> None:
    text = COSINE.replace(f" * {LAST}", "").replace("sqrt_rn", "sqrt")
    swapped = text.replace("(a, b, out)", "(b, a, out)")
    assert proven_equivalent(cosine, text, swapped) == SAME_REALS
    assert proven_equivalent(cosine, COSINE, COSINE.replace("(a, b, out)", "(b, a, out)")) is None


def test_a_selection_has_the_scale_of_either_side() -> None:
    words = np.zeros(2, dtype=np.uint64)
    zero, plain = Term(words, constant=np.zeros(2)), Term(words)
    two, three = (Term(words, scale=Fraction(number)) for number in (2, 3))
    assert chosen_scale(zero, two) == chosen_scale(two, plain) == 2
    assert chosen_scale(three, two) == chosen_scale(two, three) == 2
    assert chosen_scale(zero, plain) is None
