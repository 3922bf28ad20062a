# SPDX-License-Identifier: Apache-2.0
"""U-Net decoder stage: upsample to the skip's size, gate the skip, concatenate, convolve twice."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv_norm_act(x, conv, norm):
    return F.leaky_relu(norm(conv(x)), negative_slope=0.1)


class SkipGate(nn.Module):
    """Additive attention gate: the decoder decides where the skip connection is let through."""

    def __init__(self, skip_channels, decoder_channels, inner=16):
        super().__init__()
        self.from_skip = nn.Conv2d(skip_channels, inner, 1, bias=False)
        self.from_decoder = nn.Conv2d(decoder_channels, inner, 1)
        self.to_gate = nn.Conv2d(inner, 1, 1)

    def forward(self, skip, decoder):
        joint = F.relu(self.from_skip(skip) + self.from_decoder(decoder))
        return skip * torch.sigmoid(self.to_gate(joint))


class UNetUpStage(nn.Module):
    def __init__(self, low_channels, skip_channels, out_channels, groups=8):
        super().__init__()
        self.gate = SkipGate(skip_channels, low_channels)
        self.conv1 = nn.Conv2d(low_channels + skip_channels, out_channels, 3, padding=1)
        self.norm1 = nn.GroupNorm(groups, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels)
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.weight, 1.0, 0.1)
            nn.init.normal_(norm.bias, 0.0, 0.1)

    def forward(self, low, skip):
        upsampled = F.interpolate(low, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        merged = torch.cat([upsampled, self.gate(skip, upsampled)], dim=1)
        hidden = conv_norm_act(merged, self.conv1, self.norm1)
        return conv_norm_act(hidden, self.conv2, self.norm2)


def make_inputs(batch, low, skip):
    return [torch.randn(batch, 64, low[0], low[1]), torch.randn(batch, 32, skip[0], skip[1])]


def get_inputs():
    return make_inputs(2, (28, 28), (56, 56))


def get_init_inputs():
    return [64, 32, 32]


def get_shape_variants():
    return [
        lambda: make_inputs(1, (14, 14), (28, 28)),
        lambda: make_inputs(3, (4, 4), (7, 7)),
        lambda: make_inputs(2, (6, 9), (11, 18)),
    ]
