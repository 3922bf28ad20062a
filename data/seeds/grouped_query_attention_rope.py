# SPDX-License-Identifier: Apache-2.0
"""Causal attention with fewer key heads than query heads and rotary positions."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def rotary_tables(length, head_dim, base, device):
    inv_freq = base ** (-torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angles = torch.arange(length, device=device).float()[:, None] * inv_freq
    return angles.cos(), angles.sin()


def apply_rotary(x, cos, sin):
    """Rotates the two halves of the last dimension against each other."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class GroupedQueryAttention(nn.Module):
    def __init__(self, hidden_size, num_heads, num_kv_heads, rope_base=10000.0):
        super().__init__()
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = hidden_size // num_heads
        self.rope_base = rope_base
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(hidden_size, num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        for proj in (self.q_proj, self.k_proj, self.v_proj, self.o_proj):
            nn.init.normal_(proj.weight, std=1.5 / math.sqrt(hidden_size))

    def forward(self, hidden):
        batch, length, _ = hidden.shape
        groups = self.num_heads // self.num_kv_heads
        q = self.q_proj(hidden).view(batch, length, self.num_heads, -1).transpose(1, 2)
        k = self.k_proj(hidden).view(batch, length, self.num_kv_heads, -1).transpose(1, 2)
        v = self.v_proj(hidden).view(batch, length, self.num_kv_heads, -1).transpose(1, 2)

        cos, sin = rotary_tables(length, self.head_dim, self.rope_base, hidden.device)
        q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        k = k.repeat_interleave(groups, dim=1)
        v = v.repeat_interleave(groups, dim=1)

        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        future = torch.ones(length, length, dtype=torch.bool, device=hidden.device).triu(1)
        probs = F.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
        context = (probs @ v).transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(context)


def get_inputs():
    return [torch.randn(2, 256, 512)]


def get_init_inputs():
    return [512, 8, 2]


def get_shape_variants():
    sizes = [(1, 16), (2, 33), (3, 20)]
    return [lambda b=b, n=n: [torch.randn(b, n, 512)] for b, n in sizes]
