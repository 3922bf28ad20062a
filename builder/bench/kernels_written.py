"""Triton files for the measurements that name a tiling, in the form of a pair's ``triton_code``."""

from __future__ import annotations

MATMUL = """\
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K,
                  BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + inner
        a_mask = (rows[:, None] < M) & (k[None, :] < K)
        b_mask = (k[:, None] < K) & (columns[None, :] < N)
        a = tl.load(a_ptr + rows[:, None] * K + k[None, :], mask=a_mask, other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + columns[None, :], mask=b_mask, other=0.0)
        total = tl.dot(a, b, total, input_precision="ieee")
    mask = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c_ptr + rows[:, None] * N + columns[None, :], total, mask=mask)


class ModelNew(nn.Module):
    def forward(self, a, b):
        m, k = a.shape
        n = b.shape[1]
        c = torch.empty((m, n), dtype=a.dtype, device=a.device)
        grid = (triton.cdiv(m, 64), triton.cdiv(n, 64))
        matmul_kernel[grid](a, b, c, m, n, k, BLOCK_M=64, BLOCK_N=64, BLOCK_K=32)
        return c
"""

ATTENTION = """\
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def attention_kernel(q_ptr, k_ptr, v_ptr, out_ptr, length, scale,
                     D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    start = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1) * length * D
    rows = start + tl.arange(0, BLOCK_M)
    lanes = tl.arange(0, D)
    place = head + rows[:, None] * D + lanes[None, :]
    q = tl.load(q_ptr + place, mask=rows[:, None] < length, other=0.0)
    best = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    weight = tl.zeros((BLOCK_M,), tl.float32)
    total = tl.zeros((BLOCK_M, D), tl.float32)
    for first in range(0, tl.minimum(start + BLOCK_M, length), BLOCK_N):
        columns = first + tl.arange(0, BLOCK_N)
        inside = columns < length
        k = tl.load(k_ptr + head + columns[None, :] * D + lanes[:, None],
                    mask=inside[None, :], other=0.0)
        scores = tl.dot(q, k, input_precision="ieee") * scale
        scores = tl.where(rows[:, None] >= columns[None, :], scores, float("-inf"))
        higher = tl.maximum(best, tl.max(scores, 1))
        shrink = tl.exp(best - higher)
        share = tl.exp(scores - higher[:, None])
        v = tl.load(v_ptr + head + columns[:, None] * D + lanes[None, :],
                    mask=inside[:, None], other=0.0)
        total = tl.dot(share, v, total * shrink[:, None], input_precision="ieee")
        weight = weight * shrink + tl.sum(share, 1)
        best = higher
    tl.store(out_ptr + place, total / weight[:, None], mask=rows[:, None] < length)


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        heads, length, depth = q.shape
        out = torch.empty_like(q)
        grid = (triton.cdiv(length, 64), heads)
        attention_kernel[grid](q, k, v, out, length, depth**-0.5, D=depth, BLOCK_M=64, BLOCK_N=64)
        return out
"""
