"""Proofs about what a maximum with zero keeps, and what is nothing beside an infinity."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import (
    FINITE_TERMS,
    SAME_REALS,
    SAME_TERMS,
    proven_equivalent,
)
from builder.verify import Prepared, prepare
from tests.bench.proofs.pointwise_samples import proof_of

PROGRAM = """
import torch
import torch.nn.functional as F
from torch import nn


class Rectified(nn.Module):
    def forward(self, x):
        return F.relu(F.celu(F.leaky_relu(x, 0.01))) + x


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16)]
"""
RECTIFIED = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def rectified_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + place)
    leaky = tl.where(x > 0.0, x, x * 0.01)
    bent = tl.where(leaky > 0.0, leaky, libdevice.expm1(leaky))
    tl.store(out_ptr + place, tl.maximum(bent, 0.0) + x)


class RectifiedNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rectified_kernel[(6,)](x, out, BLOCK=16)
        return out
"""


@pytest.fixture(scope="module")
def rectified() -> Prepared:
    return prepare(PROGRAM, "Rectified", draws=2)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("x * 0.01)", "x * 0.02)", SAME_TERMS),
        ("x * 0.01)", "libdevice.tanh(x))", SAME_TERMS),
        ("x * 0.01)", "x * 0.0)", FINITE_TERMS),
        ("libdevice.expm1(leaky))", "libdevice.expm1(leaky) * 0.0)", FINITE_TERMS),
        ("x > 0.0", "x == x", FINITE_TERMS),
        ("tl.where(x > 0.0, x, x * 0.01)", "x", SAME_TERMS),
        ("tl.where(leaky > 0.0, leaky, libdevice.expm1(leaky))", "leaky", SAME_TERMS),
        ("x * 0.01)", "x * -0.01)", None),
        ("libdevice.expm1(leaky))", "libdevice.expm1(leaky) * -1.0)", None),
        ("leaky, libdevice.expm1(leaky))", "leaky * 0.0, libdevice.expm1(leaky))", None),
        ("x * 0.01)", 'x * float("inf"))', None),
        ("x * 0.01)", "x + 0.01)", None),
        ("x > 0.0", "x > -1.0", None),
        ("x > 0.0", "x < 0.0", None),
        ("tl.where(x > 0.0, x, x * 0.01)", "tl.where(x > 0.0, x * 2.0, x * 0.01)", None),
        ("tl.maximum(bent, 0.0)", "tl.maximum(bent, -1.0)", None),
        ("tl.maximum(bent, 0.0)", "bent", None),
    ],
)
def test_what_is_below_zero_does_not_count(
    rectified: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert old in RECTIFIED
    assert proven_equivalent(rectified, RECTIFIED, RECTIFIED.replace(old, new)) == proof


SOFTMAX_PROGRAM = PROGRAM.replace("Rectified", "Softmax").replace(
    "F.relu(F.celu(F.leaky_relu(x, 0.01))) + x", "x[:, :10].softmax(-1)"
)
SOFTMAX = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def softmax_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    cols = tl.arange(0, BLOCK)
    inside = cols < 10
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + cols, mask=inside, other=0.0)
    selected = tl.where(cols < 10, x, float("-inf"))
    largest = tl.max(selected, 0)
    power = libdevice.exp(selected - largest)
    total = tl.sum(tl.where(inside, power, 0.0), 0)
    tl.store(out_ptr + tl.program_id(0) * 10 + cols, power / total, mask=inside)


class SoftmaxNew(nn.Module):
    def forward(self, x):
        out = torch.empty((6, 10), dtype=torch.float32, device=x.device)
        softmax_kernel[(6,)](x, out, BLOCK=16)
        return out
"""


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("tl.where(inside, power, 0.0)", "power", FINITE_TERMS),
        ("tl.where(inside, power, 0.0)", "tl.where(cols < 12, power, 0.0)", FINITE_TERMS),
        ("tl.where(inside, power, 0.0)", "tl.where(cols < 9, power, 0.0)", None),
        ("tl.where(inside, power, 0.0)", "power + 0.5", None),
        ('float("-inf")', "-1e4", SAME_REALS),  # another maximum, in lanes that are left out
    ],
)
def test_what_an_exponential_takes_to_zero_adds_nothing(
    old: str, new: str, proof: str | None
) -> None:
    prepared = prepare(SOFTMAX_PROGRAM, "Softmax", draws=2)
    assert old in SOFTMAX
    assert proven_equivalent(prepared, SOFTMAX, SOFTMAX.replace(old, new)) == proof


def test_an_infinite_sum_of_exponentials_is_no_zero() -> None:
    prepared = prepare(SOFTMAX_PROGRAM, "Softmax", draws=2)
    other = SOFTMAX.replace("selected - largest", "largest - selected")
    more = other.replace("inside, power", "cols < 12, power")
    assert proven_equivalent(prepared, other, more) is None


SINC = "tl.where(x - y == 0.0, 1.0, tl.sin(x - y) / (x - y))"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (SINC, SINC.replace("x - y", "y - x"), SAME_REALS),
        (SINC, SINC.replace("x - y ==", "y - x =="), SAME_REALS),
        (SINC, SINC.replace("sin(x - y)", "sin(y - x)"), None),
        (SINC, SINC.replace("/ (x - y)", "/ (y - x)"), None),
        ("x / (x - y)", "-x / (y - x)", SAME_REALS),
        ("0.0 / (x - y)", "0.0 / (y - x)", SAME_REALS),
        ("x / (x - y)", "x / (y - x)", None),
        ("0.0 / (x - y)", "0.0", None),
        ("tl.where(1.0 / (x * 0.0) > 0.0, x, y)", "x", None),
        ("tl.where(x - y == 1.0, x, y)", "tl.where(y - x == 1.0, x, y)", None),
        ("tl.where(x - y > 0.0, x, y)", "tl.where(y - x > 0.0, x, y)", None),
    ],
)
def test_of_real_numbers_signs_come_out_of_quotients(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof
