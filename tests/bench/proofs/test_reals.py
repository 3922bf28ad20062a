"""Proofs that read floats as real numbers, and the exactness that then decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builder.bench.mutants.errors import errors_of, is_worse
from builder.bench.proofs.equivalence import SAME_REALS, SAME_TERMS, proven_equivalent
from builder.bench.proofs.field import (
    PRIME,
    field_add,
    field_elements,
    field_product,
    field_sum,
)
from builder.bench.proofs.terms import Term, combined, name_hash
from builder.verify import Prepared, prepare
from tests.bench.proofs.pointwise_samples import proof_of

PROGRAM = """
import torch
from torch import nn


class Mix(nn.Module):
    def forward(self, a, b, w):
        y = a.float() + w.float() * (b.float() - a.float())
        return torch.sin(y / 7.0) * y.sum(-1, keepdim=True) + (w + a) + b


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16).half() for _ in range(3)]
"""
MIX = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mix_kernel(a_ptr, b_ptr, w_ptr, out_ptr, BLOCK: tl.constexpr):
    cols = tl.arange(0, BLOCK)
    place = tl.program_id(0) * BLOCK + cols
    a = tl.load(a_ptr + place).to(tl.float32)
    b = tl.load(b_ptr + place).to(tl.float32)
    w = tl.load(w_ptr + place).to(tl.float32)
    y = a + w * (b - a)
    total = tl.sum(y, 0)
    scaled = y / 7.0
    added = (w + a).to(tl.float16).to(tl.float32)
    edge = tl.where(cols < 3, 0.0, a)
    added = tl.where(edge <= 1000.5, added, 9.0)
    tl.store(out_ptr + place, tl.sin(scaled) * total + added + b)


class MixNew(nn.Module):
    def forward(self, a, b, w):
        out = torch.empty((6, 16), dtype=torch.float32, device=a.device)
        mix_kernel[(6,)](a, b, w, out, BLOCK=16)
        return out
"""


FROM_EITHER_END = "y = tl.where(w > 0.5, b, a) + tl.where(w > 0.5, w - 1.0, w) * (b - a)"
CONTRARY = "y = tl.where(~(w > 0.5), a, b) + tl.where(w > 0.5, w - 1.0, w) * (b - a)"


@pytest.fixture(scope="module")
def mix() -> Prepared:
    return prepare(PROGRAM, "Mix", draws=2)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("y = a + w * (b - a)", "y = b - (1.0 - w) * (b - a)", SAME_REALS),
        ("y = a + w * (b - a)", "y = w * b + (1.0 - w) * a", SAME_REALS),
        ("(w + a).to(tl.float16).to(tl.float32)", "w + a", SAME_REALS),
        ("* total + added + b", "* total + (b + added)", SAME_REALS),
        ("tl.sin(scaled) * total", "tl.sin(y / -7.0) * -total", SAME_REALS),
        ("total = tl.sum(y, 0)", "total = tl.sum(a, 0) + tl.sum(w * (b - a), 0)", SAME_REALS),
        ("total = tl.sum(y, 0)", "total = tl.sum(y * 3.0, 0) / 3.0", SAME_REALS),
        ("total = tl.sum(y, 0)", "total = tl.sum(y / (a * 5.0), 0) * (a + a) * 2.5", None),
        ("scaled = y / 7.0", "scaled = (y / (total * 7.0)) * total", None),
        ("scaled = y / 7.0", "scaled = y / 7.0 + (y - y) / total", None),
        ("total = tl.sum(y, 0)", "total = tl.sum(y * 3.0, 0) / 3.0000002", None),
        ("y = a + w * (b - a)", "y = a + w * (a - b)", None),
        ("y = a + w * (b - a)", FROM_EITHER_END, SAME_REALS),
        ("y = a + w * (b - a)", FROM_EITHER_END.replace("> 0.5", "> a"), SAME_REALS),
        ("y = a + w * (b - a)", CONTRARY, SAME_REALS),
        ("y = a + w * (b - a)", FROM_EITHER_END.replace("w > 0.5, w", "w > 0.4, w"), None),
        ("y = a + w * (b - a)", FROM_EITHER_END.replace("b, a)", "a, b)"), None),
        ("y = a + w * (b - a)", FROM_EITHER_END.replace("- 1.0", "- 2.0"), None),
        ("tl.sin(scaled) * total", "tl.cos(y / -7.0) * -total", None),
        ("tl.sin(scaled) * total", "tl.sin(y / -7.0) * total", None),
        ("added + b", "added + a", None),
        # comparisons of zero with a constant are known, those of data are not
        ("edge <= 1000.5", "(cols < 3) | (edge <= 1000.5)", SAME_TERMS),
        ("edge <= 1000.5", "(cols < 4) | (edge <= 1000.5)", None),
    ],
)
def test_proofs(mix: Prepared, old: str, new: str, proof: str | None) -> None:
    assert old in MIX
    assert proven_equivalent(mix, MIX, MIX.replace(old, new)) == proof


