# SPDX-License-Identifier: Apache-2.0
"""Resizes an overlay and its matte bilinearly and composites them in linear light."""

import torch
import torch.nn.functional as F
from torch import nn

GAMMA = 2.2


def to_linear(srgb):
    return srgb.clamp(min=1e-3).pow(GAMMA)


def to_display(linear):
    return linear.clamp(min=1e-4).pow(1.0 / GAMMA)


class ResizeAndBlend(nn.Module):
    """Overlay colours are corrected by a small matrix before they are laid over the background."""

    def __init__(self, channels=3, sharpness=4.0):
        super().__init__()
        crosstalk = 0.05 * torch.randn(channels, channels)
        self.color_matrix = nn.Parameter(torch.eye(channels) + crosstalk)
        self.color_bias = nn.Parameter(0.02 * torch.randn(channels))
        self.matte_threshold = nn.Parameter(0.5 + 0.05 * torch.randn(1))
        self.sharpness = sharpness

    def correct(self, overlay):
        mixed = torch.einsum("dc,bchw->bdhw", self.color_matrix, overlay)
        return mixed + self.color_bias.view(1, -1, 1, 1)

    def forward(self, background, overlay, matte):
        size = background.shape[2:]
        overlay = F.interpolate(to_linear(overlay), size=size, mode="bilinear", align_corners=False)
        matte = F.interpolate(matte, size=size, mode="bilinear", align_corners=True)
        alpha = torch.sigmoid(self.sharpness * (matte - self.matte_threshold))
        blended = torch.lerp(to_linear(background), self.correct(overlay), alpha)
        return to_display(blended), alpha


def make_inputs(batch, size, overlay_size):
    return [
        torch.rand(batch, 3, *size),
        torch.rand(batch, 3, *overlay_size),
        torch.rand(batch, 1, *overlay_size),
    ]


def get_inputs():
    return make_inputs(4, (112, 112), (64, 48))


def get_init_inputs():
    return [[], {"sharpness": 5.0}]


def get_shape_variants():
    return [
        lambda: make_inputs(2, (56, 56), (28, 28)),
        lambda: make_inputs(1, (33, 21), (7, 13)),
        lambda: make_inputs(3, (12, 16), (24, 10)),
    ]
