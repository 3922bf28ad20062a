"""Operators and methods of blocks that are no functions of the language."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run
from tests.execute.language.harness import (
    elementwise,
    float_pairs,
    integer_pairs,
    integers,
    same,
)


@triton.jit
def logic(a, b):
    left, right = a > 0, b > 0
    both, one = left.logical_and(right), left.logical_or(right)
    return both.to(tl.int32) + 2 * one.to(tl.int32)


def test_logic():
    a, b = integer_pairs()
    both, one = (a > 0) & (b > 0), (a > 0) | (b > 0)
    same(elementwise(logic, a, b), both.int() + 2 * one.int())


@triton.jit
def single(x, out, N: tl.constexpr):
    value = tl.load(x + tl.arange(0, N))
    total = tl.sum(value, 0, keep_dims=True)
    tl.store(out, total.item())
    tl.store(out + 1 + tl.arange(0, N)[None, :], value[:, None].T)


def test_single_elements_and_transposes():
    x, out = torch.arange(8.0), torch.empty(9)
    run(single, (1,), x, out, N=8)
    assert out.tolist() == [28.0, *range(8)]


@triton.jit
def comparisons(a, b):
    result = (a < b).to(tl.int32) + 2 * (a <= b) + 4 * (a > b) + 8 * (a >= b) + 16 * (a == b)
    return result + 32 * (a != b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.uint32, torch.float16])
def test_comparisons(dtype):
    a, b = float_pairs(dtype) if dtype.is_floating_point else integer_pairs(dtype)
    x, y = (a, b) if dtype.is_floating_point else (a.long(), b.long())
    bits = [x < y, x <= y, x > y, x >= y, x == y, x != y]
    expected = sum(bit.int() << place for place, bit in enumerate(bits))
    same(elementwise(comparisons, a, b, dtype=torch.int32), expected)


@triton.jit
def bitwise(a, b):
    return (a & b) ^ (a | ~b) ^ (-a)


@triton.jit
def shifted(a, b):
    return (a << (b & 7)) + (a >> (b & 7))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
def test_bits(dtype):
    a, b = integer_pairs(dtype)
    same(elementwise(bitwise, a, b), (a & b) ^ (a | ~b) ^ (-a))
    if dtype != torch.int8:
        same(elementwise(shifted, a, b), (a << (b & 7)) + (a >> (b & 7)))


@triton.jit
def scalar_mix(a):
    """Python numbers adapt to the block, also from the left."""
    return (2 - a) * 3 + (a // 2) - (7 % (a * 0 + 4)) + (1 | a) + (2 ^ a) + (6 & a)


def test_numbers_from_the_left():
    a = integers()[5:6].repeat(7)
    expected = (2 - a) * 3 + a // 2 - 3 + (1 | a) + (2 ^ a) + (6 & a)
    same(elementwise(scalar_mix, a), expected)


@triton.jit
def float_remainder(a, b):
    return a % b


@triton.jit
def quotient(a, b):
    return a / b


def test_float_division_and_remainder():
    a, b = float_pairs()
    same(elementwise(quotient, a, b), a / b)
    same(elementwise(float_remainder, a, b), torch.fmod(a, b))
    x, y = integer_pairs(torch.int32)
    expected = x.double() / y.double()
    keep = y != 0
    out = elementwise(quotient, x, y, dtype=torch.float32)[keep]
    assert torch.allclose(out.double(), expected[keep], rtol=1e-6)
