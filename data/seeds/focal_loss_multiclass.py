# SPDX-License-Identifier: Apache-2.0
"""Focal loss of dense multi-class predictions, with class weights."""

import torch
import torch.nn.functional as F
from torch import nn


class FocalLoss(nn.Module):
    """Weighs each pixel's cross entropy by (1 - p)^gamma, so that easy pixels count little.

    Returns the mean over the batch, normalised by the class weights, and the mean of each image.
    """

    def __init__(self, num_classes=21, gamma=2.0):
        super().__init__()
        self.gamma = gamma
        self.class_prior = nn.Parameter(0.5 * torch.randn(num_classes))
        self.register_buffer("alpha", 0.5 + torch.rand(num_classes))

    def forward(self, logits, target):
        logits = logits + self.class_prior.view(1, -1, 1, 1)
        log_probs = F.log_softmax(logits, dim=1)
        log_p = log_probs.gather(1, target.unsqueeze(1)).squeeze(1)
        modulation = (1.0 - log_p.exp()) ** self.gamma
        alpha = self.alpha[target]
        loss = -alpha * modulation * log_p
        return loss.sum() / alpha.sum(), loss.flatten(1).mean(dim=1)


def _draw(batch, height, width, classes=21):
    logits = 1.5 * torch.randn(batch, classes, height, width)
    return [logits, torch.randint(classes, (batch, height, width))]


def get_inputs():
    return _draw(4, 112, 112)


def get_shape_variants():
    return [
        lambda: _draw(1, 28, 28),
        lambda: _draw(3, 15, 20),
        lambda: _draw(2, 33, 7),
    ]
