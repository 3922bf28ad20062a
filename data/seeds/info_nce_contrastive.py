# SPDX-License-Identifier: Apache-2.0
"""Symmetric contrastive loss between two projected modalities with a learned temperature."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Projector(nn.Module):
    """Maps features to the unit sphere of the shared space."""

    def __init__(self, in_dim, out_dim):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / math.sqrt(in_dim))
        self.bias = nn.Parameter(0.1 * torch.randn(out_dim))

    def forward(self, features):
        return F.normalize(F.linear(features, self.weight, self.bias), dim=-1)


class InfoNCE(nn.Module):
    def __init__(self, image_dim, text_dim, shared_dim, temperature=0.07):
        super().__init__()
        self.image_proj = Projector(image_dim, shared_dim)
        self.text_proj = Projector(text_dim, shared_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))

    def forward(self, image_features, text_features):
        image = self.image_proj(image_features)
        text = self.text_proj(text_features)
        similarity = image @ text.t()
        logits = self.logit_scale.exp() * similarity

        labels = torch.arange(logits.shape[0], device=logits.device)
        image_to_text = F.cross_entropy(logits, labels)
        text_to_image = F.cross_entropy(logits.t(), labels)
        loss = 0.5 * (image_to_text + text_to_image)
        return loss, similarity.diagonal()


def get_inputs():
    return [torch.randn(256, 768), torch.randn(256, 512)]


def get_init_inputs():
    return [768, 512, 256]


def get_shape_variants():
    return [lambda n=n: [torch.randn(n, 768), torch.randn(n, 512)] for n in (16, 33, 70)]
