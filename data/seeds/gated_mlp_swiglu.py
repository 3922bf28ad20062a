# SPDX-License-Identifier: Apache-2.0
"""SwiGLU feed-forward block with one fused projection for gate and up."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class SwiGLU(nn.Module):
    """Gate and up come from one matrix product; the gate passes through SiLU."""

    def __init__(self, hidden_size: int, intermediate_size: int, bias: bool = True):
        super().__init__()
        self.gate_up_proj = nn.Linear(hidden_size, 2 * intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        nn.init.normal_(self.gate_up_proj.weight, std=hidden_size**-0.5)
        nn.init.normal_(self.down_proj.weight, std=intermediate_size**-0.5)
        if bias:
            nn.init.normal_(self.gate_up_proj.bias, std=0.1)
            nn.init.normal_(self.down_proj.bias, std=0.1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


def get_inputs():
    return [torch.randn(2, 128, 768)]


def get_init_inputs():
    return [768, 2048]


def get_shape_variants():
    return [
        lambda batch=batch, length=length: [torch.randn(batch, length, 768)]
        for batch, length in ((1, 16), (2, 33), (3, 7))
    ]
