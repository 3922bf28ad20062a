"""Triton kernels for ``ConvRelu``."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def maximum(a, b):
    """Elementwise maximum that keeps NaN, as PyTorch's does."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def conv_kernel(image_ptr, scratch_ptr, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr):
    """Compute ``scratch`` from ``image``: conv.

    PyTorch::

        return F.relu(self.conv(image))

    Each program instance handles a tile of ``BLOCK_ROWS`` by ``BLOCK_COLS``.
    """
    ROWS: tl.constexpr = 64
    COLS: tl.constexpr = 784
    INNER_SIZE: tl.constexpr = 32
    row = tl.program_id(1) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < ROWS
    col = tl.program_id(0) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)[None, :]
    col_mask = col < COLS
    inner = row % INNER_SIZE
    outer = row // INNER_SIZE
    mask = col_mask & row_mask
    scratch = tl.load(image_ptr + (col + COLS * row), mask=mask)
    tl.store(
        scratch_ptr + (inner + INNER_SIZE * col + INNER_SIZE * COLS * outer), scratch, mask=mask
    )


def launch_conv(image, scratch):
    """Launch ``conv_kernel``."""
    BLOCK_COLS = 32
    BLOCK_ROWS = 32
    grid = (triton.cdiv(784, BLOCK_COLS), triton.cdiv(64, BLOCK_ROWS))
    conv_kernel[grid](image, scratch, BLOCK_COLS=BLOCK_COLS, BLOCK_ROWS=BLOCK_ROWS, num_warps=4)


@triton.jit
def conv_2_kernel(weight_ptr, scratch_b_ptr, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr):
    """Compute ``scratch_b`` from ``weight``: conv.

    PyTorch::

        return F.relu(self.conv(image))

    Each program instance handles a tile of ``BLOCK_ROWS`` by ``BLOCK_COLS``.
    """
    COLS: tl.constexpr = 9
    INNER_SIZE: tl.constexpr = 32
    row = tl.program_id(1) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    col = tl.program_id(0) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)[None, :]
    col_mask = col < COLS
    inner = row // INNER_SIZE
    scratch_b = tl.load(weight_ptr + (col + COLS * row), mask=col_mask)
    tl.store(
        scratch_b_ptr + (row % INNER_SIZE + INNER_SIZE * col + COLS * INNER_SIZE * inner),
        scratch_b,
        mask=col_mask,
    )


def launch_conv_2(weight, scratch_b):
    """Launch ``conv_2_kernel``."""
    BLOCK_COLS = 16
    BLOCK_ROWS = 64
    grid = (triton.cdiv(9, BLOCK_COLS), triton.cdiv(2048, BLOCK_ROWS))
    conv_2_kernel[grid](
        weight, scratch_b, BLOCK_COLS=BLOCK_COLS, BLOCK_ROWS=BLOCK_ROWS, num_warps=4
    )


