"""Triton kernels for ``RMSNorm``."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def power_mean_add_mul_kernel(
    x_ptr, weight_ptr, out_ptr, num_rows, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr
):
    """Compute ``out`` from ``x`` and ``weight``: power mean add mul.

    PyTorch::

        mean_square = x.pow(2).mean(dim=-1, keepdim=True)
        normalized = x * torch.rsqrt(mean_square + self.eps)
        return normalized * self.weight

    Each program instance handles ``BLOCK_ROWS`` rows, ``BLOCK_COLS`` columns at a time.
    """
    num_cols = 5120
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < num_rows
    col_lane = tl.arange(0, BLOCK_COLS)[None, :]
    x_squared_acc = tl.zeros([BLOCK_ROWS, BLOCK_COLS], dtype=tl.float32)
    # Go through the columns, block by block, and accumulate.
    for col_start in tl.range(0, num_cols, BLOCK_COLS):
        col = col_start + col_lane
        col_mask = col < num_cols
        mask = col_mask & row_mask
        x = tl.load(x_ptr + (row * num_cols + col), mask=mask, other=0.0)
        x_squared_acc = tl.where(mask, x_squared_acc + x * x, x_squared_acc)
    x_squared_sum = tl.sum(x_squared_acc, 1)[:, None]
    # Go through the columns again, now that the totals are known.
    for col_start in tl.range(0, num_cols, BLOCK_COLS):
        col = col_start + col_lane
        col_mask = col < num_cols
        mask = col_mask & row_mask
        offsets = row * num_cols + col
        x = tl.load(x_ptr + offsets, mask=mask, other=0.0)
        weight = tl.load(weight_ptr + col, mask=col_mask, other=0.0)
        out = x * tl.rsqrt(x_squared_sum / 5120.0 + 1e-06) * weight
        tl.store(out_ptr + offsets, out, mask=mask)


def launch_power_mean_add_mul(x, weight, out, num_rows):
    """Launch ``power_mean_add_mul_kernel``."""
    grid = (num_rows,)
    power_mean_add_mul_kernel[grid](
        x, weight, out, num_rows, BLOCK_COLS=2048, BLOCK_ROWS=1, num_warps=16, num_stages=1
    )


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


def check_constant(name, value, expected):
    """Raise ``ValueError`` unless a value is the one that the kernels below were made for."""
    exact = expected is None or isinstance(expected, bool)
    if not (value is expected if exact else value == expected):
        raise ValueError(f"{name} is fixed to {expected!r} in these kernels, got {value!r}")


class RMSNormNew(nn.Module):
    """``RMSNorm`` computed by the kernels above."""

    def __init__(self, features, eps):
        check_constant("features", features, 5120)
        check_constant("eps", eps, 1e-06)
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features) + 0.1 * torch.randn(features))

    def forward(self, x):
        if x.dim() != 2:
            raise ValueError("x: expected 2 dimensions")
        rows = x.shape[0]
        if not (rows >= 1 and rows < 2**31):
            raise ValueError(f"expected rows >= 1 and rows < 2**31, got {rows=}")
        if not 5120 * rows < 2**31:
            raise ValueError(f"expected 5120 * rows < 2**31, got {rows=}")
        check_tensor("x", x, (rows, 5120), torch.float32)
        check_tensor("self.weight", self.weight, (5120,), torch.float32)
        out = torch.empty((rows, 5120), dtype=torch.float32, device=x.device)
        launch_power_mean_add_mul(x, self.weight, out, rows)
        return out
