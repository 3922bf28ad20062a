# SPDX-License-Identifier: Apache-2.0
"""Graph attention over edges sorted by target: softmax within segments, messages by index_add."""

import torch
from torch import Tensor, nn
import torch.nn.functional as F


def segment_sum(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    out = values.new_zeros((num_segments, *values.shape[1:]))
    return out.index_add(0, segment_ids, values)


def segment_softmax(scores: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Softmax over the edges of each segment, one column a head.

    One shift per head suffices here, since the scores are soft-capped.
    """
    weights = torch.exp(scores - scores.amax(dim=0, keepdim=True))
    index = segment_ids.unsqueeze(-1).expand_as(weights)
    zeros = weights.new_zeros(num_segments, weights.shape[1])
    denominator = zeros.scatter_add(0, index, weights)
    return weights / denominator.index_select(0, segment_ids)


class GraphAttention(nn.Module):
    def __init__(self, hidden: int = 64, heads: int = 4, cap: float = 10.0):
        super().__init__()
        self.heads = heads
        self.cap = cap
        self.project = nn.Linear(hidden, hidden, bias=False)
        self.source_score = nn.Parameter(torch.randn(heads, hidden // heads) * 0.5)
        self.target_score = nn.Parameter(torch.randn(heads, hidden // heads) * 0.5)
        self.skip = nn.Linear(hidden, hidden)

    def forward(self, nodes: Tensor, sources: Tensor, targets: Tensor):
        num_nodes = nodes.shape[0]
        projected = self.project(nodes).unflatten(-1, (self.heads, -1))
        from_source = (projected * self.source_score).sum(dim=-1)
        from_target = (projected * self.target_score).sum(dim=-1)
        scores = F.leaky_relu(from_source[sources] + from_target[targets], 0.2)
        scores = self.cap * torch.tanh(scores / self.cap)
        attention = segment_softmax(scores, targets, num_nodes)
        messages = attention.unsqueeze(-1) * projected[sources]
        gathered = segment_sum(messages, targets, num_nodes).flatten(1)
        return F.elu(gathered + self.skip(nodes)), attention


def make_graph(num_nodes: int, num_edges: int):
    sources = torch.randint(0, num_nodes, (num_edges,))
    targets = torch.sort(torch.randint(0, num_nodes, (num_edges,))).values
    return [torch.randn(num_nodes, 64), sources, targets]


def get_inputs():
    return make_graph(512, 4096)


def get_init_inputs():
    return [64, 4]


def get_shape_variants():
    return [lambda n=n, e=e: make_graph(n, e) for n, e in ((128, 512), (33, 101), (7, 20))]