def test_exactness_tells_apart_what_reals_do_not(mix: Prepared) -> None:
    original = errors_of(mix, MIX)
    wide = errors_of(mix, MIX.replace("(w + a).to(tl.float16).to(tl.float32)", "w + a"))
    narrow = errors_of(mix, MIX.replace("* total +", "* total.to(tl.float16) +"))
    lost = errors_of(mix, MIX.replace("y / 7.0", "(y + 3e4) / 7.0 - 3e4 / 7.0"))
    assert original is not None
    assert wide is not None
    assert narrow is not None
    assert lost is not None
    assert not is_worse(narrow, original)
    assert is_worse(lost, original)
    assert not lost.within_eager(agrees=True)
    assert original.largest.keys() == wide.largest.keys()


def test_a_loss_that_eager_has_too_is_told_apart() -> None:
    text = PROGRAM.replace("a.float() + w.float() * (b.float() - a.float())", "a + w * (b - a)")
    text = text.replace("y.sum", "y.float().sum")
    prepared = prepare(text, "Mix", draws=2)
    exact = MIX.replace("(w + a).to(tl.float16).to(tl.float32)", "w + a")
    found = errors_of(prepared, exact)
    assert found is not None
    assert found.within_eager(agrees=False)
    assert not replace(found, times_eager=2.125).within_eager(agrees=True)
    undecided = replace(found, decides_otherwise=True)
    assert undecided.within_eager(agrees=True)
    assert not undecided.within_eager(agrees=False)
    assert not replace(undecided, has_floats=False).within_eager(agrees=True)
    rounded = errors_of(prepared, exact.replace("total = tl.sum(y, 0)", "total = tl.sum(y, 0) + 1"))
    assert rounded is not None
    assert not rounded.within_eager(agrees=True)


MEAN_PROGRAM = """
import torch
from torch import nn


class Mean(nn.Module):
    def forward(self, a, w):
        return (a * w).float().mean(0)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(64, 2).half(), torch.randn(64, 2).half()]
"""
MEAN = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mean_kernel(a_ptr, w_ptr, out_ptr):
    col = tl.program_id(0)
    place = tl.arange(0, 64) * 2 + col
    a = tl.load(a_ptr + place).to(tl.float32)
    w = tl.load(w_ptr + place).to(tl.float32)
    product = (a * w * 1.5).to(tl.float16).to(tl.float32) / 1.5
    tl.store(out_ptr + col, tl.sum(product, 0) / 64)


class MeanNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty(2, dtype=torch.float32, device=a.device)
        mean_kernel[(2,)](a, w, out)
        return out
"""


def test_eager_that_is_near_by_luck_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two numbers, each a mean of 64 that eager rounds, too, though otherwise."""
    prepared = prepare(MEAN_PROGRAM, "Mean", draws=5, seed=2)
    coarse = errors_of(prepared, MEAN.replace("float16", "bfloat16"))
    assert coarse is not None
    assert not coarse.within_eager(agrees=True)
    sampled = errors_of(prepared, MEAN)
    assert sampled is not None
    assert sampled.within_eager(agrees=True)
    monkeypatch.setattr("builder.verify.question.eager_samples", lambda *_: ())
    first = errors_of(prepare(MEAN_PROGRAM, "Mean", draws=5, seed=2), MEAN)
    assert first is not None
    assert not first.within_eager(agrees=True)


def test_arithmetic_is_the_fields() -> None:
    prime = int(PRIME)
    generator = np.random.default_rng(3)
    one, other = generator.integers(0, prime, (2, 500), dtype=np.uint64)
    one[:3], other[:3] = (0, 1, prime - 1), (prime - 1, prime - 1, prime - 1)
    ours = [int(a) for a in one], [int(b) for b in other]
    assert field_add(one, other).tolist() == [(a + b) % prime for a, b in zip(*ours, strict=True)]
    assert field_product(one, other).tolist() == [a * b % prime for a, b in zip(*ours, strict=True)]
    assert int(field_sum(one, 0).item()) == sum(ours[0]) % prime
    numbers = np.array([0.0, 1.0, -1.0, 0.1])
    elements = field_elements(Term(np.zeros(4, dtype=np.uint64), constant=numbers), "f32").tolist()
    top, bottom = (0.1).as_integer_ratio()
    assert elements[:3] == [0, 1, prime - 1]
    assert elements[3] * bottom % prime == top


def test_elements_and_their_negatives_are_told_apart() -> None:
    words = np.array([5, 7], dtype=np.uint64)
    one, other = combined(name_hash("f"), [words, PRIME - words], commutes=True)
    assert one != other
    turned = combined(name_hash("f"), [PRIME - words, words], commutes=True)
    assert turned.tolist() == [one, other]


def test_zero_over_a_number_is_not_one_over_it(pointwise: Prepared) -> None:
    halves = "tl.where(tl.arange(0, BLOCK) < 8, NUMBER, x) / tl.exp(x)"
    texts = (halves.replace("NUMBER", number) for number in ("0.0", "1.0"))
    assert proof_of(pointwise, *texts) is None
