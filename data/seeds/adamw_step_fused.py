# SPDX-License-Identifier: Apache-2.0
"""One AdamW step on float32 master weights from bfloat16 gradients, clipped by their norm."""

from typing import Tuple

import torch
from torch import Tensor, nn


def clip_by_norm(grad: Tensor, max_norm: float) -> Tensor:
    norm = torch.sqrt(grad.square().sum())
    return grad * (max_norm / (norm + 1e-6)).clamp(max=1.0)


class AdamWStep(nn.Module):
    """Gives the new weights and moments rather than writing to the old.

    ``step`` counts from one and is a tensor, so that one graph serves all steps.
    """

    def __init__(
        self,
        betas: Tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        max_norm: float = 1.0,
    ):
        super().__init__()
        self.beta1, self.beta2 = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.max_norm = max_norm

    def forward(
        self, param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor,
        step: Tensor, lr: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        grad = clip_by_norm(grad.float(), self.max_norm)
        exp_avg = torch.lerp(exp_avg, grad, 1.0 - self.beta1)
        exp_avg_sq = self.beta2 * exp_avg_sq + (1.0 - self.beta2) * grad.square()

        correction1 = 1.0 - self.beta1**step
        correction2 = 1.0 - self.beta2**step
        denominator = (exp_avg_sq / correction2).sqrt() + self.eps
        decayed = param * (1.0 - lr * self.weight_decay)
        return decayed - lr * (exp_avg / correction1) / denominator, exp_avg, exp_avg_sq


def _state(rows, cols):
    size = (rows * cols) ** -0.5  # of one element of a gradient of norm one
    param = 0.02 * torch.randn(rows, cols)
    grad = (2.0 * size * torch.randn(rows, cols)).to(torch.bfloat16)
    exp_avg = 0.3 * size * torch.randn(rows, cols)
    exp_avg_sq = (size * (0.1 + torch.rand(rows, cols))).square()
    step = torch.randint(1, 50, ()).float()
    return [param, grad, exp_avg, exp_avg_sq, step, 1e-3 * (0.5 + torch.rand(()))]


def get_inputs():
    return _state(1024, 1024)


def get_shape_variants():
    return [lambda: _state(16, 64), lambda: _state(33, 40), lambda: _state(7, 129)]
