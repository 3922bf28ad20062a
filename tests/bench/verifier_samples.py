"""Two tiny pairs to plant faults in: a weighted row sum, and an activation in two kernels."""

from __future__ import annotations

from typing import Any

ROW_SUM_PROGRAM = """
import torch
from torch import nn


class RowSum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10))

    def forward(self, x, y):
        return ((x - y) * self.weight).sum(-1)


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 10), torch.randn(6, 10)]
"""

ROW_SUM = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def row_sum_kernel(
    in_ptr0, in_ptr1, in_ptr2, out_ptr0, XBLOCK: tl.constexpr, R0_BLOCK: tl.constexpr
):
    xnumel = 6
    r0_numel = 10
    xoffset = tl.program_id(0) * XBLOCK
    xindex = xoffset + tl.arange(0, XBLOCK)[:, None]
    xmask = xindex < xnumel
    r0_base = tl.arange(0, R0_BLOCK)[None, :]
    x0 = xindex
    _tmp5 = tl.full([XBLOCK, R0_BLOCK], 0, tl.float32)
    for r0_offset in tl.range(0, r0_numel, R0_BLOCK):
        r0_index = r0_offset + r0_base
        r0_mask = r0_index < r0_numel
        tmp0 = tl.load(in_ptr0 + (r0_index + 10 * x0), r0_mask & xmask, other=0.0)
        tmp1 = tl.load(in_ptr1 + (r0_index + 10 * x0), r0_mask & xmask, other=0.0)
        tmp2 = tl.load(in_ptr2 + r0_index, r0_mask, other=0.0)
        tmp3 = tmp0 - tmp1
        tmp4 = tmp3 * tmp2
        tmp6 = _tmp5 + tmp4
        _tmp5 = tl.where(r0_mask & xmask, tmp6, _tmp5)
    tmp5 = tl.sum(_tmp5, 1)[:, None]
    tl.store(out_ptr0 + x0, tmp5, xmask)


def launch_row_sum(in_ptr0, in_ptr1, in_ptr2, out_ptr0):
    R0_BLOCK = 8
    XBLOCK = 4
    grid = (triton.cdiv(6, XBLOCK),)
    row_sum_kernel[grid](in_ptr0, in_ptr1, in_ptr2, out_ptr0, R0_BLOCK=R0_BLOCK, XBLOCK=XBLOCK)


def check_tensor(name, tensor, size, dtype):
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        raise ValueError(name)


class RowSumNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10))

    def forward(self, x, y):
        check_tensor('x', x, (6, 10), torch.float32)
        check_tensor('y', y, (6, 10), torch.float32)
        check_tensor('self.weight', self.weight, (10,), torch.float32)
        buf0 = torch.empty((6,), dtype=torch.float32, device=x.device)
        launch_row_sum(x, y, self.weight, buf0)
        return buf0
"""

CURVE_PROGRAM = """
import torch
from torch import nn


class Curve(nn.Module):
    def forward(self, x):
        return torch.tanh(x) * 0.5 - x.abs()


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(8, 32)]
"""

CURVE = """
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def halve(x):
    return x * 0.5


@triton.jit
def tanh_kernel(in_ptr0, out_ptr0, XBLOCK: tl.constexpr):
    xnumel = 256
    xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)
    xmask = xindex < xnumel
    tmp0 = tl.load(in_ptr0 + xindex, xmask)
    tmp1 = libdevice.tanh(tmp0)
    tmp2 = halve(tmp1)
    tl.store(out_ptr0 + xindex, tmp2, xmask)


def launch_tanh(in_ptr0, out_ptr0):
    XBLOCK = 64
    grid = (4,)
    tanh_kernel[grid](in_ptr0, out_ptr0, XBLOCK=XBLOCK)


@triton.jit
def sub_kernel(in_ptr0, in_ptr1, out_ptr0):
    XBLOCK: tl.constexpr = 64
    xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)
    tmp0 = tl.load(in_ptr0 + xindex)
    tmp1 = tl.load(in_ptr1 + xindex)
    tmp2 = tl.abs(tmp1)
    tmp3 = tmp0 - tmp2
    tl.store(out_ptr0 + xindex, tmp3)


def launch_sub(in_ptr0, in_ptr1, out_ptr0, grid_x):
    grid = (grid_x,)
    sub_kernel[grid](in_ptr0, in_ptr1, out_ptr0)


def check_tensor(name, tensor, size, dtype):
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        raise ValueError(name)


class CurveNew(nn.Module):
    def forward(self, x):
        check_tensor('x', x, (8, 32), torch.float32)
        buf0 = torch.empty((8, 32), dtype=torch.float32, device=x.device)
        launch_tanh(x, buf0)
        buf1 = torch.empty((8, 32), dtype=torch.float32, device=x.device)
        launch_sub(buf0, x, buf1, 4)
        return buf1
"""


def rows() -> list[dict[str, Any]]:
    """The two pairs, with the columns that readers need."""
    return [
        {"python_code": ROW_SUM_PROGRAM, "triton_code": ROW_SUM, "entry_point": "RowSum"},
        {"python_code": CURVE_PROGRAM, "triton_code": CURVE, "entry_point": "Curve"},
    ]
