# SPDX-License-Identifier: Apache-2.0
"""Speech front end: learned filter bank, log compression, masked mean-variance normalisation."""

from typing import Tuple

import torch
from torch import Tensor, nn
import torch.nn.functional as F

NUM_BINS = 201
NUM_FILTERS = 80


def triangular_filters(num_filters: int, num_bins: int) -> Tensor:
    """Overlapping triangles, narrow at low frequencies and wide at high ones."""
    edges = torch.linspace(0.0, 1.0, num_filters + 2).pow(1.6) * (num_bins - 1)
    bins = torch.arange(num_bins, dtype=torch.float32)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2] + 1e-3)[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1] + 1e-3)[:, None]
    return torch.minimum(rising, falling).clamp(min=0.0)


def masked_moments(x: Tensor, mask: Tensor) -> Tuple[Tensor, Tensor]:
    count = mask.sum(dim=-1, keepdim=True)
    mean = (x * mask).sum(dim=-1, keepdim=True) / count
    variance = ((x - mean).square() * mask).sum(dim=-1, keepdim=True) / count
    return mean, variance


class LogMelCMVN(nn.Module):
    def __init__(self, floor: float = 1e-3, eps: float = 1e-4):
        super().__init__()
        noise = 0.02 * torch.randn(NUM_FILTERS, NUM_BINS).abs()
        self.filters = nn.Parameter(triangular_filters(NUM_FILTERS, NUM_BINS) + noise)
        self.gain = nn.Parameter(1.0 + 0.1 * torch.randn(NUM_FILTERS, 1))
        self.bias = nn.Parameter(0.1 * torch.randn(NUM_FILTERS, 1))
        self.floor = floor
        self.eps = eps

    def forward(self, power: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor]:
        frames = torch.arange(power.shape[-1], device=power.device)
        mask = (frames < lengths[:, None]).to(power.dtype).unsqueeze(1)
        energies = torch.matmul(self.filters.abs(), power)
        log_energies = torch.log(energies + self.floor)
        mean, variance = masked_moments(log_energies, mask)
        features = (log_energies - mean) * torch.rsqrt(variance + self.eps)
        features = (features * self.gain + self.bias) * mask
        previous = F.pad(features, (1, 0))[..., :-1]
        return features, features - previous


def make_inputs(batch: int, frames: int):
    power = torch.randn(batch, NUM_BINS, frames).square() * (0.2 + torch.rand(batch, 1, frames))
    return [power, torch.randint(frames // 2 + 1, frames + 1, (batch,))]


def get_inputs():
    return make_inputs(4, 300)


def get_init_inputs():
    return [1e-3]


def get_shape_variants():
    return [lambda b=b, t=t: make_inputs(b, t) for b, t in ((2, 100), (1, 33), (3, 7))]
