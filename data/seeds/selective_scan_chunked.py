# SPDX-License-Identifier: Apache-2.0
"""Selective state-space scan in chunks, with decays accumulated in log space."""

import torch
import torch.nn.functional as F
from torch import nn


def segment_sums(log_decay):
    """Sums over (j, i] of the last dimension for i >= j, minus infinity above the diagonal."""
    total = log_decay.cumsum(dim=-1)
    difference = total.unsqueeze(-1) - total.unsqueeze(-2)
    causal = torch.ones_like(difference, dtype=torch.bool).tril()
    return difference.masked_fill(~causal, float("-inf"))


class SelectiveScan(nn.Module):
    """h_t = exp(dt_t * a) * h_{t-1} + dt_t * B_t x_t,  y_t = C_t . h_t + D * x_t, a head at a time.

    Within a chunk the scan is a masked matrix product; between chunks it is carried by their final
    states. Steps that pad the last chunk have dt = 0 and leave the state alone.
    """

    def __init__(self, num_heads, chunk_size=32):
        super().__init__()
        self.chunk_size = chunk_size
        self.log_a = nn.Parameter(torch.rand(num_heads) * 1.5 - 0.5)
        self.dt_bias = nn.Parameter(torch.randn(num_heads) * 0.5 - 2.0)
        self.skip = nn.Parameter(torch.randn(num_heads, 1))

    def forward(self, x, dt, b, c):
        batch, length, heads, width = x.shape
        step = F.softplus(dt + self.dt_bias)
        chunks = (length + self.chunk_size - 1) // self.chunk_size
        pad = chunks * self.chunk_size - length
        u = F.pad(x * step.unsqueeze(-1), (0, 0, 0, 0, 0, pad))
        u = u.view(batch, chunks, self.chunk_size, heads, width)
        b = F.pad(b, (0, 0, 0, pad)).view(batch, chunks, self.chunk_size, -1)
        c = F.pad(c, (0, 0, 0, pad)).view(batch, chunks, self.chunk_size, -1)
        log_decay = F.pad(-step * self.log_a.exp(), (0, 0, 0, pad))
        log_decay = log_decay.view(batch, chunks, self.chunk_size, heads).permute(0, 3, 1, 2)

        mask = segment_sums(log_decay).exp()
        attn = torch.einsum("bcin,bcjn->bcij", c, b).unsqueeze(1) * mask
        y_local = torch.einsum("bhcij,bcjhp->bcihp", attn, u)

        reach = log_decay.cumsum(dim=-1)
        to_end = (reach[..., -1:] - reach).exp()
        states = torch.einsum("bcjn,bhcj,bcjhp->bhcpn", b, to_end, u)
        between = segment_sums(reach[..., -1]).exp()
        ends = torch.einsum("bhij,bhjpn->bhipn", between, states)
        carried = F.pad(ends[:, :, :-1], (0, 0, 0, 0, 1, 0))
        y_carried = torch.einsum("bcin,bhcpn,bhci->bcihp", c, carried, reach.exp())

        y = (y_local + y_carried).reshape(batch, -1, heads, width)[:, :length]
        return y + self.skip * x


def _draw(batch, length, heads=8, width=32, state=16):
    x, dt = torch.randn(batch, length, heads, width), torch.randn(batch, length, heads)
    return [x, dt, torch.randn(batch, length, state), torch.randn(batch, length, state)]


def get_inputs():
    return _draw(2, 256)


def get_init_inputs():
    return [8]


def get_shape_variants():
    return [lambda: _draw(1, 64), lambda: _draw(3, 96), lambda: _draw(2, 77)]
