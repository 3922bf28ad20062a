# SPDX-License-Identifier: Apache-2.0
"""Retention in its parallel form: products of queries and keys under an exponential decay mask."""

import torch
from torch import nn
from torch.nn import functional as F


def decay_mask(length, log_gamma):
    """gamma^(n - m) for m <= n, zero elsewhere, rows scaled by the root of their sum."""
    index = torch.arange(length, device=log_gamma.device)
    distance = (index[:, None] - index[None, :]).to(log_gamma.dtype)
    log_mask = (distance * log_gamma[:, None, None]).masked_fill(distance < 0, float("-inf"))
    mask = log_mask.exp()
    return mask / mask.sum(dim=-1, keepdim=True).sqrt()


class MultiScaleRetention(nn.Module):
    def __init__(self, width=512, heads=4, eps=1e-5):
        super().__init__()
        self.heads = heads
        self.eps = eps
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm_weight = nn.Parameter(torch.randn(width).mul(0.1).add(1.0))
        gamma = 1.0 - torch.exp2(-3.0 - torch.arange(heads, dtype=torch.float32))
        self.register_buffer("log_gamma", gamma.log())
        nn.init.normal_(self.gate.bias, std=0.3)
        nn.init.normal_(self.output.bias, std=0.1)

    def split_heads(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        q = self.split_heads(self.query(x))
        k = self.split_heads(self.key(x))
        v = self.split_heads(self.value(x))

        scores = (q @ k.transpose(-1, -2)) * decay_mask(x.shape[1], self.log_gamma)
        retained = (scores @ v).transpose(1, 2).flatten(2)

        mean_square = retained.pow(2).mean(-1, keepdim=True)
        retained = retained * (mean_square + self.eps).rsqrt() * self.norm_weight
        return self.output(F.silu(self.gate(x)) * retained)


def get_inputs():
    return [torch.randn(2, 192, 512)]


def get_shape_variants():
    return [
        lambda: [torch.randn(1, 24, 512)],
        lambda: [torch.randn(2, 33, 512)],
        lambda: [torch.randn(3, 9, 512)],
    ]
