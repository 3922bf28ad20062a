# SPDX-License-Identifier: Apache-2.0
"""Nucleus filtering of codec-token logits: temperature, sort, cumulative mass, renormalise."""

import torch
import torch.nn as nn


def nucleus(probabilities, top_p, min_keep):
    """Keeps the smallest set of most likely tokens whose mass reaches ``top_p``."""
    ranked, order = torch.sort(probabilities, dim=-1, descending=True, stable=True)
    mass_before = ranked.cumsum(dim=-1) - ranked
    rank = torch.arange(ranked.shape[-1], device=ranked.device)
    keep = (mass_before < top_p) | (rank < min_keep)
    kept = torch.where(keep, ranked, torch.zeros_like(ranked))
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, order, kept)


class NucleusProbabilities(nn.Module):
    def __init__(self, codebook_size, top_p=0.9, min_keep=16):
        super().__init__()
        self.logit_bias = nn.Parameter(0.3 * torch.randn(codebook_size))
        self.top_p = top_p
        self.min_keep = min_keep

    def forward(self, logits, temperature):
        scores = logits.float() + self.logit_bias
        scores = scores / temperature.clamp(min=0.3).unsqueeze(-1)
        probabilities = torch.softmax(scores, dim=-1)
        filtered = nucleus(probabilities, self.top_p, self.min_keep)
        log_filtered = torch.log(filtered.clamp(min=1e-9))
        entropy = -(filtered * log_filtered).sum(dim=-1)
        return filtered, entropy


def make_inputs(batch, codebook_size=512):
    logits = 2.0 * torch.randn(batch, codebook_size)
    return [logits.to(torch.float16), 0.2 + torch.rand(batch)]


def get_inputs():
    return make_inputs(128)


def get_init_inputs():
    return [512]


def get_shape_variants():
    return [lambda b=b: make_inputs(b) for b in (32, 7, 3)]
