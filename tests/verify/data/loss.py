"""A pointwise loss of two inputs of one shape: what a swap of them does must be seen."""

PYTHON = '''
import torch
from torch import nn


class Loss(nn.Module):
    def forward(self, pred, target):
        return (target - pred) / (1 + pred.abs())


def get_inputs():
    return [torch.randn(16, 50), torch.randn(16, 50)]


def get_init_inputs():
    return []
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def loss_kernel(pred_ptr, target_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offset = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    pred = tl.load(pred_ptr + offset, mask=inside)
    target = tl.load(target_ptr + offset, mask=inside)
    tl.store(out_ptr + offset, (target - pred) / (1 + tl.abs(pred)), mask=inside)


def launch_loss(pred, target, out):
    n = pred.numel()
    loss_kernel[(triton.cdiv(n, 256),)](pred, target, out, n, BLOCK=256)


class LossNew(nn.Module):
    def forward(self, pred, target):
        out = torch.empty_like(pred)
        launch_loss(pred, target, out)
        return out
'''
