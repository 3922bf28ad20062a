# SPDX-License-Identifier: Apache-2.0
"""Multi-head latent attention: queries, keys and values are expanded from low-rank latents."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(1.0 + 0.1 * torch.randn(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rotate_pairs(x, angles):
    """Rotates neighbouring channels; x is (..., length, dim), angles (length, dim / 2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class LatentAttention(nn.Module):
    """Only the latent and one rotary key shared by all heads would have to be cached."""

    def __init__(self, dim, heads, q_rank=256, kv_rank=128, nope_dim=64, rope_dim=32, v_dim=64):
        super().__init__()
        self.heads, self.kv_rank = heads, kv_rank
        self.nope_dim, self.rope_dim, self.v_dim = nope_dim, rope_dim, v_dim
        self.q_down = nn.Linear(dim, q_rank, bias=False)
        self.q_norm = RMSNorm(q_rank)
        self.q_up = nn.Linear(q_rank, heads * (nope_dim + rope_dim), bias=False)
        self.kv_down = nn.Linear(dim, kv_rank + rope_dim, bias=False)
        self.kv_norm = RMSNorm(kv_rank)
        self.kv_up = nn.Linear(kv_rank, heads * (nope_dim + v_dim), bias=False)
        self.out = nn.Linear(heads * v_dim, dim, bias=False)
        for proj in (self.q_down, self.q_up, self.kv_down, self.kv_up, self.out):
            nn.init.normal_(proj.weight, std=proj.in_features**-0.5)

    def forward(self, x):
        batch, length, _ = x.shape
        channel = torch.arange(0, self.rope_dim, 2, device=x.device).float()
        inv_freq = 10000.0 ** (-channel / self.rope_dim)
        angles = torch.outer(torch.arange(length, device=x.device).float(), inv_freq)

        q = self.q_up(self.q_norm(self.q_down(x))).view(batch, length, self.heads, -1)
        q_nope, q_rope = q.transpose(1, 2).split([self.nope_dim, self.rope_dim], dim=-1)
        latent, k_rope = self.kv_down(x).split([self.kv_rank, self.rope_dim], dim=-1)
        kv = self.kv_up(self.kv_norm(latent)).view(batch, length, self.heads, -1)
        k_nope, v = kv.transpose(1, 2).split([self.nope_dim, self.v_dim], dim=-1)

        q_rope = rotate_pairs(q_rope, angles)
        k_rope = rotate_pairs(k_rope, angles)[:, None]
        scores = q_nope @ k_nope.mT + q_rope @ k_rope.mT
        scores = scores * (self.nope_dim + self.rope_dim) ** -0.5
        causal = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        probs = F.softmax(scores.where(causal, float("-inf")), dim=-1)
        return self.out((probs @ v).transpose(1, 2).flatten(2))


def get_inputs():
    return [torch.randn(2, 128, 1024)]


def get_init_inputs():
    return [1024, 8]


def get_shape_variants():
    return [lambda b=b, n=n: [torch.randn(b, n, 1024)] for b, n in [(1, 9), (2, 24), (3, 15)]]
