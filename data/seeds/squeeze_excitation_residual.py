# SPDX-License-Identifier: Apache-2.0
"""Residual unit whose branch is recalibrated by a squeeze-and-excitation gate."""

import torch
from torch import nn
import torch.nn.functional as F

CHANNELS = 64
REDUCTION = 8


class ChannelAffine(nn.Module):
    """Per-channel scale and shift, what is left of a batch norm that was folded."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(1.0 + 0.1 * torch.randn(channels, 1, 1))
        self.shift = nn.Parameter(0.1 * torch.randn(channels, 1, 1))

    def forward(self, features):
        return torch.addcmul(self.shift, features, self.scale)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.reduce = nn.Linear(channels, squeezed)
        self.restore = nn.Linear(squeezed, channels)

    def forward(self, features):
        pooled = features.mean(dim=(2, 3))
        gate = torch.sigmoid(self.restore(F.silu(self.reduce(pooled))))
        return features * gate[:, :, None, None], gate


class SqueezeExcitationResidual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.affine1 = ChannelAffine(CHANNELS)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.affine2 = ChannelAffine(CHANNELS)
        self.excite = SqueezeExcitation(CHANNELS, CHANNELS // REDUCTION)

    def forward(self, x):
        residual = x
        out = F.relu(self.affine1(self.conv1(x)))
        out, gate = self.excite(self.affine2(self.conv2(out)))
        return F.relu(out + residual), gate


def get_inputs():
    return [torch.randn(4, CHANNELS, 28, 28)]


def get_shape_variants():
    return [
        lambda: [torch.randn(2, CHANNELS, 14, 14)],
        lambda: [torch.randn(1, CHANNELS, 7, 7)],
        lambda: [torch.randn(3, CHANNELS, 9, 16)],
    ]
