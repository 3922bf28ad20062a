# SPDX-License-Identifier: Apache-2.0
"""Total variation of images and edge-aware smoothness of a depth map, per sample."""

from typing import Tuple

import torch
from torch import Tensor, nn


def forward_differences(x: Tensor) -> Tuple[Tensor, Tensor]:
    """Horizontal and vertical differences on the common (H - 1, W - 1) grid."""
    anchor = x[..., :-1, :-1]
    return x[..., :-1, 1:] - anchor, x[..., 1:, :-1] - anchor


def charbonnier(x: Tensor, eps: float = 1e-3) -> Tensor:
    return torch.sqrt(x.square() + eps * eps)


class SmoothnessStatistics(nn.Module):
    """Isotropic total variation, edge-aware depth smoothness, and the share of strong edges."""

    def __init__(self, edge_weight: float = 10.0, softness: float = 0.05):
        super().__init__()
        self.edge_weight = edge_weight
        self.softness = softness

    def forward(self, images: Tensor, depth: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        image_dx, image_dy = forward_differences(images)
        magnitude = torch.sqrt(image_dx.square() + image_dy.square() + 1e-8)
        total_variation = magnitude.mean(dim=(1, 2, 3))

        inverse_depth = 1.0 / depth.clamp(min=0.1)
        normalised = inverse_depth / inverse_depth.mean(dim=(2, 3), keepdim=True)
        depth_dx, depth_dy = forward_differences(normalised)
        weight_x = torch.exp(-self.edge_weight * image_dx.abs().mean(dim=1, keepdim=True))
        weight_y = torch.exp(-self.edge_weight * image_dy.abs().mean(dim=1, keepdim=True))
        smoothness = charbonnier(depth_dx) * weight_x + charbonnier(depth_dy) * weight_y

        threshold = magnitude.mean(dim=(2, 3), keepdim=True)
        edges = torch.sigmoid((magnitude - threshold) / self.softness).mean(dim=(1, 2, 3))
        return total_variation, smoothness.mean(dim=(1, 2, 3)), edges


def make_inputs(batch: int, height: int, width: int):
    return [torch.rand(batch, 3, height, width), 0.05 + 4.0 * torch.rand(batch, 1, height, width)]


def get_inputs():
    return make_inputs(8, 112, 112)


def get_init_inputs():
    return [8.0]


def get_shape_variants():
    return [
        lambda: make_inputs(2, 56, 56),
        lambda: make_inputs(1, 7, 33),
        lambda: make_inputs(5, 20, 15),
    ]
