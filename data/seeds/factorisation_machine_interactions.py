# SPDX-License-Identifier: Apache-2.0
"""Neural factorisation machine for click-through rates: linear, pairwise and pooled-MLP terms."""

import torch
import torch.nn as nn
import torch.nn.functional as F

FIELDS = 26
CARDINALITY = 500
DENSE = 13


def bi_interaction(factors: torch.Tensor) -> torch.Tensor:
    """Sum over i < j of v_i * v_j, elementwise, in linear time."""
    square_of_sum = factors.sum(dim=1).square()
    sum_of_square = factors.square().sum(dim=1)
    return 0.5 * (square_of_sum - sum_of_square)


class FactorizationMachine(nn.Module):
    def __init__(self, factor_dim: int = 16, hidden: int = 256):
        super().__init__()
        rows = FIELDS * CARDINALITY
        self.register_buffer("offsets", torch.arange(FIELDS) * CARDINALITY)
        self.linear = nn.Embedding(rows, 1)
        self.factors = nn.Embedding(rows, factor_dim)
        self.dense_linear = nn.Linear(DENSE, 1)
        self.dense_factors = nn.Parameter(0.1 * torch.randn(DENSE, factor_dim))
        self.norm = nn.LayerNorm(factor_dim)
        self.mlp = nn.Sequential(nn.Linear(factor_dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        nn.init.normal_(self.linear.weight, std=0.1)
        nn.init.normal_(self.factors.weight, std=0.1)
        nn.init.normal_(self.norm.weight, mean=1.0, std=0.1)
        nn.init.normal_(self.norm.bias, std=0.1)

    def forward(self, category_ids: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        rows = category_ids + self.offsets
        dense = torch.log1p(dense.clamp(min=0.0))
        dense_factors = dense.unsqueeze(-1) * self.dense_factors
        factors = torch.cat([self.factors(rows), dense_factors], dim=1)
        pooled = bi_interaction(factors)
        first_order = self.linear(rows).sum(dim=1) + self.dense_linear(dense)
        second_order = pooled.sum(dim=-1, keepdim=True)
        deep = self.mlp(F.gelu(self.norm(pooled)))
        return torch.sigmoid(first_order + second_order + deep).squeeze(-1)


def make_inputs(batch: int):
    return [torch.randint(0, CARDINALITY, (batch, FIELDS)), 2.0 * torch.randn(batch, DENSE)]


def get_inputs():
    return make_inputs(1024)


def get_init_inputs():
    return [16, 256]


def get_shape_variants():
    return [lambda n=n: make_inputs(n) for n in (256, 33, 7)]
