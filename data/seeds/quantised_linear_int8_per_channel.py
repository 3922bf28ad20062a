# SPDX-License-Identifier: Apache-2.0
"""Linear layer with int8 weights per output channel and activations quantised per token."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def quantise_rows(x: Tensor, clip: float, eps: float = 1e-8) -> Tuple[Tensor, Tensor]:
    """Symmetric int8 of every row; what is above ``clip`` times the largest value saturates."""
    scale = x.abs().amax(dim=-1, keepdim=True) * (clip / 127.0) + eps
    return torch.round(x / scale).clamp(-127, 127).to(torch.int8), scale


class Int8Linear(nn.Module):
    """Moves outliers from activations to weights by a smoothing vector before both are quantised.

    The integer product is taken in float32, where sums of up to 1024 products of int8 are exact.
    """

    def __init__(self, in_features: int, out_features: int, clip: float = 0.85) -> None:
        super().__init__()
        self.clip = clip
        smooth = 0.5 + torch.rand(in_features)
        weight = torch.randn(out_features, in_features) * in_features**-0.5
        weight_int8, weight_scale = quantise_rows(weight * smooth, clip=1.0)
        self.register_buffer("weight", weight_int8)
        self.register_buffer("weight_scale", weight_scale.squeeze(1))
        self.smooth = nn.Parameter(smooth)
        self.bias = nn.Parameter(0.2 * torch.randn(out_features))

    def forward(self, x: Tensor) -> Tensor:
        x_int8, x_scale = quantise_rows(x / self.smooth, self.clip)
        product = F.linear(x_int8.float(), self.weight.float())
        return product * x_scale * self.weight_scale + self.bias


def get_inputs():
    return [torch.randn(4, 128, 1024)]


def get_init_inputs():
    return [1024, 1536]


def get_shape_variants():
    return [
        lambda: [torch.randn(1, 8, 1024)],
        lambda: [torch.randn(2, 33, 1024)],
        lambda: [torch.randn(3, 7, 1024)],
    ]
