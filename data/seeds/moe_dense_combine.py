# SPDX-License-Identifier: Apache-2.0
"""Soft mixture of experts: every token passes all expert MLPs, weighted by a softmax."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ExpertBank(nn.Module):
    """Several two-layer MLPs of the same size, as batched matrices."""

    def __init__(self, experts, width, inner):
        super().__init__()
        self.w_in = nn.Parameter(torch.randn(experts, width, inner) * width**-0.5)
        self.b_in = nn.Parameter(torch.randn(experts, 1, inner) * 0.2)
        self.w_out = nn.Parameter(torch.randn(experts, inner, width) * inner**-0.5)
        self.b_out = nn.Parameter(torch.randn(experts, 1, width) * 0.2)

    def forward(self, x):
        inner = torch.matmul(x.unsqueeze(0), self.w_in) + self.b_in
        return torch.matmul(F.gelu(inner, approximate="tanh"), self.w_out) + self.b_out


class DenseMixtureOfExperts(nn.Module):
    def __init__(self, experts=6, width=256, inner=512, temperature=0.7):
        super().__init__()
        self.temperature = temperature
        self.router = nn.Linear(width, experts)
        self.bank = ExpertBank(experts, width, inner)
        nn.init.normal_(self.router.weight, std=width**-0.5)
        nn.init.normal_(self.router.bias, std=0.5)

    def forward(self, x):
        shape = x.shape
        tokens = x.reshape(-1, shape[-1])
        weights = F.softmax(self.router(tokens) / self.temperature, dim=-1)
        outputs = self.bank(tokens)
        mixed = torch.einsum("te,etd->td", weights, outputs)
        return mixed.view(shape) + x, weights


def get_inputs():
    return [torch.randn(2, 128, 256)]


def get_shape_variants():
    return [
        lambda: [torch.randn(1, 32, 256)],
        lambda: [torch.randn(3, 7, 256)],
        lambda: [torch.randn(2, 33, 256)],
    ]
