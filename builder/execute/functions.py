"""Elementary functions that torch lacks or defines otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

Tensor = torch.Tensor
Function = Callable[..., Tensor]


def fused_multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """One rounding: the product is exact in float64, up to float64 operands themselves."""
    if a.dtype == torch.float64:
        return torch.addcmul(c, a, b)
    return (a.double() * b.double() + c.double()).to(a.dtype)


def round_half_away(value: Tensor) -> Tensor:
    return torch.copysign(torch.floor(value.abs() + 0.5), value).where(
        value.abs() < 2.0**22, torch.round(value)
    )


def cube_root(value: Tensor) -> Tensor:
    return torch.from_numpy(np.cbrt(value.double().numpy())).to(value.dtype)


def count_leading_zeros(value: Tensor) -> Tensor:
    bits = value.dtype.itemsize * 8
    rest = value.clone()
    count = torch.full_like(value, 0)
    step = bits // 2
    while step:
        empty = _logical_shift(rest, bits - step) == 0
        count = torch.where(empty, count + step, count)
        rest = torch.where(empty, rest << step, rest)
        step //= 2
    return torch.where(value == 0, torch.full_like(value, bits), count)


def _logical_shift(value: Tensor, amount: int) -> Tensor:
    bits = value.dtype.itemsize * 8
    return (value >> amount) & ((1 << (bits - amount)) - 1)


def population_count(value: Tensor) -> Tensor:
    raw = value.contiguous().view(torch.uint8).reshape(*value.shape, value.dtype.itemsize)
    counts = torch.from_numpy(np.unpackbits(raw.numpy(), axis=-1).sum(axis=-1))
    return counts.to(value.dtype)


def find_first_set(value: Tensor) -> Tensor:
    """Position of the lowest set bit counted from 1; 0 where there is none."""
    lowest = value & -value
    position = value.dtype.itemsize * 8 - count_leading_zeros(lowest)
    return torch.where(value == 0, torch.zeros_like(value), position)


def count_trailing_zeros(value: Tensor) -> Tensor:
    bits = torch.full_like(value, value.dtype.itemsize * 8)
    return torch.where(value == 0, bits, find_first_set(value) - 1)


def reverse_bits(value: Tensor) -> Tensor:
    raw = value.contiguous().view(torch.uint8).reshape(*value.shape, value.dtype.itemsize)
    bits = np.unpackbits(raw.numpy(), axis=-1)
    packed = np.packbits(np.ascontiguousarray(bits[..., ::-1]), axis=-1)
    return torch.from_numpy(packed).view(value.dtype).reshape(value.shape)


def exponent_of(value: Tensor) -> Tensor:
    """``ilogb``: INT_MIN for 0 and NaN, INT_MAX for infinity."""
    exponent = torch.frexp(value).exponent.to(torch.int32) - 1
    info = torch.iinfo(torch.int32)
    exponent = torch.where((value == 0) | torch.isnan(value), info.min, exponent)
    return torch.where(torch.isinf(value), info.max, exponent).to(torch.int32)


def scale_by_power(value: Tensor, exponent: Tensor) -> Tensor:
    wide = value.double()
    for part in (exponent // 2, exponent - exponent // 2):
        wide = torch.ldexp(wide, part.clamp(-1000, 1000).double())
    return wide.to(value.dtype)


def power(base: Tensor, exponent: Tensor) -> Tensor:
    if exponent.dtype in (torch.int32, torch.int64):
        exponent = exponent.to(torch.float64)
        return torch.pow(base.double(), exponent).to(base.dtype)
    return torch.pow(base, exponent)


def sign_bit(value: Tensor) -> Tensor:
    return torch.signbit(value).to(torch.int32)


def flag(function: Function) -> Function:
    def run(*values: Tensor) -> Tensor:
        return function(*values).to(torch.int32)

    return run


def in_double(function: Function) -> Function:
    """The function computed in float64."""

    def run(*values: Tensor) -> Tensor:
        return function(*(v.double() for v in values)).to(values[0].dtype)

    return run


def sine_of_pi(value: Tensor) -> Tensor:
    return torch.sin(torch.remainder(value.double(), 2.0) * math.pi)


def cosine_of_pi(value: Tensor) -> Tensor:
    return torch.cos(torch.remainder(value.double(), 2.0) * math.pi)


def _gamma_of(value: float) -> float:
    try:
        return math.gamma(value)
    except (OverflowError, ValueError):
        return math.inf if value > 0 or math.isinf(value) else math.nan


def gamma(value: Tensor) -> Tensor:
    """The gamma function, in float64."""
    run = np.vectorize(_gamma_of, otypes=[np.float64])
    return torch.from_numpy(run(value.double().numpy())).to(value.dtype)


def ieee_remainder(a: Tensor, b: Tensor) -> Tensor:
    def one(x: float, y: float) -> float:
        try:
            return math.remainder(x, y)
        except ValueError:
            return math.nan

    wide = np.vectorize(one, otypes=[np.float64])(a.double().numpy(), b.double().numpy())
    return torch.from_numpy(wide).to(a.dtype)
