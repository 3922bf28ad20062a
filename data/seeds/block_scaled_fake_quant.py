# SPDX-License-Identifier: Apache-2.0
"""Simulated four-bit floats (E2M1) with one power-of-two scale for each block of 32 values."""

import torch
import torch.nn as nn
import torch.nn.functional as F

BLOCK = 32
E2M1_MAX = 6.0
E2M1_MAX_EXPONENT = 2
TINY = 2.0**-100


def round_to_e2m1(x):
    """Nearest of 0, 0.5, 1, 1.5, 2, 3, 4 and 6, with the sign of x; beyond 6 it saturates."""
    exponent = torch.floor(torch.log2(x.abs().clamp(min=1.0)))
    step = torch.exp2(exponent - 1.0)
    return (torch.round(x / step) * step).clamp(-E2M1_MAX, E2M1_MAX)


def fake_quantise(x):
    """Returns x as its quantised form would give it back, and the exponents of its scales."""
    blocks = x.unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(dim=-1, keepdim=True).clamp(min=TINY)
    exponent = torch.floor(torch.log2(largest)) - E2M1_MAX_EXPONENT
    scale = torch.exp2(exponent)
    quantised = round_to_e2m1(blocks / scale) * scale
    return quantised.flatten(-2), exponent.squeeze(-1)


class MXFP4Linear(nn.Module):
    """A linear layer both of whose operands pass through the four-bit format."""

    def __init__(self, in_features, out_features):
        super().__init__()
        spread = torch.exp(0.5 * torch.randn(out_features, 1))
        weight = torch.randn(out_features, in_features) * spread
        self.weight = nn.Parameter(weight * in_features**-0.5)
        self.bias = nn.Parameter(0.1 * torch.randn(out_features))

    def forward(self, x):
        x_q, x_exponent = fake_quantise(x)
        weight_q, _ = fake_quantise(self.weight)
        return F.linear(x_q, weight_q, self.bias), x_exponent


def get_inputs():
    return [torch.randn(2, 128, 1024) * torch.exp(torch.randn(2, 128, 1))]


def get_init_inputs():
    return [1024, 1024]


def get_shape_variants():
    def draw(batch, length):
        return [torch.randn(batch, length, 1024) * torch.exp(torch.randn(batch, length, 1))]

    return [lambda: draw(1, 8), lambda: draw(2, 17), lambda: draw(3, 5)]
