"""A linear layer with ReLU, in a type that ``{dtype}`` names, with tiles and stages to choose."""

PYTHON = '''
import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, inner, columns):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, columns).to(torch.{dtype}))
        self.bias = nn.Parameter(torch.zeros(columns, dtype=torch.{dtype}))

    def forward(self, x):
        return torch.relu(x @ self.weight + self.bias)


def get_inputs():
    return [torch.randn(40, 72).to(torch.{dtype})]


def get_init_inputs():
    return [72, 48]
'''

TRITON = '''
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def linear_kernel(
    x_ptr, w_ptr, b_ptr, out_ptr, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, BLOCK_K):
        inner = k + tl.arange(0, BLOCK_K)
        x = tl.load(
            x_ptr + rows * K + inner[None, :],
            mask=(rows < M) & (inner[None, :] < K),
            other=0.0,
        )
        w = tl.load(
            w_ptr + inner[:, None] * N + columns,
            mask=(inner[:, None] < K) & (columns < N),
            other=0.0,
        )
        total = tl.dot(x, w, total, input_precision="ieee")
    bias = tl.load(b_ptr + columns, mask=columns < N, other=0.0)
    result = tl.maximum(total + bias, 0.0)
    tl.store(out_ptr + rows * N + columns, result, mask=(rows < M) & (columns < N))


def launch_linear(x, w, b, out):
    M, K = x.shape
    N = w.shape[1]
    grid = (triton.cdiv(M, {m}), triton.cdiv(N, {n}))
    linear_kernel[grid](
        x, w, b, out, M, N, K,
        BLOCK_M={m}, BLOCK_N={n}, BLOCK_K={k}, num_warps={warps}, num_stages={stages},
    )


class LinearNew(nn.Module):
    def __init__(self, inner, columns):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, columns).to(torch.{dtype}))
        self.bias = nn.Parameter(torch.zeros(columns, dtype=torch.{dtype}))

    def forward(self, x):
        out = torch.empty((x.shape[0], self.weight.shape[1]), dtype=x.dtype, device=x.device)
        launch_linear(x, self.weight, self.bias, out)
        return out
'''


def python(dtype: str) -> str:
    return PYTHON.replace("{dtype}", dtype)


def triton(dtype: str, m=32, n=32, k=32, warps=4, stages=2) -> str:
    values = {"dtype": dtype, "m": m, "n": n, "k": k, "warps": warps, "stages": stages}
    text = TRITON
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text
