# SPDX-License-Identifier: Apache-2.0
"""Two-tower text encoder: idf-weighted mean of half-precision embeddings over unpadded tokens."""

import torch
import torch.nn as nn
import torch.nn.functional as F

VOCABULARY = 4096
PADDING_ID = 0


def masked_weighted_mean(embedded, weights, mask):
    """Accumulates in float32; a bag of nothing but padding gives zeros."""
    weights = weights.masked_fill(~mask, 0.0)
    total = torch.einsum("blh,bl->bh", embedded.float(), weights)
    return total / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)


class BagEncoder(nn.Module):
    def __init__(self, hidden: int = 256, output: int = 128):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, hidden, dtype=torch.float16)
        self.idf = nn.Embedding(VOCABULARY, 1)
        self.project = nn.Linear(hidden, output)
        nn.init.normal_(self.table.weight, std=0.5)
        nn.init.normal_(self.idf.weight, std=0.7)

    def encode(self, token_ids):
        mask = token_ids != PADDING_ID
        importance = F.softplus(self.idf(token_ids).squeeze(-1))
        pooled = masked_weighted_mean(self.table(token_ids), importance, mask)
        return F.normalize(self.project(pooled), dim=-1)

    def forward(self, query_ids, document_ids):
        queries = self.encode(query_ids)
        documents = self.encode(document_ids)
        return queries @ documents.t(), queries


def padded_ids(batch, length):
    ids = torch.randint(1, VOCABULARY, (batch, length))
    lengths = torch.randint(1, length + 1, (batch, 1))
    return torch.where(torch.arange(length) < lengths, ids, PADDING_ID)


def get_inputs():
    return [padded_ids(64, 16), padded_ids(96, 128)]


def get_init_inputs():
    return [256, 128]


def get_shape_variants():
    return [
        lambda: [padded_ids(8, 12), padded_ids(16, 32)],
        lambda: [padded_ids(3, 7), padded_ids(5, 33)],
        lambda: [padded_ids(2, 4), padded_ids(7, 9)],
    ]
