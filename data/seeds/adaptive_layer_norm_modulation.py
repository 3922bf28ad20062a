# SPDX-License-Identifier: Apache-2.0
"""DiT-style adaLN branch in bfloat16: shift, scale and gate regressed from the conditioning."""

from typing import Optional

import torch
from torch import Tensor, nn
import torch.nn.functional as F


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1.0 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class Mlp(nn.Module):
    def __init__(self, hidden: int, inner: int, dtype: Optional[torch.dtype] = None):
        super().__init__()
        self.up = nn.Linear(hidden, inner, dtype=dtype)
        self.down = nn.Linear(inner, hidden, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class AdaLNModulatedMlp(nn.Module):
    """The normalisation has no affine of its own; statistics and modulation stay in float32."""

    def __init__(self, hidden: int = 256, mlp_ratio: int = 4, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.conditioning = nn.Linear(hidden, 3 * hidden)
        self.mlp = Mlp(hidden, hidden * mlp_ratio, dtype=torch.bfloat16)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.conditioning(F.silu(condition.float())).chunk(3, dim=-1)
        residual = tokens.float()
        normed = F.layer_norm(residual, residual.shape[-1:], eps=self.eps)
        branch = self.mlp(modulate(normed, shift, scale).to(torch.bfloat16))
        return (residual + gate.unsqueeze(1) * branch.float()).to(tokens.dtype)


def make_inputs(batch: int, length: int, hidden: int = 256):
    return [
        torch.randn(batch, length, hidden, dtype=torch.bfloat16),
        torch.randn(batch, hidden, dtype=torch.bfloat16),
    ]


def get_inputs():
    return make_inputs(2, 256)


def get_init_inputs():
    return [256]


def get_shape_variants():
    return [lambda b=b, n=n: make_inputs(b, n) for b, n in ((1, 64), (3, 33), (2, 7))]
