# SPDX-License-Identifier: Apache-2.0
"""Inverted-residual mobile block: expand, depthwise filter, project, with frozen batch norm."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def frozen_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm as it looks after some training, not as it looks at step zero."""
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight, mean=1.0, std=0.1)
    nn.init.normal_(norm.bias, std=0.1)
    norm.running_mean.normal_(0.0, 0.2)
    norm.running_var.uniform_(0.4, 1.2)
    return norm


class DepthwiseConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int = 3, stride: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, kernel_size, kernel_size) / kernel_size)
        self.stride = stride
        self.padding = kernel_size // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(
            x, self.weight, stride=self.stride, padding=self.padding, groups=x.shape[1]
        )


class DepthwiseSeparableBlock(nn.Module):
    def __init__(self, channels: int, expansion: int = 4):
        super().__init__()
        hidden = channels * expansion
        self.expand = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
        self.expand_norm = frozen_batch_norm(hidden)
        self.depthwise = DepthwiseConv(hidden)
        self.depthwise_norm = frozen_batch_norm(hidden)
        self.project = nn.Conv2d(hidden, channels, kernel_size=1, bias=False)
        self.project_norm = frozen_batch_norm(channels)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.relu6(self.expand_norm(self.expand(x)))
        hidden = F.relu6(self.depthwise_norm(self.depthwise(hidden)))
        return x + self.project_norm(self.project(hidden))


def get_inputs():
    return [torch.randn(4, 32, 56, 56)]


def get_init_inputs():
    return [32]


def get_shape_variants():
    sizes = [(2, 28, 28), (1, 7, 7), (3, 15, 20), (1, 33, 9)]
    return [lambda b=b, h=h, w=w: [torch.randn(b, 32, h, w)] for b, h, w in sizes]
