# SPDX-License-Identifier: Apache-2.0
"""Diffusion residual block: GroupNorm-SiLU-conv twice, modulated by a sinusoidal time embedding."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def timestep_embedding(timesteps: torch.Tensor, dim: int, max_period: float = 10_000.0):
    half = dim // 2
    exponent = torch.arange(half, device=timesteps.device, dtype=torch.float32) / half
    frequencies = torch.exp(-math.log(max_period) * exponent)
    angles = timesteps.float()[:, None] * frequencies[None, :]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def group_norm(channels: int, groups: int = 16) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-6)
    nn.init.normal_(norm.weight, 1.0, 0.1)
    nn.init.normal_(norm.bias, 0.0, 0.1)
    return norm


class TimeResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, time_dim: int = 128):
        super().__init__()
        self.time_dim = time_dim
        self.time_mlp = nn.Sequential(
            nn.Linear(time_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, 2 * out_channels)
        )
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        time = self.time_mlp(timestep_embedding(timesteps, self.time_dim))
        scale, shift = time[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.norm2(hidden) * (1.0 + scale) + shift
        hidden = self.conv2(F.silu(hidden))
        return self.shortcut(x) + hidden


def make_inputs(batch: int, height: int, width: int):
    return [torch.randn(batch, 48, height, width), torch.randint(0, 1000, (batch,))]


def get_inputs():
    return make_inputs(4, 28, 28)


def get_init_inputs():
    return [48, 64]


def get_shape_variants():
    return [
        lambda: make_inputs(2, 14, 14),
        lambda: make_inputs(1, 7, 7),
        lambda: make_inputs(3, 8, 11),
    ]
