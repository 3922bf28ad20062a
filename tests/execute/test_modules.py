"""Whole modules as the package ships them: launchers, autograd, several kernels."""

import pytest
import torch
import triton
import triton.language as tl
from torch import nn
from triton.language.extra import libdevice

from builder.errors import MemoryFault
from builder.execute import ExecutionOptions, launches_on_cpu


@triton.jit
def norm_forward(x, weight, bias, out, mean_out, rstd_out, width, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(x + row * width + lane, mask, other=0.0)
    mean = tl.sum(value, 0) / width
    centred = tl.where(mask, value - mean, 0.0)
    rstd = libdevice.rsqrt(tl.sum(centred * centred, 0) / width + eps)
    scale = tl.load(weight + lane, mask)
    shift = tl.load(bias + lane, mask)
    tl.store(out + row * width + lane, centred * rstd * scale + shift, mask)
    tl.store(mean_out + row, mean)
    tl.store(rstd_out + row, rstd)


@triton.jit
def norm_backward(x, weight, grad, mean, rstd, out, d_weight, d_bias, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(x + row * width + lane, mask, other=0.0)
    upstream = tl.load(grad + row * width + lane, mask, other=0.0)
    inverse = tl.load(rstd + row)
    normed = tl.where(mask, (value - tl.load(mean + row)) * inverse, 0.0)
    scaled = upstream * tl.load(weight + lane, mask, other=0.0)
    first = tl.sum(scaled, 0) / width
    second = tl.sum(scaled * normed, 0) / width
    tl.store(out + row * width + lane, (scaled - first - normed * second) * inverse, mask)
    tl.atomic_add(d_weight + lane, upstream * normed, mask, sem="relaxed")
    tl.atomic_add(d_bias + lane, upstream, mask, sem="relaxed")


class NormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        rows, width = x.shape
        out = torch.empty_like(x)
        mean = torch.empty(rows, dtype=x.dtype, device=x.device)
        rstd = torch.empty_strided((rows,), (1,), dtype=x.dtype, device=x.device)
        block = triton.next_power_of_2(width)
        norm_forward[(rows,)](x, weight, bias, out, mean, rstd, width, eps, BLOCK=block)
        ctx.save_for_backward(x, weight, mean, rstd)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, mean, rstd = ctx.saved_tensors
        rows, width = x.shape
        out = torch.empty_like(x)
        d_weight, d_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        block = triton.next_power_of_2(width)
        norm_backward[(rows,)](
            x, weight, grad.contiguous(), mean, rstd, out, d_weight, d_bias, width, BLOCK=block,
            num_warps=8,
        )  # fmt: skip
        return out, d_weight, d_bias, None


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))
        self.bias = nn.Parameter(torch.randn(width))

    def forward(self, x):
        return NormFunction.apply(x, self.weight, self.bias, 1e-5)


@pytest.mark.parametrize("width", [1, 37, 64])
@pytest.mark.parametrize("permute_seed", [None, 2])
def test_forward_and_backward(width, permute_seed):
    module, x = Norm(width), torch.randn(9, width, requires_grad=True)
    reference = x.detach().clone().requires_grad_()
    expected = nn.functional.layer_norm(reference, (width,), module.weight, module.bias)
    wanted = torch.autograd.grad(expected.sum(), [reference, module.weight, module.bias])
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)) as trace:
        out = module(x)
        given = torch.autograd.grad(out.sum(), [x, module.weight, module.bias])
    assert torch.allclose(out, expected, atol=1e-5)
    for a, b in zip(given, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert [launch.kernel.__name__ for launch in trace.launches] == [
        "norm_forward", "norm_backward",
    ]  # fmt: skip


@triton.jit
def column_sums(x, partial, rows, width, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]
    row = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)[:, None]
    mask = (row < rows) & (column < width)
    sums = tl.sum(tl.load(x + row * width + column, mask, other=0.0), 0)[None, :]
    tl.store(partial + tl.program_id(1) * width + column, sums, column < width)


@triton.jit
def finish(partial, out, chunks, width, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for chunk in range(chunks):
        total += tl.load(partial + chunk * width + column, column < width, other=0.0)
    tl.store(out + column, total, column < width)


def two_pass_sum(x, *, forget=False):
    rows, width = x.shape
    chunks = triton.cdiv(rows, 16)
    partial = torch.empty(chunks, width)
    out = torch.empty(width)
    grid = (triton.cdiv(width, 32), chunks - 1 if forget else chunks)
    column_sums[grid](x, partial, rows, width, CHUNK=16, BLOCK=32)
    finish[(triton.cdiv(width, 32),)](partial, out, chunks, width, BLOCK=32)
    return out


def test_two_kernels():
    x = torch.randn(50, 70)
    with launches_on_cpu():
        assert torch.allclose(two_pass_sum(x), x.sum(0), atol=1e-4)


def test_a_forgotten_block_is_an_uninitialised_read():
    with launches_on_cpu(), pytest.raises(MemoryFault) as caught:
        two_pass_sum(torch.randn(50, 70), forget=True)
    assert caught.value.kind == "uninitialised_read"
    assert caught.value.kernel == "finish"


@triton.jit
def online_softmax(x, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    largest = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        mask = start + lane < width
        value = tl.load(x + row * width + start + lane, mask, other=float("-inf"))
        fresh = tl.maximum(largest, value)
        kept = tl.where(fresh == float("-inf"), 0.0, tl.exp(largest - fresh))
        total = total * kept + tl.where(mask, tl.exp(value - fresh), 0.0)
        largest = fresh
    overall = tl.max(largest, 0)
    scale = tl.sum(tl.where(largest == float("-inf"), 0.0, total * tl.exp(largest - overall)), 0)
    for start in range(0, width, BLOCK):
        mask = start + lane < width
        value = tl.load(x + row * width + start + lane, mask)
        tl.store(out + row * width + start + lane, tl.exp(value - overall) / scale, mask)


@pytest.mark.parametrize("width", [3, 64, 333])
def test_softmax_in_one_pass(width):
    x = torch.randn(11, width) * 5
    with launches_on_cpu():
        out = torch.empty_like(x)
        online_softmax[(11,)](x, out, width, BLOCK=64)
    assert torch.allclose(out, torch.softmax(x, 1), atol=1e-6)


@triton.jit
def half_everything(x, y, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    a = tl.load(x + index, mask).to(tl.float32)
    b = tl.load(y + index, mask).to(tl.float32)
    tl.store(out + index, (a * b + a).to(tl.bfloat16), mask)


def test_bfloat16_rounds_once_at_the_store():
    x, y = torch.randn(1000).bfloat16(), torch.randn(1000).bfloat16()
    with launches_on_cpu():
        out = torch.empty_like(x)
        half_everything[(triton.cdiv(1000, 128),)](x, y, out, 1000, BLOCK=128)
    assert torch.equal(out, (x.float() * y.float() + x.float()).bfloat16())


def test_results_do_not_depend_on_the_order_of_instances():
    x = torch.randn(64, 100)
    results = []
    for options in (
        ExecutionOptions(),
        ExecutionOptions(permute_seed=1),
        ExecutionOptions(chunk_elements=1),
    ):
        with launches_on_cpu(options):
            results.append(two_pass_sum(x))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
