"""A weighted histogram: float atomics, whose sum depends on the order of program instances."""

PYTHON = '''
import torch
from torch import nn


class Histogram(nn.Module):
    def forward(self, index, weight):
        return torch.zeros(8, dtype=weight.dtype).index_add_(0, index, weight * 1.5)


def get_inputs():
    return [torch.randint(0, 8, (4096,)), torch.randn(4096)]


def get_init_inputs():
    return []
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def histogram_kernel(index_ptr, weight_ptr, out_ptr, BLOCK: tl.constexpr):
    offset = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    index = tl.load(index_ptr + offset)
    weight = tl.load(weight_ptr + offset)
    tl.atomic_add(out_ptr + index, weight * 1.5)


def launch_histogram(index, weight, out):
    histogram_kernel[(index.numel() // 64,)](index, weight, out, BLOCK=64)


class HistogramNew(nn.Module):
    def forward(self, index, weight):
        out = torch.zeros((8,), dtype=weight.dtype, device=weight.device)
        launch_histogram(index, weight, out)
        return out
'''
