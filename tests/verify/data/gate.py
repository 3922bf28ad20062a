"""A training pair: a gated sum with two outputs that have gradients and one that has none."""

PYTHON = '''
import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(48))
        self.bias = nn.Parameter(torch.randn(48))

    def forward(self, x, y):
        h = x * self.scale + self.bias
        return torch.tanh(h) * y, (h * h).sum(-1), h.argmax(-1)


def get_inputs():
    return [torch.randn(32, 48).requires_grad_(), torch.randn(32, 48).requires_grad_()]
'''

TRITON = '''
import torch
from torch import nn
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def gate_kernel(x, y, scale, bias, out, square, place, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, 64)
    inside = col < COLS
    at = row * COLS + col
    h = tl.load(x + at, inside, 0.0) * tl.load(scale + col, inside, 0.0)
    h = h + tl.load(bias + col, inside, 0.0)
    tl.store(out + at, libdevice.tanh(h) * tl.load(y + at, inside, 0.0), inside)
    tl.store(square + row, tl.sum(tl.where(inside, h * h, 0.0), 0))
    tl.store(place + row, tl.argmax(tl.where(inside, h, float("-inf")), 0).to(tl.int64))


@triton.jit
def gate_backward_kernel(
    dout, dsquare, x, y, scale, bias, dx, dy, dscale, dbias, ROWS: tl.constexpr, COLS: tl.constexpr
):
    col = tl.program_id(0)
    row = tl.arange(0, ROWS)
    at = row * COLS + col
    weight = tl.load(scale + col)
    value = tl.load(x + at)
    h = value * weight + tl.load(bias + col)
    t = libdevice.tanh(h)
    given = tl.load(dout + at)
    other = tl.load(y + at)
    dh = given * other * (1.0 - t * t) + 2.0 * h * tl.load(dsquare + row)
    tl.store(dx + at, dh * weight)
    tl.store(dy + at, given * t)
    tl.store(dscale + col, tl.sum(dh * value, 0))
    tl.store(dbias + col, tl.sum(dh, 0))


def launch_gate(x, y, scale, bias, out, square, place):
    gate_kernel[(32,)](x, y, scale, bias, out, square, place, ROWS=32, COLS=48)


def launch_gate_backward(dout, dsquare, x, y, scale, bias, dx, dy, dscale, dbias):
    gate_backward_kernel[(48,)](
        dout, dsquare, x, y, scale, bias, dx, dy, dscale, dbias, ROWS=32, COLS=48
    )


class GateFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, scale, bias):
        out = torch.empty((32, 48), dtype=torch.float32, device=x.device)
        square = torch.empty((32,), dtype=torch.float32, device=x.device)
        place = torch.empty((32,), dtype=torch.int64, device=x.device)
        launch_gate(x, y, scale, bias, out, square, place)
        ctx.save_for_backward(x, y, scale, bias)
        ctx.mark_non_differentiable(place)
        return out, square, place

    @staticmethod
    def backward(ctx, dout, dsquare, dplace):
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivative")
        x, y, scale, bias = ctx.saved_tensors
        dout = dout.contiguous()
        dsquare = dsquare.contiguous()
        dx = torch.empty((32, 48), dtype=torch.float32, device=x.device)
        dy = torch.empty((32, 48), dtype=torch.float32, device=x.device)
        dscale = torch.empty((48,), dtype=torch.float32, device=x.device)
        dbias = torch.empty((48,), dtype=torch.float32, device=x.device)
        launch_gate_backward(dout, dsquare, x, y, scale, bias, dx, dy, dscale, dbias)
        return dx, dy, dscale, dbias


class GateNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(48))
        self.bias = nn.Parameter(torch.randn(48))

    def forward(self, x, y):
        return GateFunction.apply(x, y, self.scale, self.bias)
'''
