"""A layer norm with its shift registered before its scale, in half precision."""

PYTHON = '''
import torch
from torch import nn


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(size))
        self.gamma = nn.Parameter(torch.ones(size))
        self.offset = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        x = x.float() + self.offset
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).square().mean(-1, keepdim=True)
        y = (x - mean) * torch.rsqrt(variance + 1e-5) * self.gamma + self.beta
        return y.half()


def get_inputs():
    return [torch.randn(6, 11, 40).half()]


def get_init_inputs():
    return [[], {"size": 40}]
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def norm_kernel(x_ptr, gamma_ptr, beta_ptr, offset_ptr, out_ptr, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < SIZE
    x = tl.load(x_ptr + row * SIZE + column, mask=inside, other=0.0).to(tl.float32)
    x += tl.load(offset_ptr + column, mask=inside, other=0.0)
    mean = tl.sum(x, 0) / SIZE
    centred = tl.where(inside, x - mean, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 0) / SIZE + 1e-5)
    gamma = tl.load(gamma_ptr + column, mask=inside)
    beta = tl.load(beta_ptr + column, mask=inside)
    tl.store(out_ptr + row * SIZE + column, (centred * scale * gamma + beta).to(tl.float16), mask=inside)


def launch_norm(x, gamma, beta, offset, out):
    size = x.shape[-1]
    block = triton.next_power_of_2(size)
    norm_kernel[(x.numel() // size,)](x, gamma, beta, offset, out, SIZE=size, BLOCK=block)


class NormNew(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(size))
        self.gamma = nn.Parameter(torch.ones(size))
        self.offset = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        launch_norm(x, self.gamma, self.beta, self.offset, out)
        return out
'''
