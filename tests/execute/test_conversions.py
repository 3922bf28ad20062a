"""Casts between numbers against torch, at the edges where they differ most."""

import math

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run

NAN, INF = math.nan, math.inf


@triton.jit
def convert(x, out, n, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + index, index < n).to(out.dtype.element_ty), index < n)


def converted(x, dtype):
    out = torch.zeros_like(x, dtype=dtype)
    run(convert, (1,), x, out, x.numel(), BLOCK=triton.next_power_of_2(x.numel()))
    return out


def test_float_to_integer_is_defined_everywhere():
    x = torch.tensor([1.9, -1.9, NAN, INF, -INF, 3e9, -3e9, 0.0])
    top, low = torch.iinfo(torch.int32).max, torch.iinfo(torch.int32).min
    assert converted(x, torch.int32).tolist() == [1, -1, 0, top, low, top, low, 0]
    wide = converted(x, torch.int64).tolist()
    assert wide == [1, -1, 0, 2**63 - 1, -(2**63), 3_000_000_000, -3_000_000_000, 0]
    assert converted(x, torch.uint32).tolist() == [1, 0, 0, 2**32 - 1, 0, 3_000_000_000, 0, 0]
    assert converted(torch.tensor([200.0, -1.0]), torch.uint8).tolist() == [200, 255]
    assert converted(torch.tensor([2.0**63, 2.0**64]), torch.uint64).tolist() == [2**63, 2**64 - 1]


def test_integers_to_float():
    x = torch.tensor([2**63 - 1, -(2**63), 2**53 + 1, 16777217])
    assert converted(x, torch.float32).tolist() == x.float().tolist()
    unsigned = torch.tensor([2**64 - 1, 2**63 + 1025, 5], dtype=torch.uint64)
    expected = [float(v) for v in unsigned.tolist()]
    assert converted(unsigned, torch.float64).tolist() == expected
    assert converted(torch.tensor([True, False]), torch.float32).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_rounding_is_to_nearest_even(dtype):
    x = torch.randn(1000) * 10
    assert torch.equal(converted(x, dtype).float(), x.to(dtype).float())


def test_fp8_saturates():
    x = torch.tensor([1000.0, -1000.0, 448.0, 0.3, NAN])
    out = converted(x, torch.float8_e4m3fn).float()
    assert out[:3].tolist() == [448.0, -448.0, 448.0]
    assert out[4].isnan()
