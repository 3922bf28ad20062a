# SPDX-License-Identifier: Apache-2.0
"""Distillation by the generalised Jensen-Shannon divergence between student and teacher."""

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) over the last dimension."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


class JensenShannonDistillation(nn.Module):
    """Interpolates between the two directions of KL by the teacher's share in the mixture."""

    def __init__(self, teacher_share: float = 0.6, temperature: float = 2.0):
        super().__init__()
        self.teacher_share = teacher_share
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
        """
        Args:
            student: logits in bfloat16, (batch, length, vocabulary).
            teacher: the same of the teacher.
            weight: of every token, (batch, length).
        """
        share = self.teacher_share
        log_s = F.log_softmax(student.float() / self.temperature, dim=-1)
        log_t = F.log_softmax(teacher.float() / self.temperature, dim=-1)
        log_mix = torch.logaddexp(log_t + math.log(share), log_s + math.log(1.0 - share))

        divergence = share * kl_divergence(log_t, log_mix)
        divergence = divergence + (1.0 - share) * kl_divergence(log_s, log_mix)
        divergence = divergence * self.temperature**2
        return (divergence * weight).sum() / weight.sum(), divergence


def _logits(batch, length, vocab=4096):
    student = (2 * torch.randn(batch, length, vocab)).to(torch.bfloat16)
    teacher = (3 * torch.randn(batch, length, vocab)).to(torch.bfloat16)
    return [student, teacher, torch.rand(batch, length) + 0.1]


def get_inputs():
    return _logits(2, 256)


def get_shape_variants():
    return [lambda b=b, n=n: _logits(b, n) for b, n in [(1, 8), (2, 17), (3, 5)]]
