# SPDX-License-Identifier: Apache-2.0
"""One Lion step: sign of the interpolated momentum, decoupled weight decay, bfloat16 state."""

import torch
from torch import nn


def clip_by_rms(grad, max_rms):
    rms = grad.square().mean().sqrt()
    return grad * (max_rms / (rms + 1e-6)).clamp(max=1.0)


class LionUpdate(nn.Module):
    def __init__(self, beta1=0.9, beta2=0.99, weight_decay=0.1, max_rms=0.8):
        super().__init__()
        self.beta1 = beta1
        self.beta2 = beta2
        self.weight_decay = weight_decay
        self.max_rms = max_rms

    def forward(self, param, grad, exp_avg, lr):
        """Returns the new parameter and the new momentum; nothing is updated in place.

        The gradient and the momentum are bfloat16, all arithmetic is float32. ``lr`` is a tensor
        of no dimensions, so that a schedule does not recompile the step.
        """
        grad = clip_by_rms(grad.float(), self.max_rms)
        momentum = exp_avg.float()
        direction = torch.sign(torch.lerp(grad, momentum, self.beta1))
        decayed = param * (1.0 - lr * self.weight_decay)
        new_param = decayed - lr * direction
        new_momentum = torch.lerp(grad, momentum, self.beta2)
        return new_param, new_momentum.to(exp_avg.dtype)


def make_inputs(rows, cols):
    return [
        torch.randn(rows, cols) * 0.05,
        torch.randn(rows, cols).to(torch.bfloat16),
        (torch.randn(rows, cols) * 0.3).to(torch.bfloat16),
        torch.rand(()) * 0.01 + 0.001,
    ]


def get_inputs():
    return make_inputs(1024, 512)


def get_init_inputs():
    return [0.95, 0.98]


def get_shape_variants():
    return [lambda r=r, c=c: make_inputs(r, c) for r, c in ((256, 128), (33, 7), (12, 100))]
