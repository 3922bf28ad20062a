# SPDX-License-Identifier: Apache-2.0
"""Direct preference optimisation from the logits of policy and reference model."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def sequence_logps(logits, labels, mask):
    """Log probability of each sequence's response tokens; position t predicts token t + 1."""
    log_probs = F.log_softmax(logits[:, :-1].float(), dim=-1)
    token_logps = log_probs.gather(2, labels[:, 1:, None]).squeeze(2)
    return (token_logps * mask[:, 1:]).sum(dim=1)


class DPOLoss(nn.Module):
    """Chosen and rejected answers are the first and the second half of the batch.

    ``label_smoothing`` is the chance that a preference was noted the wrong way round.
    """

    def __init__(self, beta=0.1, label_smoothing=0.05):
        super().__init__()
        self.beta = beta
        self.label_smoothing = label_smoothing

    def forward(self, policy_logits, reference_logits, labels, mask):
        policy = sequence_logps(policy_logits, labels, mask)
        reference = sequence_logps(reference_logits, labels, mask)
        rewards = self.beta * (policy - reference)
        chosen, rejected = rewards.chunk(2, dim=0)

        margin = chosen - rejected
        agree = F.logsigmoid(margin) * (1.0 - self.label_smoothing)
        flipped = F.logsigmoid(-margin) * self.label_smoothing
        return -(agree + flipped).mean(), chosen, rejected


def _preferences(pairs, length, vocab=2048):
    reference = torch.randn(2 * pairs, length, vocab)
    policy = reference + 0.3 * torch.randn(2 * pairs, length, vocab)
    labels = torch.randint(vocab, (2 * pairs, length))
    prompt_length = torch.randint(0, length // 2, (2 * pairs, 1))
    mask = (torch.arange(length) >= prompt_length).float()
    return [policy.to(torch.bfloat16), reference.to(torch.bfloat16), labels, mask]


def get_inputs():
    return _preferences(pairs=4, length=128)


def get_shape_variants():
    return [lambda: _preferences(1, 16), lambda: _preferences(3, 33), lambda: _preferences(2, 21)]
