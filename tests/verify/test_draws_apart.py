"""Draws that tell apart what adds up: ``muted`` and ``shifted``."""

import pytest
import torch

from builder.verify import judge, prepare
from builder.verify.distributions import Strength
from tests.verify.drawing import drawn

SIZES = (6, 50)


def make():
    return [torch.randn(SIZES), torch.rand(SIZES), torch.randn(SIZES), torch.rand(SIZES) * 2 - 1]


def pairs(distribution, seed=1, strength=Strength.FULL):
    return list(zip(*drawn(make, distribution, seed, strength), strict=True))


def test_muted_inputs_have_one_sign():
    for ours, as_drawn in pairs("muted"):
        assert torch.equal(ours, as_drawn.abs())


def test_what_has_signs_and_no_bound_is_shifted():
    for strength, offset in ((Strength.FULL, 16.0), (Strength.GENTLE, 4.0), (Strength.MILD, 0.0)):
        moved = [ours - as_drawn for ours, as_drawn in pairs("shifted", strength=strength)]
        for difference, expected in zip(moved, (offset, 0.0, offset, 0.0), strict=True):
            assert torch.allclose(difference, torch.full(SIZES, expected), atol=1e-5)


PROGRAM = """
import torch
from torch import nn

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 64))

    def forward(self, x, y):
        scores = (x * self.weight).square().sum(0) * 2.0**20
        return (scores - y.mean()).bfloat16()

class Covariance(nn.Module):
    def forward(self, x, y):
        return ((x - x.mean(0)) * (y - y.mean(0))).sum(0)

def get_init_inputs():
    return []

def get_inputs():
    x = torch.randn(16, 64)
    x[:, 0] *= 2.0**-14  # some bits of the result depend on y
    return [x, torch.randn(16, 64)]
"""
TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def head_kernel(x_ptr, weight_ptr, y_ptr, out_ptr, SEEN: tl.constexpr):
    col = tl.arange(0, 64)
    scores = tl.zeros([64], tl.float32)
    total = tl.zeros([64], tl.float32)
    for row in range(16):
        x = tl.load(x_ptr + row * 64 + col) * tl.load(weight_ptr + row * 64 + col)
        scores += x * x
    for row in range(SEEN):
        total += tl.load(y_ptr + row * 64 + col)
    tl.store(out_ptr + col, scores * 1048576.0 - tl.sum(total, 0) / 1024.0)

@triton.jit
def covariance_kernel(x_ptr, y_ptr, out_ptr, SEEN: tl.constexpr):
    col = tl.arange(0, 64)
    x_total = tl.zeros([64], tl.float32)
    y_total = tl.zeros([64], tl.float32)
    total = tl.zeros([64], tl.float32)
    for row in range(16):
        x_total += tl.load(x_ptr + row * 64 + col)
    for row in range(SEEN):
        y_total += tl.load(y_ptr + row * 64 + col)
    for row in range(16):
        x = tl.load(x_ptr + row * 64 + col) - x_total / 16
        total += x * (tl.load(y_ptr + row * 64 + col) - y_total / 16)
    tl.store(out_ptr + col, total)

def launch_head(x, weight, y, out):
    head_kernel[(1,)](x, weight, y, out, SEEN=16)

def launch_covariance(x, y, out):
    covariance_kernel[(1,)](x, y, out, SEEN=16)

class HeadNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 64))

    def forward(self, x, y):
        out = torch.empty(64, dtype=torch.bfloat16)
        launch_head(x, self.weight, y, out)
        return out

class CovarianceNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty(64)
        launch_covariance(x, y, out)
        return out
"""
SEED = 1


@pytest.mark.parametrize(("distribution", "name"), [("muted", "Head"), ("shifted", "Covariance")])
def test_a_mean_of_half_is_seen_by_the_draw_for_it(monkeypatch, distribution, name):
    half = TRITON.replace("SEEN=16", "SEEN=8")
    for taken, is_seen in (((), False), ((distribution,), True)):
        monkeypatch.setattr("builder.verify.input_sets.APART", taken)
        prepared = prepare(PROGRAM, name, seed=SEED)
        assert judge(prepared, TRITON, targets=()).agrees
        assert judge(prepared, half, targets=()).agrees is not is_seen
