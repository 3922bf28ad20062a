# SPDX-License-Identifier: Apache-2.0
"""Generalised advantage estimation without a loop: discounted suffix sums with episode resets."""

import math
from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F


def suffix_sum(x: torch.Tensor) -> torch.Tensor:
    """sum over k >= t along the last dimension; small late terms are added first."""
    return x.flip(-1).cumsum(-1).flip(-1)


def episode_ends(dones: torch.Tensor) -> torch.Tensor:
    """Index of the last step of the episode that each step lies in."""
    horizon = dones.shape[-1]
    steps = torch.arange(horizon, device=dones.device)
    candidates = torch.where(dones, steps, horizon - 1)
    return candidates.flip(-1).cummin(dim=-1).values.flip(-1)


class GeneralizedAdvantage(nn.Module):
    """A_t = sum_k (gamma * lam)^(k - t) delta_k over the steps k of the episode from t on.

    Written as a suffix sum of geometrically weighted errors, less the part that belongs to later
    episodes. Holds for horizons of some hundreds of steps in float32.
    """

    def __init__(self, gamma: float = 0.99, lam: float = 0.95):
        super().__init__()
        self.gamma = gamma
        self.log_decay = math.log(gamma * lam)

    def forward(
        self,
        rewards: torch.Tensor,
        values: torch.Tensor,
        last_value: torch.Tensor,
        dones: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        next_values = torch.cat([values[:, 1:], last_value[:, None]], dim=1)
        not_done = (~dones).to(rewards.dtype)
        errors = rewards + self.gamma * not_done * next_values - values

        steps = torch.arange(rewards.shape[1], device=rewards.device, dtype=rewards.dtype)
        decay = torch.exp(self.log_decay * steps)
        suffix = F.pad(suffix_sum(decay * errors), (0, 1))
        later_episodes = suffix.gather(1, episode_ends(dones) + 1)
        advantages = (suffix[:, :-1] - later_episodes) / decay

        centred = advantages - advantages.mean()
        normalised = centred * torch.rsqrt(centred.square().mean() + 1e-8)
        return normalised, advantages + values


def make_inputs(envs, horizon):
    dones = torch.rand(envs, horizon) < 0.05
    return [torch.randn(envs, horizon), torch.randn(envs, horizon), torch.randn(envs), dones]


def get_inputs():
    return make_inputs(64, 128)


def get_init_inputs():
    return [0.99, 0.95]


def get_shape_variants():
    return [lambda e=e, t=t: make_inputs(e, t) for e, t in ((16, 64), (3, 33), (5, 7))]
