"""A pointwise kernel whose result is put in, for proofs."""

from __future__ import annotations

from builder.bench.proofs.equivalence import proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Pointwise(nn.Module):
    def forward(self, x, y):
        return x + y


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 16), torch.randn(6, 16)]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def apart(a, b):
    return b - a


@triton.jit
def apart_or_zero(a, b):
    return tl.where(a == b, 0.0, b - a)


@triton.jit
def pointwise_kernel(x_ptr, y_ptr, out_ptr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = tl.arange(0, BLOCK) < 12
    x = tl.load(x_ptr + place)
    y = tl.load(y_ptr + place, mask=inside, other=0.0)
    tl.store(out_ptr + place, RESULT)


class PointwiseNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        pointwise_kernel[(6,)](x, y, out, BLOCK=16)
        return out
"""


def pointwise_prepared() -> Prepared:
    return prepare(PROGRAM, "Pointwise", draws=1)


def proof_of(pointwise: Prepared, old: str, new: str) -> str | None:
    texts = (TEXT.replace("RESULT", result) for result in (old, new))
    return proven_equivalent(pointwise, *texts)
