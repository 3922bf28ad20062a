"""Special functions that neither Triton nor the device's library has, in float64 inside; zeros."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten

_SHIFT = 12
"""Steps of the recurrence: from there on the asymptotic series is exact to float64's rounding."""
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma(x: Tensor) -> Any:
    """``aten.digamma``.

    Recurrence and asymptotic series of Abramowitz and Stegun, 6.3.5 and 6.3.18; reflection, 6.3.7.
    Poles give NaN, and zero an infinity of the other sign, as PyTorch's does
    (``aten/src/ATen/native/Math.h``, ``calc_digamma``).
    """
    if not x.is_floating_point():
        return NotImplemented
    wide = x.to(torch.float64)
    reflected = torch.where(wide < 0, 1.0 - wide, wide)
    total = -sum(1.0 / (reflected + float(step)) for step in range(_SHIFT))
    reflected = reflected + float(_SHIFT)
    total = total + torch.log(reflected) - 0.5 / reflected
    square = 1.0 / (reflected * reflected)
    power = square
    for number, bernoulli in enumerate(_BERNOULLI, 1):
        total = total - bernoulli / (2 * number) * power
        power = power * square
    # the tangent has period one, and is exact for what is left of a large number
    rest = wide - torch.trunc(wide)
    result = torch.where(wide < 0, total - math.pi / torch.tan(math.pi * rest), total)
    result = torch.where((wide < 0) & (rest == 0), math.nan, result)
    return torch.where(
        wide == 0, torch.copysign(torch.full_like(wide, math.inf), -wide), result
    ).to(x.dtype)


def polygamma(n: int, x: Tensor) -> Any:
    """``aten.polygamma``: a derivative of digamma (Abramowitz and Stegun, 6.4.10)."""
    if not x.is_floating_point():
        return NotImplemented
    if n == 0:
        return digamma(x)
    wide = x.to(torch.float64)
    mirrored = torch.where(wide < 0, 1.0 - wide, wide)
    value = -((-1.0) ** n) * math.factorial(n) * _hurwitz(n + 1, mirrored)
    # 5.15.6 of the Digital Library of Mathematical Functions
    below = (-1.0) ** n * value - math.pi ** (n + 1) * _cotangent_derivative(n, wide)
    value = torch.where(wide < 0, below, value)
    if n > 1:
        infinity = math.inf if n % 2 else -math.inf
        value = torch.where((wide <= 0) & (wide == torch.floor(wide)), infinity, value)
    return value.to(x.dtype)


def _cotangent_derivative(n: int, x: Tensor) -> Tensor:
    """The n-th derivative of ``cot`` at ``pi x``: a polynomial of ``cot``, by ``-(1 + cot^2)``."""
    if n == 1:  # as ``trigamma`` of ``aten/src/ATen/native/Math.h``, which is finite at its poles
        return -1.0 / torch.sin(math.pi * x).square()
    coefficients = [0.0, 1.0]
    for _ in range(n):
        slopes = [power * c for power, c in enumerate(coefficients)][1:]
        coefficients = [
            -(a + b) for a, b in zip([*slopes, 0.0, 0.0], [0.0, 0.0, *slopes], strict=True)
        ]
    cotangent = 1.0 / torch.tan(math.pi * (x - torch.trunc(x)))
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * cotangent + coefficient
    return total


def _hurwitz(s: int, x: Tensor) -> Tensor:
    """The Hurwitz zeta function of an integer and a number that is not below zero.

    Euler and Maclaurin's formula (Abramowitz and Stegun, 23.2.9 with 3.6.28; cf. Cephes' ``zeta``).
    """
    total = sum(_inverse_power(x + float(step), s) for step in range(_SHIFT))
    at = x + float(_SHIFT)
    total = total + at * _inverse_power(at, s) / (s - 1) + 0.5 * _inverse_power(at, s)
    factor, power = float(s), _inverse_power(at, s + 1)
    for number, bernoulli in enumerate(_BERNOULLI, 1):
        total = total + bernoulli / math.factorial(2 * number) * factor * power
        factor *= (s + 2 * number - 1) * (s + 2 * number)
        power = power / (at * at)
    return total


def _inverse_power(x: Tensor, exponent: int) -> Tensor:
    result = x
    for _ in range(exponent - 1):
        result = result * x
    return 1.0 / result


def efficient_zeros(size: Sequence[int], **options: Any) -> Any:
    """``aten._efficientzerotensor``: zeros without memory, the gradient of a sign."""
    kept = {name: options[name] for name in ("dtype", "device") if name in options}
    return torch.zeros(size, **kept)


DECOMPOSITIONS = {
    aten._efficientzerotensor.default: efficient_zeros,  # noqa: SLF001
    aten.digamma.default: digamma,
    aten.polygamma.default: polygamma,
}
