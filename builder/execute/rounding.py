"""Directed rounding and the exact fused multiply-add.

A result rounded to nearest is one of the two numbers around the exact one; the sign of what is
left over says on which side the exact result lies, and a step towards it gives any other rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch

Tensor = torch.Tensor
Function = Callable[..., Tensor]
Signed = tuple[Tensor, Tensor]
"""A result rounded to nearest, and a number with the sign of (exact - rounded)."""


def two_sum(a: Tensor, b: Tensor) -> Signed:
    """``a + b`` rounded and its error, exactly (Knuth); float64, no overflow."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def to_odd(total: Tensor, error: Tensor) -> Tensor:
    """The float64 sum rounded to odd, so that a later rounding to a narrower type is right.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (2008).
    """
    bits = total.contiguous().view(torch.int64)
    away = (error > 0) == (total > 0)
    step = torch.where((error == 0) | (bits & 1 == 1) | ~torch.isfinite(total), 0, 1)
    return (bits + torch.where(away, step, -step)).view(torch.float64)


def narrowed(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Float64 to a type with one rounding; torch goes by way of float32 to 16 bits."""
    if dtype not in (torch.float16, torch.bfloat16):
        return value.to(dtype)
    short = value.to(torch.float32)
    error = value - short.double()
    bits = short.view(torch.int32)
    away = (error > 0) == (short > 0)
    inexact = (error != 0) & (bits & 1 == 0) & torch.isfinite(short) & (short != 0)
    step = torch.where(inexact, 1, 0).to(torch.int32)
    return (bits + torch.where(away, step, -step)).view(torch.float32).to(dtype)


def fused_multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``a * b + c`` with one rounding."""
    a, b, c = torch.broadcast_tensors(a, b, c)
    if a.dtype == torch.float64:
        return _elementwise(_fma_exactly, a, b, c)[0]
    return narrowed(to_odd(*two_sum(a.double() * b.double(), c.double())), a.dtype)


def _elementwise(function: Callable[..., tuple[float, int]], *values: Tensor) -> Signed:
    """A function of exact numbers, element by element: rounded result and sign of the rest."""
    wide = [value.flatten().tolist() for value in torch.broadcast_tensors(*values)]
    pairs = [function(*numbers) for numbers in zip(*wide, strict=True)]
    shape = torch.broadcast_shapes(*(value.shape for value in values))
    rounded = torch.tensor([pair[0] for pair in pairs], dtype=torch.float64).reshape(shape)
    return rounded, torch.tensor([float(pair[1]) for pair in pairs]).double().reshape(shape)


def _rounded(exact: Fraction, zero: float) -> tuple[float, int]:
    """The nearest float64 and the sign of what is left over."""
    if exact == 0:
        return zero, 0
    try:
        result = exact.numerator / exact.denominator  # Python rounds this correctly
    except OverflowError:
        return (math.inf, -1) if exact > 0 else (-math.inf, 1)
    if result == 0:
        return (0.0, 1) if exact > 0 else (-0.0, -1)
    rest = exact - Fraction(result)
    return result, (rest > 0) - (rest < 0)


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _fma_exactly(a: float, b: float, c: float) -> tuple[float, int]:
    if not _finite(a, b, c):
        with np.errstate(all="ignore"):
            wide = np.float64(0.0) if _finite(a, b) else np.float64(a) * np.float64(b)
            return float(wide + np.float64(c)), 0
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    product = Fraction(a) * Fraction(b)
    zero = math.copysign(0.0, sign) + c if product == 0 and c == 0 else 0.0
    return _rounded(product + Fraction(c), zero)


def _divide_exactly(a: float, b: float) -> tuple[float, int]:
    if not _finite(a, b) or a == 0 or b == 0:
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b)), 0
    return _rounded(Fraction(a) / Fraction(b), 0.0)


def _root_exactly(a: float, _: float) -> tuple[float, int]:
    if not _finite(a) or a <= 0:
        return (a if a == 0 or math.isnan(a) or a > 0 else math.nan), 0
    result = math.sqrt(a)
    rest = Fraction(a) - Fraction(result) ** 2
    return result, (rest > 0) - (rest < 0)


_EXACTLY: dict[str, Callable[..., tuple[float, int]]] = {
    "fma": _fma_exactly,
    "div": _divide_exactly,
    "sqrt": _root_exactly,
}


def _nearest(name: str, a: Tensor, b: Tensor, c: Tensor) -> Signed:
    """Float32 operands as float64: products are exact, and quotients' remainders too."""
    if name == "fma":
        total, error = two_sum(a * b, c)
        rounded = to_odd(total, error).float().double()
        return rounded, (total - rounded) + error
    if name == "div":
        rounded = (a / b).float().double()
        return rounded, (a - rounded * b) * torch.sign(b)
    rounded = torch.sqrt(a).float().double()
    return rounded, a - rounded * rounded


