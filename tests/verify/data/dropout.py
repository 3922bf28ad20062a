"""Two dropouts around a sine, each with numbers of its own."""

PYTHON = '''
import torch
import torch.nn.functional as F
from torch import nn


class Drops(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.2) + F.dropout(x.sin(), 0.4)


def get_inputs():
    return [torch.randn(14, 100)]


def get_init_inputs():
    return []
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit(do_not_specialize=["first", "second"])
def drops_kernel(x_ptr, out_ptr, first, second, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < COLUMNS
    place = row * COLUMNS + column
    x = tl.load(x_ptr + place, mask=inside)
    a = tl.where(tl.rand(first, place) < 1.0 - 0.2, x * 1.25, 0.0)
    b = tl.where(tl.rand(second, place) < 1.0 - 0.4, tl.sin(x) * (1.0 / 0.6), 0.0)
    tl.store(out_ptr + place, a + b, mask=inside)


def launch_drops(x, out, first, second):
    rows, columns = x.shape
    block = triton.next_power_of_2(columns)
    drops_kernel[(rows,)](x, out, first, second, COLUMNS=columns, BLOCK=block)


def random_seeds(seed, count):
    state = torch.initial_seed() if seed is None else seed
    seeds = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        seeds.append((mixed ^ (mixed >> 31)) >> 1)
    return seeds


class DropsNew(nn.Module):
    def forward(self, x, *, seed=None):
        seeds = random_seeds(seed, 2)
        out = torch.empty_like(x)
        launch_drops(x, out, seeds[0], seeds[1])
        return out
'''
