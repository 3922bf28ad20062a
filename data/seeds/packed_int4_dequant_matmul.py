# SPDX-License-Identifier: Apache-2.0
"""Matrix product with weights of four bits, eight to an int32 word, with scales per group."""

import torch
from torch import nn

BITS = 4
PER_WORD = 32 // BITS


def unpack(words: torch.Tensor) -> torch.Tensor:
    """(out, in / 8) words of int32 to (out, in) integers from 0 to 15, lowest bits first."""
    shifts = torch.arange(0, 32, BITS, dtype=torch.int32, device=words.device)
    nibbles = (words.unsqueeze(-1) >> shifts) & 0xF
    return nibbles.flatten(-2)


def dequantise(words, scales, zeros, group_size):
    """Each group of a row has a scale and a zero point; the result has the scales' type."""
    grouped = unpack(words).unflatten(-1, (-1, group_size)).float()
    weight = (grouped - zeros.unsqueeze(-1).float()) * scales.unsqueeze(-1).float()
    return weight.flatten(1).to(scales.dtype)


class PackedInt4Linear(nn.Module):
    def __init__(self, in_features: int, out_features: int, group_size: int = 128):
        super().__init__()
        self.group_size = group_size
        groups = in_features // group_size
        words = torch.randint(-(2**31), 2**31, (out_features, in_features // PER_WORD))
        zeros = torch.randint(6, 10, (out_features, groups))
        scales = (0.5 + torch.rand(out_features, groups)) * 0.2 * in_features**-0.5
        self.register_buffer("qweight", words.to(torch.int32))
        self.register_buffer("qzeros", zeros.to(torch.uint8))
        self.scales = nn.Parameter(scales.to(torch.bfloat16))
        self.bias = nn.Parameter((0.1 * torch.randn(out_features)).to(torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = dequantise(self.qweight, self.scales, self.qzeros, self.group_size)
        return torch.matmul(x, weight.t()) + self.bias


def get_inputs():
    return [torch.randn(2, 64, 1024, dtype=torch.bfloat16)]


def get_init_inputs():
    return [1024, 1024]


def get_shape_variants():
    sizes = ((1, 4), (1, 33), (3, 7))
    return [
        lambda b=b, n=n: [torch.randn(b, n, 1024, dtype=torch.bfloat16)] for b, n in sizes
    ]