@triton.jit
def conv_relu_kernel(scratch_ptr, scratch_b_ptr, bias_ptr, relu_ptr):
    """Compute ``relu`` from ``bias``: conv relu.

    PyTorch::

        return F.relu(self.conv(image))

    Each program instance computes one tile of ``BLOCK_M`` by ``BLOCK_N`` results.
    """
    COLS: tl.constexpr = 784
    KERNEL_H: tl.constexpr = 3
    KERNEL_W: tl.constexpr = 3
    BLOCK_M: tl.constexpr = 64
    BLOCK_N: tl.constexpr = 64
    BLOCK_K: tl.constexpr = 32
    BATCH = 2
    IN_C = 32
    IN_H = 28
    IN_W = 28
    OUT_C = 64
    OUT_H = 28
    OUT_W = 28
    stride_xh = 896
    stride_xw = 32
    stride_wh = 96
    stride_ww = 32
    nhw = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    idx_y_w = nhw % OUT_W
    nh = nhw // OUT_W
    idx_y_h = nh % OUT_H
    col_b = nh // OUT_H
    # The output channels of this tile.
    idx_y_c = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    x_base = scratch_ptr + (col_b * 25088)[:, None]
    w_base = scratch_b_ptr + (idx_y_c * 288)[None, :]
    # Accumulate the product along K in float32.
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    BLOCK_K_COUNT = (IN_C + BLOCK_K - 1) // BLOCK_K
    for ijk in range(KERNEL_H * KERNEL_W * BLOCK_K_COUNT):
        ij = ijk // BLOCK_K_COUNT
        i = ij // KERNEL_W
        j = ij % KERNEL_W
        idx_x_h = i - 1 + idx_y_h
        idx_x_w = j - 1 + idx_y_w
        idx_x_c = tl.arange(0, BLOCK_K) + ijk % BLOCK_K_COUNT * BLOCK_K
        x_ptrs = x_base + (
            (idx_x_h * stride_xh)[:, None] + (idx_x_w * stride_xw)[:, None] + idx_x_c[None, :]
        )
        mask_x = (
            (col_b < BATCH)[:, None]
            & (idx_x_h >= 0)[:, None]
            & (idx_x_h < IN_H)[:, None]
            & (idx_x_w >= 0)[:, None]
            & (idx_x_w < IN_W)[:, None]
            & (idx_x_c < IN_C)[None, :]
        )
        matrix_x = tl.load(x_ptrs, mask=mask_x, other=0.0)
        w_ptrs = w_base + (idx_x_c[:, None] + i * stride_wh + j * stride_ww)
        mask_w = (idx_x_c[:, None] < IN_C) & (idx_y_c[None, :] < OUT_C)
        matrix_w = tl.load(w_ptrs, mask=mask_w, other=0.0)
        acc += tl.dot(matrix_x, matrix_w, input_precision="ieee")
    mask = (
        (col_b < BATCH)[:, None]
        & (idx_y_h < OUT_H)[:, None]
        & (idx_y_w < OUT_W)[:, None]
        & (idx_y_c < OUT_C)[None, :]
    )
    col_c = col_b[:, None]
    idx_c = idx_y_c[None, :]
    idx_w = idx_y_w[:, None]
    offsets = idx_w + IN_H * idx_y_h[:, None] + COLS * idx_c + OUT_C * COLS * col_c
    col = offsets % COLS
    bias = tl.load(bias_ptr + tl.broadcast_to(idx_c, [BLOCK_M, BLOCK_N]), mask=mask, other=0)
    relu = maximum(0, acc + bias)
    tl.store(relu_ptr + (col + COLS * idx_c + OUT_C * COLS * col_c), relu, mask=mask)


def launch_conv_relu(scratch, scratch_b, bias, relu):
    """Launch ``conv_relu_kernel``."""
    grid = (25,)
    conv_relu_kernel[grid](scratch, scratch_b, bias, relu, num_warps=4, num_stages=4)


def check_tensor(name, tensor, size, stride, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if any(n > 1 and a != b for n, a, b in zip(size, tensor.stride(), stride)):
        raise ValueError(f"{name}: expected strides {stride}, got {tensor.stride()}")


class ConvReluNew(nn.Module):
    """``ConvRelu`` computed by the kernels above."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(32, 64, kernel_size=3, padding=1)

    def forward(self, image):
        check_tensor(
            "self.conv.weight", self.conv.weight, (64, 32, 3, 3), (288, 9, 3, 1), torch.float32
        )
        check_tensor("self.conv.bias", self.conv.bias, (64,), (1,), torch.float32)
        check_tensor("image", image, (2, 32, 28, 28), (25088, 784, 28, 1), torch.float32)
        scratch = torch.empty_strided(
            (2, 32, 28, 28), (25088, 1, 896, 32), dtype=torch.float32, device=image.device
        )
        launch_conv(image, scratch)
        scratch_b = torch.empty_strided(
            (64, 32, 3, 3), (288, 1, 96, 32), dtype=torch.float32, device=image.device
        )
        launch_conv_2(self.conv.weight, scratch_b)
        relu = torch.empty((2, 64, 28, 28), dtype=torch.float32, device=image.device)
        launch_conv_relu(scratch, scratch_b, self.conv.bias, relu)
        return relu
