"""Triton kernels for ``LinearSilu``."""

import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice


@triton.jit
def linear_silu_kernel(bias_ptr, x_ptr, weight_ptr, silu_ptr, tokens):
    """Compute ``silu`` from ``bias``, ``x`` and ``weight``: linear silu.

    PyTorch::

        return F.silu(self.proj(x))

    Each program instance computes one tile of ``BLOCK_M`` by ``BLOCK_N`` results.
    """
    BLOCK_M: tl.constexpr = 64
    BLOCK_N: tl.constexpr = 64
    BLOCK_K: tl.constexpr = 128
    GROUP_M: tl.constexpr = 8
    N = 1024
    K = 512
    pid = tl.program_id(0)
    grid_m = (tokens + BLOCK_M - 1) // BLOCK_M
    # Tiles in groups of GROUP_M rows share what they load in the L2 cache.
    width = GROUP_M * ((N + BLOCK_N - 1) // BLOCK_N)
    group_id = pid // width
    group_size = min(grid_m - group_id * GROUP_M, GROUP_M)
    pid_m = group_id * GROUP_M + pid % group_size
    pid_n = pid % width // group_size
    tl.assume(pid_m >= 0)
    tl.assume(pid_n >= 0)
    rm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    rn = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    # Rows and columns beyond the end wrap around: loads need no mask there.
    offs_a_m = rm % tokens
    offs_b_n = tl.max_contiguous(tl.multiple_of(rn % N, BLOCK_N), BLOCK_N)
    offs_k = tl.arange(0, BLOCK_K)
    # Accumulate the product along K in float32.
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k_idx in range(0, tl.cdiv(K, BLOCK_K)):
        a_k_idx_vals = offs_k[None, :] + k_idx * BLOCK_K
        b_k_idx_vals = offs_k[:, None] + k_idx * BLOCK_K
        a = tl.load(x_ptr + (a_k_idx_vals + K * offs_a_m[:, None]))
        b = tl.load(weight_ptr + (b_k_idx_vals + K * offs_b_n[None, :]))
        acc += tl.dot(a, b)
    row = rm[:, None]
    col = rn[None, :]
    mask = (row < tokens) & (col < N)
    offsets = col + N * row
    bias = tl.load(bias_ptr + tl.broadcast_to(col, [BLOCK_M, BLOCK_N]), mask=mask, other=0).to(
        tl.float32
    )
    bias_b = (acc + bias).to(tl.bfloat16).to(tl.float32)
    silu = bias_b / (libdevice.exp(-bias_b) + 1.0)
    tl.store(silu_ptr + offsets, silu, mask=mask)


def launch_linear_silu(bias, x, weight, silu, tokens):
    """Launch ``linear_silu_kernel``."""
    grid = (16 * triton.cdiv(tokens, 64),)
    linear_silu_kernel[grid](bias, x, weight, silu, tokens, num_warps=4, num_stages=5)


def check_tensor(name, tensor, size, stride, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if any(n > 1 and a != b for n, a, b in zip(size, tensor.stride(), stride)):
        raise ValueError(f"{name}: expected strides {stride}, got {tensor.stride()}")


IN_FEATURES = 512


OUT_FEATURES = 1024


class LinearSiluNew(nn.Module):
    """``LinearSilu`` computed by the kernels above."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(IN_FEATURES, OUT_FEATURES, dtype=torch.bfloat16)

    def forward(self, x):
        if x.dim() != 2:
            raise ValueError("x: expected 2 dimensions")
        tokens = x.shape[0]
        if not (tokens >= 1 and 1024 * tokens < 2**31):
            raise ValueError(
                f"these kernels need tokens >= 1 and 1024 * tokens < 2**31, got {tokens=}"
            )
        check_tensor("self.proj.weight", self.proj.weight, (1024, 512), (512, 1), torch.bfloat16)
        check_tensor("self.proj.bias", self.proj.bias, (1024,), (1,), torch.bfloat16)
        check_tensor("x", x, (tokens, 512), (512, 1), torch.bfloat16)
        silu = torch.empty((tokens, 1024), dtype=torch.bfloat16, device=x.device)
        launch_linear_silu(self.proj.bias, x, self.proj.weight, silu, tokens)
        return silu
