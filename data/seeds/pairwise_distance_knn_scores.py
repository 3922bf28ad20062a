# SPDX-License-Identifier: Apache-2.0
"""Soft k-nearest-neighbour regression in a learned metric, with a novelty score per query."""

from typing import Tuple

import torch
from torch import nn

K = 8


def squared_distances(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """|q|^2 - 2 q.k + |k|^2, clamped where rounding made it negative."""
    query_norm = queries.square().sum(dim=-1, keepdim=True)
    key_norm = keys.square().sum(dim=-1)
    return (query_norm + key_norm - 2.0 * queries @ keys.t()).clamp(min=0.0)


class KNNScores(nn.Module):
    def __init__(self, features: int = 128, metric: int = 64, bandwidth: float = 0.25) -> None:
        super().__init__()
        self.metric = nn.Linear(features, metric, bias=False)
        self.log_bandwidth = nn.Parameter(torch.randn(1) * 0.1)
        self.bandwidth = bandwidth
        nn.init.normal_(self.metric.weight, std=features**-0.5)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        distances = squared_distances(self.metric(queries), self.metric(keys))
        nearest, indices = torch.topk(distances, k=K, dim=-1, largest=False, sorted=True)
        precision = self.bandwidth * torch.exp(self.log_bandwidth)
        weights = torch.softmax(-precision * nearest, dim=-1)
        neighbours = values[indices]
        prediction = (weights.unsqueeze(-1) * neighbours).sum(dim=1)
        novelty = nearest.mean(dim=-1).sqrt()
        return prediction, novelty


def make_inputs(num_queries: int, num_keys: int, outputs: int = 10):
    return [
        torch.randn(num_queries, 128),
        torch.randn(num_keys, 128),
        torch.randn(num_keys, outputs),
    ]


def get_inputs():
    return make_inputs(256, 2048)


def get_init_inputs():
    return [128, 64]


def get_shape_variants():
    return [lambda q=q, n=n: make_inputs(q, n) for q, n in ((64, 256), (7, 33), (3, 100))]
