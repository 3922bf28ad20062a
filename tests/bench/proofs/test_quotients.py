"""Proofs that clamps do nothing to what is divided by its largest size, and near misses."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, proven_equivalent
from builder.verify import prepare

QUANTISED_PROGRAM = """
import torch
from torch import nn


class Quantised(nn.Module):
    def forward(self, x):
        scale = x.abs().amax(1, keepdim=True).clamp(min=1e-5) / 127.0
        return torch.clamp(torch.round(x / scale), -128, 127)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 10)]
"""
QUANTISED = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def quantise_kernel(x_ptr, out_ptr, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    inside = (row < 6) & (col < 10)
    x = tl.load(x_ptr + row * 10 + col, inside, other=0.0)
    size = tl.where(inside, tl.abs(x), float("-inf"))
    scale = maximum(tl.reduce(size, 1, maximum)[:, None], 1e-5) / 127.0
    rounded = libdevice.nearbyint(x / scale)
    clamped = minimum(maximum(rounded, -128.0), 127.0)
    tl.store(out_ptr + row * 10 + col, clamped, inside)


class QuantisedNew(nn.Module):
    def forward(self, x):
        out = torch.empty((6, 10), dtype=torch.float32, device=x.device)
        quantise_kernel[(2,)](x, out, ROWS=4, COLS=16)
        return out
"""


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("-128.0", "-256.0", FINITE_TERMS),
        ("-128.0), 127.0", "-127.0), 127.5", FINITE_TERMS),
        ("minimum(maximum(rounded, -128.0), 127.0)", "rounded", FINITE_TERMS),
        ("-128.0", "-126.0", None),
        ("127.0)", "126.0)", None),
        # a maximum of other values bounds nothing, nor does one without sizes
        ("x / scale", "(x + 1.0) / scale", None),
        ("tl.abs(x)", "x", None),
        ("/ 127.0", "/ 128.0", None),
    ],
)
def test_clamps_that_a_quotient_never_comes_to(old: str, new: str, proof: str | None) -> None:
    assert old in QUANTISED
    prepared = prepare(QUANTISED_PROGRAM, "Quantised", draws=1)
    assert proven_equivalent(prepared, QUANTISED, QUANTISED.replace(old, new)) == proof


@pytest.mark.parametrize("change", ["(x + 1.0) / scale", "x / (scale * 0.5)"])
def test_a_clamp_that_a_quotient_comes_to_stays(change: str) -> None:
    prepared = prepare(QUANTISED_PROGRAM, "Quantised", draws=1)
    text = QUANTISED.replace("x / scale", change)
    assert proven_equivalent(prepared, text, text.replace("-128.0", "-256.0")) is None
