"""Triton kernels for ``Softmax``."""

import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def maximum(a, b):
    """Elementwise maximum that keeps NaN, as PyTorch's does."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def reduce_max(x, axis):
    """Maximum along an axis, NaN kept."""
    return tl.reduce(x, axis, maximum)


@triton.jit
def softmax_sub_exp_div_kernel(logits_ptr, out_ptr, num_rows, BLOCK_ROWS: tl.constexpr):
    """Compute ``out`` from ``logits``: softmax sub exp div.

    PyTorch::

        numerator = torch.exp(logits - row_max)
        return numerator / numerator.sum(dim=-1, keepdim=True)

    Each program instance handles ``BLOCK_ROWS`` rows, all columns at once.
    """
    COLS: tl.constexpr = 1000
    BLOCK_COLS: tl.constexpr = 1024
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < num_rows
    col = tl.arange(0, BLOCK_COLS)[None, :]
    col_mask = col < COLS
    mask = col_mask & row_mask
    offsets = row * COLS + col
    logits = tl.load(logits_ptr + offsets, mask=mask, other=0.0)
    selected = tl.where(mask, logits, float("-inf"))
    selected_max = reduce_max(selected, 1)[:, None]
    exp_logits_centered = libdevice.exp(logits - selected_max)
    centered_sum = tl.sum(tl.where(mask, exp_logits_centered, 0), 1)[:, None]
    out = exp_logits_centered / centered_sum
    tl.store(out_ptr + offsets, out, mask=mask)


def launch_softmax_sub_exp_div(logits, out, num_rows):
    """Launch ``softmax_sub_exp_div_kernel``."""
    grid = (num_rows,)
    softmax_sub_exp_div_kernel[grid](logits, out, num_rows, BLOCK_ROWS=1, num_warps=8)


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


class SoftmaxNew(nn.Module):
    """``Softmax`` computed by the kernels above."""

    def forward(self, logits):
        if logits.dim() != 2:
            raise ValueError("logits: expected 2 dimensions")
        rows = logits.shape[0]
        if not (rows >= 1 and rows < 2**31):
            raise ValueError(f"expected rows >= 1 and rows < 2**31, got {rows=}")
        if not 1000 * rows < 2**31:
            raise ValueError(f"expected 1000 * rows < 2**31, got {rows=}")
        check_tensor("logits", logits, (rows, 1000), torch.float32)
        out = torch.empty((rows, 1000), dtype=torch.float32, device=logits.device)
        launch_softmax_sub_exp_div(logits, out, rows)
        return out
