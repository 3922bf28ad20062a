# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt block: wide depthwise kernel, channels-last norm, inverted bottleneck, layer scale."""

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNeXtBlock(nn.Module):
    """Args:
    dim: channels in and out.
    expansion: width of the bottleneck relative to ``dim``.
    layer_scale: mean of the per-channel factor on the branch.
    """

    def __init__(self, dim: int, expansion: int = 4, layer_scale: float = 0.3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.expand = nn.Linear(dim, expansion * dim)
        self.contract = nn.Linear(expansion * dim, dim)
        self.gamma = nn.Parameter(layer_scale * (1.0 + 0.2 * torch.randn(dim)))
        self._init_norm()

    def _init_norm(self) -> None:
        nn.init.normal_(self.norm.weight, mean=1.0, std=0.1)
        nn.init.normal_(self.norm.bias, std=0.05)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.depthwise(features).permute(0, 2, 3, 1)
        hidden = self.norm(hidden)
        hidden = self.contract(F.gelu(self.expand(hidden)))
        branch = (self.gamma * hidden).permute(0, 3, 1, 2)
        return features + branch


def _features(batch: int, size: Tuple[int, int]) -> list:
    return [torch.randn(batch, 96, *size)]


def get_inputs():
    return _features(2, (28, 28))


def get_init_inputs():
    return [96]


def get_shape_variants():
    return [
        lambda: _features(1, (14, 14)),
        lambda: _features(2, (7, 7)),
        lambda: _features(3, (5, 12)),
    ]
