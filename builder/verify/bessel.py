"""Bessel functions in float64.

PyTorch's own (2.11 to 2.13, ``aten/src/ATen/native/Math.h``) are off by as much as 7e-7 about an
argument of five, in float64 too, which is no reference for float32.  Here they come from the
expansion of Jacobi and Anger, ``exp(i x sin t) = sum over n of J_n(x) exp(i n t)``, whose
coefficients a discrete Fourier transform gives to float64's precision, and from Neumann's series
(Abramowitz and Stegun, 9.1.41 and 9.1.89).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

Tensor = torch.Tensor

_LARGEST = 25.0
"""From there on PyTorch's asymptotic series are as good."""
_EULER = 0.5772156649015329
_POINTS = 256
_TERMS = 45
_CHUNK = 1 << 13


def j0(x: Tensor) -> Tensor:
    """J of order zero; float64, any shape."""
    return _by_chunks(x, lambda _, first: first[:, 0], torch.special.bessel_j0(x))


def j1(x: Tensor) -> Tensor:
    """J of order one; float64, any shape."""
    return _by_chunks(x, lambda _, first: first[:, 1], torch.special.bessel_j1(x))


def y0(x: Tensor) -> Tensor:
    """Y of order zero; float64, any shape."""
    return _by_chunks(x, _second_of_zero, torch.special.bessel_y0(x), positive=True)


def y1(x: Tensor) -> Tensor:
    """Y of order one; float64, any shape."""
    return _by_chunks(x, _second_of_one, torch.special.bessel_y1(x), positive=True)


def _by_chunks(
    x: Tensor,
    function: Callable[[Tensor, Tensor], Tensor],
    beyond: Tensor,
    *,
    positive: bool = False,
) -> Tensor:
    """A function of ``x`` and the J of all orders, where ``x`` is small; elsewhere the given."""
    inside = (x.abs() <= _LARGEST) & (x > 0) if positive else x.abs() <= _LARGEST
    if not bool(inside.any()):
        return beyond
    parts = [function(part, _first_kind(part)) for part in x[inside].split(_CHUNK)]
    return beyond.masked_scatter(inside, torch.cat(parts))


def _first_kind(x: Tensor) -> Tensor:
    """J of each order below ``_POINTS / 2``: (count, order)."""
    angles = torch.arange(_POINTS, dtype=torch.float64) * (2.0 * math.pi / _POINTS)
    waves = torch.polar(torch.ones(()).double(), x[:, None] * torch.sin(angles))
    return torch.fft.fft(waves).real / _POINTS


def _second_of_zero(x: Tensor, first: Tensor) -> Tensor:
    k = torch.arange(1, _TERMS, dtype=torch.float64)
    series = ((1.0 - 2.0 * (k % 2)) / k * first[:, 2 : 2 * _TERMS : 2]).sum(-1)
    return 2.0 / math.pi * ((torch.log(x / 2.0) + _EULER) * first[:, 0] - 2.0 * series)


def _second_of_one(x: Tensor, first: Tensor) -> Tensor:
    """The derivative of ``_second_of_zero``, its sign turned."""
    k = torch.arange(1, _TERMS, dtype=torch.float64)
    steps = first[:, 1 : 2 * _TERMS - 1 : 2] - first[:, 3 : 2 * _TERMS + 1 : 2]
    series = ((1.0 - 2.0 * (k % 2)) / k * steps).sum(-1)
    logarithm = torch.log(x / 2.0) + _EULER
    return 2.0 / math.pi * (logarithm * first[:, 1] - first[:, 0] / x + series)
