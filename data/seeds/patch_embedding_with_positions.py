# SPDX-License-Identifier: Apache-2.0
"""ViT patch embedding with factorised row and column positions and a class token."""

import torch
from torch import nn


def unfold_patches(images, patch):
    """(B, C, H, W) to (B, H/patch, W/patch, C * patch * patch)."""
    batch, channels, height, width = images.shape
    tiles = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(3)


class PatchEmbedding(nn.Module):
    def __init__(self, patch=7, channels=3, hidden=256, max_grid=16):
        super().__init__()
        self.patch = patch
        self.proj = nn.Linear(channels * patch * patch, hidden)
        self.row_embed = nn.Parameter(torch.randn(max_grid, hidden) * 0.1)
        self.col_embed = nn.Parameter(torch.randn(max_grid, hidden) * 0.1)
        self.class_token = nn.Parameter(torch.randn(1, 1, hidden) * 0.5)
        self.norm = nn.LayerNorm(hidden)
        nn.init.normal_(self.norm.weight, mean=1.0, std=0.1)
        nn.init.normal_(self.norm.bias, std=0.1)

    def forward(self, images):
        pixels = images * 2.0 - 1.0
        tokens = self.proj(unfold_patches(pixels, self.patch))
        rows, cols = tokens.shape[1], tokens.shape[2]
        positions = self.row_embed[:rows, None, :] + self.col_embed[None, :cols, :]
        tokens = (tokens + positions).flatten(1, 2)
        cls = self.class_token.expand(tokens.shape[0], -1, -1)
        return self.norm(torch.cat([cls, tokens], dim=1))


def get_inputs():
    return [torch.rand(4, 3, 112, 112)]


def get_init_inputs():
    return [7, 3, 256]


def get_shape_variants():
    return [
        lambda: [torch.rand(1, 3, 56, 56)],
        lambda: [torch.rand(3, 3, 49, 21)],
        lambda: [torch.rand(2, 3, 28, 63)],
    ]
