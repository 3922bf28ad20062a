# SPDX-License-Identifier: Apache-2.0
"""WaveNet stack: causal dilated convolutions with tanh-sigmoid gates, residual and skip paths."""

import math
from typing import Sequence, Tuple

import torch
from torch import Tensor, nn
import torch.nn.functional as F

DILATIONS = (1, 2, 4, 8)


def gated_activation(filter_and_gate: Tensor) -> Tensor:
    filtered, gate = filter_and_gate.chunk(2, dim=1)
    return torch.tanh(filtered) * torch.sigmoid(gate)


class GatedLayer(nn.Module):
    def __init__(self, channels: int, skip_channels: int, dilation: int, kernel_size: int = 3):
        super().__init__()
        self.left_context = (kernel_size - 1) * dilation
        self.dilated = nn.Conv1d(channels, 2 * channels, kernel_size, dilation=dilation)
        self.residual = nn.Conv1d(channels, channels, 1)
        self.skip = nn.Conv1d(channels, skip_channels, 1)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        padded = F.pad(x, (self.left_context, 0))
        hidden = gated_activation(self.dilated(padded))
        return (x + self.residual(hidden)) * math.sqrt(0.5), self.skip(hidden)


class WaveNetStack(nn.Module):
    def __init__(
        self, channels: int, skip_channels: int, dilations: Sequence[int] = DILATIONS
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GatedLayer(channels, skip_channels, d) for d in dilations)
        self.final = nn.Conv1d(channels, skip_channels, 1)
        self.head = nn.Conv1d(skip_channels, skip_channels, 1)

    def forward(self, signal: Tensor) -> Tensor:
        skips = []
        for layer in self.layers:
            signal, skip = layer(signal)
            skips.append(skip)
        total = sum(skips, start=self.final(signal))
        return self.head(F.relu(total / math.sqrt(len(skips) + 1)))


def get_inputs():
    return [torch.randn(2, 48, 1024)]


def get_init_inputs():
    return [48, 64]


def get_shape_variants():
    return [lambda b=b, t=t: [torch.randn(b, 48, t)] for b, t in ((1, 256), (3, 33), (2, 7))]
