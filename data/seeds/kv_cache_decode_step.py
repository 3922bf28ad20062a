# SPDX-License-Identifier: Apache-2.0
"""One decoding step of attention: writes a token into a key-value cache and attends to it."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN, NUM_HEADS, HEAD_DIM = 1024, 8, 64


def write_slot(cache: Tensor, entry: Tensor, slot: Tensor) -> Tensor:
    """Returns the cache with ``entry`` at each sequence's slot."""
    index = slot.view(-1, 1, 1, 1).expand_as(entry)
    return cache.scatter(2, index, entry)


class CachedDecodeAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = NUM_HEADS * HEAD_DIM
        self.to_qkv = nn.Linear(HIDDEN, 3 * inner)
        self.to_out = nn.Linear(inner, HIDDEN)
        nn.init.normal_(self.to_qkv.weight, std=1.5 * HIDDEN**-0.5)
        nn.init.normal_(self.to_qkv.bias, std=0.3)
        nn.init.normal_(self.to_out.bias, std=0.1)

    def forward(
        self, token: Tensor, k_cache: Tensor, v_cache: Tensor, positions: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            token: (batch, hidden), the newest token of every sequence.
            k_cache: (batch, heads, capacity, head_dim), and v_cache likewise.
            positions: (batch,), how many tokens each sequence had before.
        """
        batch = token.shape[0]
        qkv = self.to_qkv(token).view(batch, 3, NUM_HEADS, 1, HEAD_DIM)
        q, k_new, v_new = qkv.unbind(1)
        k_cache = write_slot(k_cache, k_new, positions)
        v_cache = write_slot(v_cache, v_new, positions)

        scores = (q * k_cache).sum(-1) * HEAD_DIM**-0.5
        slots = torch.arange(k_cache.shape[2], device=token.device)
        unwritten = slots > positions.view(-1, 1, 1)
        probs = F.softmax(scores.masked_fill(unwritten, float("-inf")), dim=-1)
        context = torch.einsum("bht,bhtd->bhd", probs, v_cache)
        return self.to_out(context.flatten(1)), k_cache, v_cache


def _step_inputs(batch, capacity):
    cache_shape = (batch, NUM_HEADS, capacity, HEAD_DIM)
    token = torch.randn(batch, HIDDEN)
    positions = torch.randint(capacity // 2, capacity, (batch,))
    return [token, torch.randn(cache_shape), torch.randn(cache_shape), positions]


def get_inputs():
    return _step_inputs(8, 512)


def get_shape_variants():
    return [lambda: _step_inputs(2, 16), lambda: _step_inputs(3, 33), lambda: _step_inputs(5, 48)]
