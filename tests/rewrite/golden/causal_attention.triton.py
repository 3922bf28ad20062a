"""Triton kernels for ``CausalAttention``."""

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
def batched_matmul_kernel(query_ptr, key_ptr, product_ptr):
    """Compute ``product``: batched matmul.

    PyTorch::

        scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_SIZE)

    Each program instance computes one tile of ``BLOCK_M`` by ``BLOCK_N`` results.
    """
    BLOCK_M: tl.constexpr = 64
    BLOCK_N: tl.constexpr = 32
    BLOCK_K: tl.constexpr = 64
    GROUP_M: tl.constexpr = 8
    A = query_ptr
    B = key_ptr
    M = 128
    N = 128
    K = 64
    BATCH = 8
    stride_aq = 8192
    stride_am = 64
    stride_bq = 8192
    stride_bn = 64
    pid = tl.program_id(0)
    row_tiles = (M + BLOCK_M - 1) // BLOCK_M
    # Tiles in groups of GROUP_M rows share what they load in the L2 cache.
    width = GROUP_M * ((N + BLOCK_N - 1) // BLOCK_N)
    group_id = pid // width
    group_size = min(row_tiles - group_id * GROUP_M, GROUP_M)
    tile_row = group_id * GROUP_M + pid % group_size
    tile_col = pid % width // group_size
    tl.assume(tile_row >= 0)
    tl.assume(tile_col >= 0)
    out_rows = tile_row * BLOCK_M + tl.arange(0, BLOCK_M)
    out_cols = tile_col * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows and columns beyond the end wrap around: loads need no mask there.
    a_rows = tl.max_contiguous(tl.multiple_of(out_rows % M, BLOCK_M), BLOCK_M)
    b_cols = tl.max_contiguous(tl.multiple_of(out_cols % N, BLOCK_N), BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    batch = tl.program_id(1) + tl.program_id(2) * tl.num_programs(1)
    batch_clamped = tl.minimum(batch, BATCH - 1)
    A = A + (a_rows[:, None] * stride_am + inner[None, :] + batch_clamped * stride_aq)
    B = B + (inner[:, None] + b_cols[None, :] * stride_bn + batch_clamped * stride_bq)
    # Accumulate the product along K in float32.
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(K, 0, -BLOCK_K):
        a = tl.load(A)
        b = tl.load(B)
        acc += tl.dot(a, b, input_precision="ieee")
        A += BLOCK_K
        B += BLOCK_K
    row = out_rows[:, None]
    col = out_cols[None, :]
    mask = (row < M) & (col < N) & (batch < BATCH)
    offsets = col + row * M + M * M * batch
    tl.store(product_ptr + offsets, acc, mask=mask)


def launch_batched_matmul(query, key, product):
    """Launch ``batched_matmul_kernel``."""
    grid = (8, 8)
    batched_matmul_kernel[grid](query, key, product, num_warps=4, num_stages=5)


@triton.jit
def tril_bitwise_not_masked_fill_softmax_kernel(softmax_product_ptr, BLOCK_ROWS: tl.constexpr):
    """Compute ``softmax_product``: tril bitwise not masked fill softmax.

    PyTorch::

        scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_SIZE)
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)

    Each program instance handles ``BLOCK_ROWS`` rows, all columns at once.
    """
    ROWS: tl.constexpr = 1024
    COLS: tl.constexpr = 128
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < ROWS
    col = tl.arange(0, COLS)[None, :]
    offsets = row * COLS + col
    softmax_product = tl.load(softmax_product_ptr + offsets, mask=row_mask, other=0.0)
    index_is_not_zero = ~((col - row % 128).to(tl.int64) <= 0)
    selected = tl.where(index_is_not_zero, float("-inf"), softmax_product * 0.125)
    selected_max = reduce_max(tl.where(row_mask, selected, float("-inf")), 1)[:, None]
    exp_centered = libdevice.exp(selected - selected_max)
    exp_centered_sum = tl.sum(tl.where(row_mask, exp_centered, 0), 1)[:, None]
    new_softmax_product = exp_centered / exp_centered_sum
    tl.store(softmax_product_ptr + offsets, new_softmax_product, mask=row_mask)


def launch_tril_bitwise_not_masked_fill_softmax(softmax_product):
    """Launch ``tril_bitwise_not_masked_fill_softmax_kernel``."""
    grid = (1024,)
    tril_bitwise_not_masked_fill_softmax_kernel[grid](softmax_product, BLOCK_ROWS=1, num_warps=2)


@triton.jit
def tril_bitwise_not_masked_fill_batched_matmul_kernel(softmax_product_ptr, value_ptr, out_ptr):
    """Compute ``out``: tril bitwise not masked fill batched matmul.

    PyTorch::

        scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_SIZE)
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
        return weights @ value

    Each program instance computes one tile of ``BLOCK_M`` by ``BLOCK_N`` results.
    """
    BLOCK_M: tl.constexpr = 32
    BLOCK_N: tl.constexpr = 64
    BLOCK_K: tl.constexpr = 32
    GROUP_M: tl.constexpr = 8
    A = softmax_product_ptr
    B = value_ptr
    M = 128
    N = 64
    K = 128
    BATCH = 8
    stride_aq = 16384
    stride_am = 128
    stride_bq = 8192
    stride_bk = 64
    pid = tl.program_id(0)
    row_tiles = (M + BLOCK_M - 1) // BLOCK_M
    # Tiles in groups of GROUP_M rows share what they load in the L2 cache.
    width = GROUP_M * ((N + BLOCK_N - 1) // BLOCK_N)
    group_id = pid // width
    group_size = min(row_tiles - group_id * GROUP_M, GROUP_M)
    tile_row = group_id * GROUP_M + pid % group_size
    tile_col = pid % width // group_size
    tl.assume(tile_row >= 0)
    tl.assume(tile_col >= 0)
    out_rows = tile_row * BLOCK_M + tl.arange(0, BLOCK_M)
    out_cols = tile_col * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows and columns beyond the end wrap around: loads need no mask there.
    a_rows = tl.max_contiguous(tl.multiple_of(out_rows % M, BLOCK_M), BLOCK_M)
    b_cols = tl.max_contiguous(tl.multiple_of(out_cols % N, BLOCK_N), BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    batch = tl.program_id(1) + tl.program_id(2) * tl.num_programs(1)
    batch_clamped = tl.minimum(batch, BATCH - 1)
    A = A + (a_rows[:, None] * stride_am + inner[None, :] + batch_clamped * stride_aq)
    B = B + (inner[:, None] * stride_bk + b_cols[None, :] + batch_clamped * stride_bq)
    # Accumulate the product along K in float32.
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(K, 0, -BLOCK_K):
        a = tl.load(A)
        b = tl.load(B)
        acc += tl.dot(a, b, input_precision="ieee")
        A += BLOCK_K
        B += BLOCK_K * stride_bk
    row = out_rows[:, None]
    col = out_cols[None, :]
    mask = (row < M) & (col < N) & (batch < BATCH)
    offsets = col + row * N + N * M * batch
    tl.store(out_ptr + offsets, acc, mask=mask)


def launch_tril_bitwise_not_masked_fill_batched_matmul(softmax_product, value, out):
    """Launch ``tril_bitwise_not_masked_fill_batched_matmul_kernel``."""
    grid = (4, 8)
    tril_bitwise_not_masked_fill_batched_matmul_kernel[grid](
        softmax_product, value, out, num_warps=8, num_stages=5
    )


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


class CausalAttentionNew(nn.Module):
    """``CausalAttention`` computed by the kernels above."""

    def forward(self, query, key, value):
        check_tensor("key", key, (2, 4, 128, 64), torch.float32)
        check_tensor("query", query, (2, 4, 128, 64), torch.float32)
        check_tensor("value", value, (2, 4, 128, 64), torch.float32)
        product = torch.empty((8, 128, 128), dtype=torch.float32, device=query.device)
        launch_batched_matmul(query, key, product)
        softmax_product = torch.as_strided(product, (2, 4, 128, 128), (65536, 16384, 128, 1))
        launch_tril_bitwise_not_masked_fill_softmax(softmax_product)
        out = torch.empty((8, 128, 64), dtype=torch.float32, device=query.device)
        launch_tril_bitwise_not_masked_fill_batched_matmul(softmax_product, value, out)
        return torch.as_strided(out, (2, 4, 128, 64), (32768, 8192, 64, 1))
