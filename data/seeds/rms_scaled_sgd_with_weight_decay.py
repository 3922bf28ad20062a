# SPDX-License-Identifier: Apache-2.0
"""Momentum SGD with row-wise RMS preconditioning and a layer-wise-adaptive trust ratio per row."""

from typing import Tuple

import torch
from torch import Tensor, nn

EPS = 1e-8


def row_norm(x: Tensor) -> Tensor:
    return x.square().sum(dim=1, keepdim=True).sqrt()


def trust_ratio(weight: Tensor, update: Tensor, coefficient: float, ceiling: float) -> Tensor:
    """coefficient * |w| / |u| per row, one where either norm vanishes."""
    weight_norm, update_norm = row_norm(weight), row_norm(update)
    usable = (weight_norm > 0.0) & (update_norm > 0.0)
    ratio = coefficient * weight_norm / (update_norm + EPS)
    return torch.where(usable, ratio, torch.ones_like(ratio)).clamp(max=ceiling)


class RowScaledSGD(nn.Module):
    def __init__(
        self,
        lr: float,
        momentum: float = 0.9,
        second_beta: float = 0.95,
        weight_decay: float = 1e-2,
        trust_coefficient: float = 1.0,
        ceiling: float = 0.05,
    ) -> None:
        super().__init__()
        self.lr = lr
        self.momentum = momentum
        self.second_beta = second_beta
        self.weight_decay = weight_decay
        self.trust_coefficient = trust_coefficient
        self.ceiling = ceiling

    def forward(
        self, weight: Tensor, grad: Tensor, buffer: Tensor, row_moment: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        grad = grad.float()
        mean_square = grad.square().mean(dim=1)
        new_moment = self.second_beta * row_moment + (1.0 - self.second_beta) * mean_square
        scaled = grad * torch.rsqrt(new_moment + EPS).unsqueeze(1)
        update = scaled + self.weight_decay * weight
        ratio = trust_ratio(weight, update, self.trust_coefficient, self.ceiling)
        new_buffer = self.momentum * buffer + ratio * update
        nesterov = self.momentum * new_buffer + ratio * update
        return weight - self.lr * nesterov, new_buffer, new_moment


def make_inputs(rows: int, cols: int):
    weight = torch.randn(rows, cols) / cols**0.5
    grad = (torch.randn(rows, cols) * (0.1 + torch.rand(rows, 1))).to(torch.bfloat16)
    return [weight, grad, 0.1 * torch.randn(rows, cols), 0.1 + torch.rand(rows)]


def get_inputs():
    return make_inputs(768, 1024)


def get_init_inputs():
    return [[0.05], {"weight_decay": 0.05}]


def get_shape_variants():
    return [lambda r=r, c=c: make_inputs(r, c) for r, c in ((128, 256), (33, 7), (10, 129))]
