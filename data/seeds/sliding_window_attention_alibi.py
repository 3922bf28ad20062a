# SPDX-License-Identifier: Apache-2.0
"""Causal attention within a sliding window, with linear position biases."""

import torch
from torch import nn


def alibi_slopes(num_heads: int) -> torch.Tensor:
    """A geometric sequence from 2^(-8/n) to 2^-8."""
    return torch.exp2(-8.0 * torch.arange(1, num_heads + 1).float() / num_heads)


class SlidingWindowAttention(nn.Module):
    """Every query sees itself and the ``window - 1`` keys before it."""

    def __init__(self, width: int = 384, heads: int = 6, window: int = 24) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        nn.init.normal_(self.qkv.weight, std=1.6 * width**-0.5)
        nn.init.normal_(self.out.bias, std=0.2)
        self.register_buffer("slopes", alibi_slopes(heads).view(heads, 1, 1))

    def position_bias(self, length: int, device: torch.device) -> torch.Tensor:
        position = torch.arange(length, device=device)
        distance = position[:, None] - position[None, :]
        visible = (distance >= 0) & (distance < self.window)
        bias = -self.slopes * distance
        return torch.where(visible, bias, float("-inf"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, width = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
        weights = (scores + self.position_bias(n, x.device)).softmax(dim=-1)
        mixed = torch.einsum("bhij,bhjd->bihd", weights, v)
        return self.out(mixed.reshape(b, n, width))


def get_inputs():
    return [torch.randn(2, 256, 384)]


def get_shape_variants():
    return [
        lambda: [torch.randn(1, 33, 384)],
        lambda: [torch.randn(2, 48, 384)],
        lambda: [torch.randn(3, 41, 384)],
    ]
