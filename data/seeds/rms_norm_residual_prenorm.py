# SPDX-License-Identifier: Apache-2.0
"""Residual addition fused with the RMS norm in front of the next block, in bfloat16."""

from typing import Tuple

import torch
from torch import nn, Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    variance = x.pow(2).mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(variance + eps) * (1.0 + weight)


class AddRMSNorm(nn.Module):
    """Adds a block's output to the residual stream and normalises the sum.

    The stream is kept in bfloat16, while the sum and its statistics are in float32. The weight is
    stored as its offset from one.
    """

    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(0.1 * torch.randn(width))
        self.branch_scale = nn.Parameter(0.5 + 0.1 * torch.randn(width))

    def forward(self, branch: Tensor, residual: Tensor) -> Tuple[Tensor, Tensor]:
        stream = residual.float() + self.branch_scale * branch.float()
        normed = rms_norm(stream, self.weight, self.eps)
        return normed.to(branch.dtype), stream.to(residual.dtype)


def _draw(batch, length, width=4096):
    branch = torch.randn(batch, length, width, dtype=torch.bfloat16)
    residual = 2.0 * torch.randn(batch, length, width)
    return [branch, residual.to(torch.bfloat16)]


def get_inputs():
    return _draw(2, 256)


def get_init_inputs():
    return [4096]


def get_shape_variants():
    return [lambda: _draw(1, 8), lambda: _draw(2, 17), lambda: _draw(3, 5)]
