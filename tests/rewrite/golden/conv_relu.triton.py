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
def copy_for_conv_kernel(
    image_ptr, image_copy_ptr, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr
):
    """Compute ``image_copy`` from ``image``: copy for conv.

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
    image_copy = tl.load(image_ptr + (row * COLS + col), mask=mask)
    tl.store(
        image_copy_ptr + (inner + col * INNER_SIZE + INNER_SIZE * COLS * outer),
        image_copy,
        mask=mask,
    )


def launch_copy_for_conv(image, image_copy):
    """Launch ``copy_for_conv_kernel``."""
    BLOCK_COLS = 32
    BLOCK_ROWS = 32
    grid = (triton.cdiv(784, BLOCK_COLS), triton.cdiv(64, BLOCK_ROWS))
    copy_for_conv_kernel[grid](
        image, image_copy, BLOCK_COLS=BLOCK_COLS, BLOCK_ROWS=BLOCK_ROWS, num_warps=4
    )


@triton.jit
def copy_for_conv_weight_kernel(
    weight_ptr, weight_copy_ptr, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr
):
    """Compute ``weight_copy`` from ``weight``: copy for conv weight.

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
    weight_copy = tl.load(weight_ptr + (row * COLS + col), mask=col_mask)
    tl.store(
        weight_copy_ptr + (row % INNER_SIZE + col * INNER_SIZE + COLS * INNER_SIZE * inner),
        weight_copy,
        mask=col_mask,
    )


def launch_copy_for_conv_weight(weight, weight_copy):
    """Launch ``copy_for_conv_weight_kernel``."""
    BLOCK_COLS = 16
    BLOCK_ROWS = 64
    grid = (triton.cdiv(9, BLOCK_COLS), triton.cdiv(2048, BLOCK_ROWS))
    copy_for_conv_weight_kernel[grid](
        weight, weight_copy, BLOCK_COLS=BLOCK_COLS, BLOCK_ROWS=BLOCK_ROWS, num_warps=4
    )


@triton.jit
def conv_relu_kernel(image_copy_ptr, weight_copy_ptr, bias_ptr, relu_ptr):
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
    out_pixels = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    out_cols = out_pixels % OUT_W
    out_lines = out_pixels // OUT_W
    out_rows = out_lines % OUT_H
    image = out_lines // OUT_H
    # The output channels of this tile.
    out_channels = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    input_base = image_copy_ptr + (image * 25088)[:, None]
    weight_base = weight_copy_ptr + (out_channels * 288)[None, :]
    # Accumulate the product along K in float32.
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    BLOCK_K_COUNT = (IN_C + BLOCK_K - 1) // BLOCK_K
    for step in range(KERNEL_H * KERNEL_W * BLOCK_K_COUNT):
        tap = step // BLOCK_K_COUNT
        tap_row = tap // KERNEL_W
        tap_col = tap % KERNEL_W
        in_rows = tap_row - 1 + out_rows
        in_cols = tap_col - 1 + out_cols
        in_channels = tl.arange(0, BLOCK_K) + step % BLOCK_K_COUNT * BLOCK_K
        input_ptrs = input_base + (
            (in_rows * stride_xh)[:, None] + (in_cols * stride_xw)[:, None] + in_channels[None, :]
        )
        input_mask = (
            (image < BATCH)[:, None]
            & (in_rows >= 0)[:, None]
            & (in_rows < IN_H)[:, None]
            & (in_cols >= 0)[:, None]
            & (in_cols < IN_W)[:, None]
            & (in_channels < IN_C)[None, :]
        )
        input_tile = tl.load(input_ptrs, mask=input_mask, other=0.0)
        weight_ptrs = weight_base + (
            in_channels[:, None] + tap_row * stride_wh + tap_col * stride_ww
        )
        weight_mask = (in_channels[:, None] < IN_C) & (out_channels[None, :] < OUT_C)
        weight_tile = tl.load(weight_ptrs, mask=weight_mask, other=0.0)
        acc += tl.dot(input_tile, weight_tile, input_precision="ieee")
    mask = (
        (image < BATCH)[:, None]
        & (out_rows < OUT_H)[:, None]
        & (out_cols < OUT_W)[:, None]
        & (out_channels < OUT_C)[None, :]
    )
    image_column = image[:, None]
    channel = out_channels[None, :]
    out_col = out_cols[:, None]
    offsets = out_rows[:, None] * IN_H + out_col + channel * COLS + OUT_C * COLS * image_column
    col = offsets % COLS
    bias = tl.load(bias_ptr + tl.broadcast_to(channel, [BLOCK_M, BLOCK_N]), mask=mask, other=0)
    relu = maximum(0, acc + bias)
    tl.store(relu_ptr + (col + channel * COLS + OUT_C * COLS * image_column), relu, mask=mask)


def launch_conv_relu(image_copy, weight_copy, bias, relu):
    """Launch ``conv_relu_kernel``."""
    grid = (25,)
    conv_relu_kernel[grid](image_copy, weight_copy, bias, relu, num_warps=4, num_stages=4)


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


class ConvReluNew(nn.Module):
    """``ConvRelu`` computed by the kernels above."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(32, 64, kernel_size=3, padding=1)

    def forward(self, image):
        check_tensor("self.conv.weight", self.conv.weight, (64, 32, 3, 3), torch.float32)
        check_tensor("self.conv.bias", self.conv.bias, (64,), torch.float32)
        check_tensor("image", image, (2, 32, 28, 28), torch.float32)
        image_copy = torch.empty_strided(
            (2, 32, 28, 28), (25088, 1, 896, 32), dtype=torch.float32, device=image.device
        )
        launch_copy_for_conv(image, image_copy)
        weight_copy = torch.empty_strided(
            (64, 32, 3, 3), (288, 1, 96, 32), dtype=torch.float32, device=image.device
        )
        launch_copy_for_conv_weight(self.conv.weight, weight_copy)
        relu = torch.empty((2, 64, 28, 28), dtype=torch.float32, device=image.device)
        launch_conv_relu(image_copy, weight_copy, self.conv.bias, relu)
        return relu
