# SPDX-License-Identifier: Apache-2.0
"""Top-2 expert routing with a capacity per expert and auxiliary balancing losses."""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def queue_position(assigned: Tensor) -> Tensor:
    """How many earlier tokens chose the same expert; assigned is one-hot, (tokens, experts)."""
    return assigned.cumsum(dim=0) - assigned


class Top2Router(nn.Module):
    """Turns tokens into combine weights, dropping what goes beyond an expert's capacity.

    First choices are served before second choices.
    """

    def __init__(self, hidden: int, experts: int, capacity_factor: float = 1.0):
        super().__init__()
        self.experts = experts
        self.capacity_factor = capacity_factor
        self.router = nn.Linear(hidden, experts)
        nn.init.normal_(self.router.weight, std=hidden**-0.5)
        nn.init.normal_(self.router.bias, std=0.3)

    def forward(self, tokens: Tensor) -> Dict[str, Tensor]:
        logits = self.router(tokens)
        probs = F.softmax(logits, dim=-1)
        gates, chosen = probs.topk(2, dim=-1)
        gates = gates / gates.sum(dim=-1, keepdim=True)
        first, second = F.one_hot(chosen, self.experts).float().unbind(dim=1)

        capacity = self.capacity_factor * 2 * tokens.shape[0] / self.experts
        first_kept = first * (queue_position(first) < capacity)
        second_place = queue_position(second) + first_kept.sum(dim=0)
        second_kept = second * (second_place < capacity)
        combine = gates[:, :1] * first_kept + gates[:, 1:] * second_kept

        load = first.mean(dim=0)
        importance = probs.mean(dim=0)
        return {
            "combine": combine,
            "balance_loss": self.experts * (load * importance).sum(),
            "z_loss": torch.logsumexp(logits, dim=-1).square().mean(),
        }


def get_inputs():
    return [torch.randn(1024, 1024)]


def get_init_inputs():
    return [1024, 16]


def get_shape_variants():
    return [lambda n=n: [torch.randn(n, 1024)] for n in (64, 77, 129)]
