# SPDX-License-Identifier: Apache-2.0
"""Cross entropy over a vocabulary with label smoothing and tokens that are left out."""

from typing import Tuple

import torch
import torch.nn as nn

IGNORE_INDEX = -100


class LabelSmoothedCrossEntropy(nn.Module):
    """Returns the training loss and the plain negative log likelihood, per counted token.

    Args:
        smoothing: the share of the target distribution that is spread evenly over the vocabulary.
        z_weight: of the squared log partition, which keeps the logits from drifting.
    """

    def __init__(self, smoothing: float = 0.1, z_weight: float = 1e-2):
        super().__init__()
        self.smoothing = smoothing
        self.z_weight = z_weight

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        counted = targets != IGNORE_INDEX
        labels = targets.masked_fill(~counted, 0)

        log_z = torch.logsumexp(logits, dim=-1)
        target_logit = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        nll = log_z - target_logit
        uniform = log_z - logits.mean(dim=-1)
        loss = (1.0 - self.smoothing) * nll + self.smoothing * uniform
        loss = loss + self.z_weight * log_z.square()

        weight = counted.to(loss.dtype)
        total = weight.sum().clamp(min=1.0)
        return (loss * weight).sum() / total, (nll * weight).sum() / total


def make_batch(batch: int, length: int, vocab: int):
    logits = 2.0 * torch.randn(batch, length, vocab)
    targets = torch.randint(0, vocab, (batch, length))
    ignored = torch.rand(batch, length) < 0.2
    return [logits, targets.masked_fill(ignored, IGNORE_INDEX)]


def get_inputs():
    return make_batch(4, 128, 8000)


def get_shape_variants():
    return [
        lambda: make_batch(2, 16, 8000),
        lambda: make_batch(1, 33, 8000),
        lambda: make_batch(3, 11, 8000),
    ]
