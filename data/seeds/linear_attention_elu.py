# SPDX-License-Identifier: Apache-2.0
"""Causal linear attention with the feature map elu(x) + 1 and running sums."""

import torch
import torch.nn.functional as F
from torch import nn


def feature_map(x: torch.Tensor) -> torch.Tensor:
    return F.elu(x) + 1.0


class CausalLinearAttention(nn.Module):
    def __init__(self, dim: int, heads: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.heads = heads
        self.eps = eps
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.normal_(self.norm.weight, mean=1.0, std=0.1)
        nn.init.normal_(self.norm.bias, std=0.1)
        nn.init.normal_(self.qkv.weight, std=dim**-0.5)
        nn.init.normal_(self.qkv.bias, std=0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.unbind(dim=2)
        q, k = feature_map(q), feature_map(k)

        # The state after every token: sum of k v^T, and sum of k for the normaliser.
        memory = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(dim=1)
        mass = k.cumsum(dim=1)
        numerator = (q.unsqueeze(-1) * memory).sum(dim=-2)
        denominator = (q * mass).sum(dim=-1, keepdim=True) + self.eps
        attended = (numerator / denominator).flatten(2)
        return x + self.proj(attended)


def get_inputs():
    return [torch.randn(2, 256, 256)]


def get_init_inputs():
    return [256, 8]


def get_shape_variants():
    return [lambda b=b, n=n: [torch.randn(b, n, 256)] for b, n in ((1, 16), (2, 33), (3, 7))]
