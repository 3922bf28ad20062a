# SPDX-License-Identifier: Apache-2.0
"""PPO minibatch objective: clipped surrogate, clipped value loss, entropy bonus, diagnostics."""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def standardise(advantages: Tensor, eps: float = 1e-6) -> Tensor:
    centred = advantages - advantages.mean()
    return centred / (centred.square().mean().sqrt() + eps)


class PPOObjective(nn.Module):
    """``clip`` is the half width of the interval in which the probability ratio is trusted."""

    def __init__(self, clip: float = 0.2, value_coef: float = 0.5, entropy_coef: float = 0.01):
        super().__init__()
        self.clip = clip
        self.value_coef = value_coef
        self.entropy_coef = entropy_coef

    def value_loss(self, values: Tensor, old_values: Tensor, returns: Tensor) -> Tensor:
        clipped = old_values + (values - old_values).clamp(-self.clip, self.clip)
        return torch.maximum((values - returns).square(), (clipped - returns).square()).mean() * 0.5

    def forward(
        self,
        logits: Tensor,
        actions: Tensor,
        old_log_probs: Tensor,
        advantages: Tensor,
        values: Tensor,
        old_values: Tensor,
        returns: Tensor,
    ) -> Dict[str, Tensor]:
        log_probs = F.log_softmax(logits.float(), dim=-1)
        taken = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        log_ratio = taken - old_log_probs
        ratio = log_ratio.exp()
        scaled = standardise(advantages)
        clipped_ratio = ratio.clamp(1.0 - self.clip, 1.0 + self.clip)
        surrogate = torch.minimum(ratio * scaled, clipped_ratio * scaled)
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        loss = (
            -surrogate.mean()
            + self.value_coef * self.value_loss(values, old_values, returns)
            - self.entropy_coef * entropy.mean()
        )
        return {
            "loss": loss,
            "approx_kl": ((ratio - 1.0) - log_ratio).mean(),
            "clip_fraction": ((ratio - 1.0).abs() > self.clip).float().mean(),
        }


def make_inputs(n: int, num_actions: int = 18):
    logits, actions = torch.randn(n, num_actions), torch.randint(0, num_actions, (n,))
    behaviour = torch.log_softmax(logits + 0.3 * torch.randn(n, num_actions), dim=-1)
    old_values = torch.randn(n)
    values = old_values + 0.3 * torch.randn(n)
    old_log_probs = behaviour.gather(1, actions[:, None])[:, 0]
    return [logits, actions, old_log_probs, torch.randn(n), values, old_values, torch.randn(n)]


def get_inputs():
    return make_inputs(4096)


def get_init_inputs():
    return [0.2, 0.5]


def get_shape_variants():
    return [lambda n=n: make_inputs(n) for n in (512, 129, 33)]
