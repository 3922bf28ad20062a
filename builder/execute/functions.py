"""Elementary functions that torch lacks or defines otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

Tensor = torch.Tensor
Function = Callable[..., Tensor]


_WIDTH = 64
"""A multiple of how many elements a vector unit takes at once, and of loops over them."""


def alike_everywhere(function: Function) -> Function:
    """A function whose result of an element does not depend on where it stands.

    Torch computes what is left of a tensor after whole vectors in another way, and rounds some
    functions otherwise there (2.13: ``sinh``, ``cosh``, ``atanh``, ``exp2``, ``pow``, ``atan2``);
    on a device every element goes the same way.
    """

    def of_whole_vectors(*operands: Tensor) -> Tensor:
        given = torch.broadcast_tensors(*operands)
        count, shape = given[0].numel(), given[0].shape
        spare = (0, -count % _WIDTH)
        flat = [torch.nn.functional.pad(one.flatten(), spare) for one in given]
        return function(*flat)[:count].reshape(shape)

    return of_whole_vectors


def round_half_away(value: Tensor) -> Tensor:
    whole = torch.trunc(value)
    return torch.where((value - whole).abs() >= 0.5, whole + torch.sign(value), whole)


def positive_difference(a: Tensor, b: Tensor) -> Tensor:
    """``fdim``: 0 where ``a`` is not larger, also of equal infinities; NaN stays."""
    return torch.where(a <= b, torch.zeros_like(a), a - b)


def square_root(value: Tensor) -> Tensor:
    """Rounded correctly, which torch's vectorised root of float32 is not."""
    if value.dtype not in (torch.float32, torch.float64):
        return torch.sqrt(value)
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(np.sqrt(value.numpy())))


def cube_root(value: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(np.cbrt(value.double().numpy()))).to(value.dtype)


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


def float_exponent_of(value: Tensor) -> Tensor:
    """``logb``: minus infinity for 0, infinity for infinities."""
    exponent = torch.frexp(value).exponent.to(value.dtype) - 1
    exponent = torch.where(value == 0, -math.inf, exponent)
    return torch.where(torch.isfinite(value), exponent, value.abs())


def scale_by_power(value: Tensor, exponent: Tensor) -> Tensor:
    wide = value.double()
    for part in (exponent // 2, exponent - exponent // 2):
        wide = torch.ldexp(wide, part.clamp(-1000, 1000).double())
    return wide.to(value.dtype)


def power(base: Tensor, exponent: Tensor) -> Tensor:
    if exponent.dtype in (torch.int32, torch.int64):
        exponent = exponent.to(torch.float64)
        return torch.pow(base.double(), exponent).to(base.dtype)
    return _power_of_floats(base, exponent)


_power_of_floats = alike_everywhere(torch.pow)


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


def permuted_bytes(low: Tensor, high: Tensor, selector: Tensor) -> Tensor:
    """Four bytes of eight, chosen by the low three bits of the selector's four nibbles."""
    both = (low.long() & 0xFFFFFFFF) | (high.long() << 32)
    result = torch.zeros_like(both)
    for place in range(4):
        source = (selector.long() >> (4 * place)) & 7
        result = result | (((both >> (8 * source)) & 0xFF) << (8 * place))
    return result.to(torch.int32)


def average(*, signed: bool, up: bool) -> Function:
    """The mean of two 32-bit integers without overflow, rounded down or up."""
    keep = -1 if signed else 0xFFFFFFFF

    def run(a: Tensor, b: Tensor) -> Tensor:
        return (((a.long() & keep) + (b.long() & keep) + up) >> 1).to(torch.int32)

    return run


def product_of_24_bits(*, signed: bool) -> Function:
    """Low 32 bits of the product of the operands' low 24 bits."""

    def low(value: Tensor) -> Tensor:
        kept = value.long() & 0xFFFFFF
        return (kept ^ 0x800000) - 0x800000 if signed else kept

    def run(a: Tensor, b: Tensor) -> Tensor:
        return (low(a) * low(b)).to(torch.int32)

    return run


def unsigned_difference(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``|a - b| + c`` of unsigned 32-bit integers."""
    wide = (a.long() & 0xFFFFFFFF) - (b.long() & 0xFFFFFFFF)
    return (wide.abs() + c.long()).to(torch.int32)


def double_of_halves(high: Tensor, low: Tensor) -> Tensor:
    bits = (high.long() << 32) | (low.long() & 0xFFFFFFFF)
    return bits.view(torch.float64)


def high_half(value: Tensor) -> Tensor:
    return (value.contiguous().view(torch.int64) >> 32).to(torch.int32)


def low_half(value: Tensor) -> Tensor:
    return value.contiguous().view(torch.int64).to(torch.int32)


def reciprocal_high(value: Tensor) -> Tensor:
    """An approximate reciprocal whose low 32 bits are zero."""
    bits = torch.reciprocal(value).view(torch.int64)
    return (bits & ~0xFFFFFFFF).view(torch.float64)


_LARGEST_BY_INTEGRAL = 1000.0


def bessel_first(order: Tensor, value: Tensor) -> Tensor:
    """J of integer order by Bessel's integral; the trapezoidal rule converges exponentially.

    Large arguments go by the recurrence, which is stable there.  NaN for a negative order, as in
    CUDA.
    """
    order, value = torch.broadcast_tensors(order, value)
    large = value.abs() > _LARGEST_BY_INTEGRAL
    n = order.double().unsqueeze(-1)
    x = torch.where(large, 0.0, value.double()).unsqueeze(-1)
    points = 64 + 2 * int(max(_LARGEST_BY_INTEGRAL, float(n.abs().max())))
    if not bool(large.any()):
        points = 64 + 2 * int(float(n.abs().max()) + float(x.abs().nan_to_num().max()))
    angle = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points)
    result = torch.cos(n * angle - x * torch.sin(angle)).mean(-1)
    if bool(large.any()):
        wide = value.double()
        starts = torch.special.bessel_j0(wide), torch.special.bessel_j1(wide)
        result = torch.where(large, _recurred(order, wide, *starts), result)
    result = torch.where(torch.isinf(value), 0.0, result)
    return torch.where(order < 0, math.nan, result).to(value.dtype)


def bessel_second(order: Tensor, value: Tensor) -> Tensor:
    """Y of integer order by its recurrence, which is stable upwards; NaN for a negative order."""
    order, value = torch.broadcast_tensors(order, value)
    x = value.double()
    result = _recurred(order, x, torch.special.bessel_y0(x), torch.special.bessel_y1(x))
    return torch.where((order < 0) | (x < 0) | x.isnan(), math.nan, result).to(value.dtype)


def _recurred(order: Tensor, x: Tensor, before: Tensor, current: Tensor) -> Tensor:
    result = torch.where(order == 0, before, current)
    for n in range(1, int(order.max())):
        before, current = current, torch.nan_to_num(2 * n / x * current - before, nan=-math.inf)
        result = torch.where(order == n + 1, current, result)
    return result
