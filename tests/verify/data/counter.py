"""A program that changes an input and a buffer, and returns a view of an input beside a result."""

PYTHON = '''
import torch
from torch import nn


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(64))

    def forward(self, state, x):
        state.mul_(0.9).add_(x)
        self.total += x
        return {"view": state[::2], "scaled": state * self.total}


def get_inputs():
    return [torch.rand(64), torch.randn(64)]


def get_init_inputs():
    return []
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def counter_kernel(state_ptr, x_ptr, total_ptr, out_ptr, BLOCK: tl.constexpr):
    offset = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offset)
    state = tl.load(state_ptr + offset) * 0.9 + x
    total = tl.load(total_ptr + offset) + x
    tl.store(state_ptr + offset, state)
    tl.store(total_ptr + offset, total)
    tl.store(out_ptr + offset, state * total)


def launch_counter(state, x, total, out):
    counter_kernel[(1,)](state, x, total, out, BLOCK=64)


class CounterNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(64))

    def forward(self, state, x):
        out = torch.empty_like(state)
        launch_counter(state, x, self.total, out)
        return {"view": state[::2], "scaled": out}
'''
