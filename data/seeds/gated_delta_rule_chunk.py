# SPDX-License-Identifier: Apache-2.0
"""Gated delta rule over chunks, the triangular inverse as a product of squares."""

import torch
import torch.nn.functional as F
from torch import nn


def unit_lower_inverse(strict_lower):
    """(I + L)^-1 of a strictly lower L, by (I - L)(I + L^2)(I + L^4)..., which ends since L is
    nilpotent."""
    size = strict_lower.shape[-1]
    eye = torch.eye(size, dtype=strict_lower.dtype, device=strict_lower.device)
    inverse, power, degree = eye - strict_lower, strict_lower, 2
    while degree < size:
        power = power @ power
        inverse = inverse @ (eye + power)
        degree *= 2
    return inverse


class GatedDeltaRule(nn.Module):
    """S_t = exp(g_t) (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T,  o_t = S_t^T q_t."""

    def __init__(self, num_heads: int, chunk_size: int = 32):
        super().__init__()
        self.chunk_size = chunk_size
        self.decay_log = nn.Parameter(torch.randn(num_heads, 1) * 0.3 - 1.5)
        self.dt_bias = nn.Parameter(torch.randn(num_heads, 1) * 0.5)

    def forward(self, q, k, v, decay, beta):
        heads_first, length = q.shape[:2], q.shape[2]
        split = (*heads_first, length // self.chunk_size, self.chunk_size)
        q = F.normalize(q, dim=-1).view(*split, -1) * q.shape[-1] ** -0.5
        k = F.normalize(k, dim=-1).view(*split, -1)
        beta = torch.sigmoid(beta).view(*split, 1)
        rate = -self.decay_log.exp() * F.softplus(decay + self.dt_bias)
        g = rate.view(split).cumsum(dim=-1)

        causal = torch.ones_like(g[0, 0, 0]).bool().expand(self.chunk_size, -1).tril()
        relative = (g.unsqueeze(-1) - g.unsqueeze(-2)).masked_fill(~causal, float("-inf")).exp()
        overlap = ((beta * k) @ k.mT * relative).tril(-1)
        inverse = unit_lower_inverse(overlap)
        values = inverse @ (beta * v.view(*split, -1))
        erased = inverse @ (beta * k * g.exp().unsqueeze(-1))
        attn = q @ k.mT * relative

        state = torch.zeros_like(k[:, :, 0].mT @ values[:, :, 0])
        outputs = []
        for i in range(split[2]):
            g_i, last = g[:, :, i].unsqueeze(-1), g[:, :, i, -1:].unsqueeze(-1)
            fresh = values[:, :, i] - erased[:, :, i] @ state
            outputs.append((q[:, :, i] * g_i.exp()) @ state + attn[:, :, i] @ fresh)
            state = state * last.exp() + (k[:, :, i] * (last - g_i).exp()).mT @ fresh
        return torch.cat(outputs, dim=2), state


def _draw(batch, heads=4, length=128, key_dim=32, value_dim=64):
    q, k = torch.randn(2, batch, heads, length, key_dim).unbind(0)
    v = torch.randn(batch, heads, length, value_dim)
    decay, beta = torch.randn(batch, heads, length), torch.randn(batch, heads, length)
    return [q.clone(), k.clone(), v, decay, beta]


def get_inputs():
    return _draw(8)


def get_init_inputs():
    return [4]


def get_shape_variants():
    return [lambda n=n: _draw(n) for n in (1, 2, 3)]