def _step(rounded: Tensor, rest: Tensor, mode: str) -> Tensor:
    """From nearest to another rounding, in the type of ``rounded``."""
    down = (rest < 0) & ((mode == "rd") | ((mode == "rz") & (rounded > 0)))
    up = (rest > 0) & ((mode == "ru") | ((mode == "rz") & (rounded < 0)))
    lower = torch.nextafter(rounded, torch.full_like(rounded, -math.inf))
    upper = torch.nextafter(rounded, torch.full_like(rounded, math.inf))
    return torch.where(down, lower, torch.where(up, upper, rounded))


def _directed(name: str, a: Tensor, b: Tensor, c: Tensor, mode: str) -> Tensor:
    dtype = a.dtype
    if dtype == torch.float64:
        operands = (a, b, c) if name == "fma" else (a, b)
        rounded, rest = _elementwise(_EXACTLY[name], *operands)
    else:
        rounded, rest = _nearest(name, a.double(), b.double(), c.double())
        rest = torch.where(torch.isfinite(rounded) | _all_finite(a, b, c), rest, 0.0)
    result = _step(rounded.to(dtype), _towards_finite(rounded, rest), mode)
    if name == "fma" and mode == "rd":  # an exact zero of operands with unlike signs is -0
        positive = ~torch.signbit(c) & (torch.signbit(a) == torch.signbit(b))
        return torch.where((result == 0) & (rest == 0) & ~positive, -result.abs(), result)
    return result


def _all_finite(*values: Tensor) -> Tensor:
    finite = [torch.isfinite(value) for value in torch.broadcast_tensors(*values)]
    return torch.stack(finite).all(0)


def _towards_finite(rounded: Tensor, rest: Tensor) -> Tensor:
    """An overflow to infinity is rounded away from zero; division by zero is exact."""
    overflow = torch.isinf(rounded) & (rest != 0) & ~torch.isnan(rest)
    return torch.where(overflow, -torch.sign(rounded), rest)


def _sum_like(sign: int) -> Callable[[Tensor, Tensor, str], Tensor]:
    return lambda a, b, mode: _directed("fma", a, torch.ones_like(a), b if sign > 0 else -b, mode)


def _product(a: Tensor, b: Tensor, mode: str) -> Tensor:
    """Adding a zero of the product's sign changes nothing."""
    zero = torch.copysign(torch.zeros_like(a), torch.sign(a) * torch.sign(b))
    sign = torch.where(torch.signbit(a) == torch.signbit(b), 1.0, -1.0).to(a.dtype)
    return _directed("fma", a, b, torch.copysign(zero, sign), mode)


def _bind(function: Callable[..., Tensor], mode: str) -> Function:
    return lambda *values: function(*values, mode)


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": _sum_like(1),
    "sub": _sum_like(-1),
    "mul": _product,
    "div": lambda a, b, mode: _directed("div", a, b, torch.zeros_like(a), mode),
    "rcp": lambda a, mode: _directed("div", torch.ones_like(a), a, torch.zeros_like(a), mode),
    "sqrt": lambda a, mode: _directed("sqrt", a, torch.zeros_like(a), torch.zeros_like(a), mode),
    "fma": lambda a, b, c, mode: _directed("fma", a, b, c, mode),
}


def narrow_float(mode: str) -> Function:
    """Float64 to float32."""

    def run(value: Tensor) -> Tensor:
        rounded = value.to(torch.float32)
        return _step(rounded, torch.where(torch.isfinite(value), value - rounded, 0.0), mode)

    return run


def from_integer(dtype: torch.dtype, mode: str, *, signed: bool) -> Function:
    """Integers of 32 or 64 bits to a float type."""
    number = np.float32 if dtype == torch.float32 else np.float64

    def run(value: Tensor) -> Tensor:
        words = value.contiguous().numpy()
        exact = words if signed else words.view(words.dtype.str.replace("i", "u"))
        rounded = exact.astype(number)
        pairs = zip(exact.ravel().tolist(), rounded.ravel().tolist(), strict=True)
        rest = [float((whole > near) - (whole < near)) for whole, near in pairs]
        sides = torch.tensor(rest, dtype=torch.float64).reshape(value.shape)
        return _step(torch.from_numpy(rounded), sides, mode)

    return run


def directed_functions() -> dict[str, Function]:
    """The functions of libdevice that name a rounding, by name without ``__nv_``."""
    table: dict[str, Function] = {}
    for mode in ("rn", "rd", "ru", "rz"):
        for name, function in _OPERATIONS.items():
            for letter in "fd":
                table[f"{letter}{name}_{mode}"] = _bind(function, mode)
        table[f"fma_{mode}"] = table[f"fmaf_{mode}"] = _bind(_OPERATIONS["fma"], mode)
        table[f"double2float_{mode}"] = narrow_float(mode)
        for source, signed in (("int", True), ("uint", False), ("ll", True), ("ull", False)):
            for target, dtype in (("float", torch.float32), ("double", torch.float64)):
                table[f"{source}2{target}_{mode}"] = from_integer(dtype, mode, signed=signed)
    return table
