# SPDX-License-Identifier: Apache-2.0
"""Causal attention in float16 whose logits are softly capped by a hyperbolic tangent."""

import torch
import torch.nn.functional as F
from torch import nn

SOFTCAP = 15.0


def soft_cap(logits, cap):
    return cap * torch.tanh(logits / cap)


class SoftcappedAttention(nn.Module):
    """Queries are normalised per head; logits and softmax are in float32, the products' inputs in
    the storage type."""

    def __init__(self, num_heads, head_dim, cap=SOFTCAP):
        super().__init__()
        self.cap = cap
        self.q_weight = nn.Parameter(1.0 + 0.2 * torch.randn(head_dim))
        self.head_scale = nn.Parameter(4.0 + torch.randn(num_heads, 1, 1))

    def forward(self, q, k, v):
        q = q.float()
        q = q * torch.rsqrt(q.square().mean(-1, keepdim=True) + 1e-6) * self.q_weight
        q = q * q.shape[-1] ** -0.5

        logits = torch.matmul(q.to(k.dtype), k.transpose(-1, -2)).float()
        logits = soft_cap(self.head_scale * logits, self.cap)
        rows = torch.arange(logits.shape[-2], device=q.device)
        cols = torch.arange(logits.shape[-1], device=q.device)
        logits = logits.masked_fill(cols > rows[:, None], -torch.inf)
        probs = F.softmax(logits, dim=-1)
        return torch.matmul(probs.to(v.dtype), v)


def _qkv(batch, length, heads=8, head_dim=64):
    return [torch.randn(batch, heads, length, head_dim, dtype=torch.float16) for _ in range(3)]


def get_inputs():
    return _qkv(2, 256)


def get_init_inputs():
    return [8, 64]


def get_shape_variants():
    return [lambda: _qkv(1, 16), lambda: _qkv(2, 33), lambda: _qkv(3, 21)]
