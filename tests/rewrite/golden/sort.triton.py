"""Triton kernels for ``TrimmedRange``."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.constexpr_function
def log2_exact(size):
    """Exponent of a power of two, at compile time."""
    return size.bit_length() - 1


@triton.constexpr_function
def sorted_last(dtype, descending):
    """The value after which no other is sorted; NaN is greatest."""
    if dtype.is_floating():
        return float("-inf") if descending else float("nan")
    if dtype.is_int_unsigned():
        return 0 if descending else (1 << dtype.primitive_bitwidth) - 1
    top = 1 << (dtype.primitive_bitwidth - 1)
    return -top if descending else top - 1


@triton.jit
def sort_values(x, count, axis: tl.constexpr, descending: tl.constexpr = False):
    """Sorts each row with a bitonic network (Batcher 1968).

    NaN is greatest, and places from ``count`` on come last.  Every element fetches its partner, so
    that nothing is unrolled.
    """
    tl.static_assert(axis == len(x.shape) - 1, "only rows can be sorted")
    _, position = tl.broadcast(x, tl.arange(0, x.shape[axis]))
    if count is not None:
        x = tl.where(position < count, x, sorted_last(x.dtype, descending))
    stages: tl.constexpr = log2_exact(x.shape[axis])
    for stage in range(1, stages + 1):
        for step in range(stage):
            distance = 1 << (stage - 1 - step)
            other = tl.gather(x, position ^ distance, axis)
            ascending = (position & (1 << stage)) == 0
            takes_first = ((position & distance) == 0) == ascending
            first = tl.where(takes_first, x, other)
            second = tl.where(takes_first, other, x)
            if descending:
                misplaced = (second > first) | ((second != second) & (first == first))
            else:
                misplaced = (second < first) | ((first != first) & (second == second))
            x = tl.where(misplaced, other, x)
    return x


@triton.jit
def sort_mul_kernel(out_ptr, samples_ptr, BLOCK_ROWS: tl.constexpr):
    """Compute ``out`` from ``samples``: sort mul.

    PyTorch::

        ordered, _ = torch.sort(samples, dim=-1)
        return ordered * 0.5

    Each program instance handles ``BLOCK_ROWS`` rows, all columns at once.
    """
    ROWS: tl.constexpr = 96
    COLS: tl.constexpr = 128
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)[:, None]
    row_mask = row < ROWS
    col = tl.arange(0, COLS)[None, :]
    offsets = row * COLS + col
    samples = tl.load(samples_ptr + offsets, mask=row_mask, other=0.0)
    out = sort_values(samples, None, 1, descending=False) * 0.5
    tl.store(out_ptr + offsets, out, mask=row_mask)


def launch_sort_mul(out, samples):
    """Launch ``sort_mul_kernel``."""
    grid = (96,)
    sort_mul_kernel[grid](out, samples, BLOCK_ROWS=1, num_warps=2)


def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")


class TrimmedRangeNew(nn.Module):
    """``TrimmedRange`` computed by the kernels above."""

    def forward(self, samples):
        check_tensor("samples", samples, (96, 128), torch.float32)
        out = torch.empty((96, 128), dtype=torch.float32, device=samples.device)
        launch_sort_mul(out, samples)
        return out
