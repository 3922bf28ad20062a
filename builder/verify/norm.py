"""The norm in which a float output's error is measured.

``error(a, r) = max_i |a_i - r_i| / (|r_i| + s)`` with ``s`` an eighth of the root mean square of
the reference's finite values.  It is a maximum over elements, so one wrong element among millions
counts in full.  It is relative for elements of the usual size, so a wrong row of small values does
not hide behind a large one; ``s`` only keeps elements that cancel to nearly zero from counting
their absolute rounding as infinite.  An eighth: with ``s`` near zero the norm is decided by the one
element nearest to zero, and two right computations differ in it by large factors.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch

Tensor = torch.Tensor

SCALE_FRACTION = 0.125
QUANTILES = (0.99, 0.9, 0.5)
MEDIAN = QUANTILES[-1]
CORE = 0.9
TAIL = 64
_SQUARES_UNDERFLOW = 1e-140


class Yardstick:
    """A reference with the norm's denominators, to measure any number of results by.

    Args:
        reference: float64 or complex128.

    Attributes:
        reference: the same.
        top: its largest absolute value; NaN or infinite if an element is.
        scale: the absolute part of the denominators; never zero.
    """

    def __init__(self, reference: Tensor) -> None:
        self.reference = reference
        sizes = reference.abs()
        self.top = float(sizes.amax()) if sizes.numel() else 0.0
        self.scale = _scale(reference, self.top)
        self._denominators = sizes.add_(self.scale)

    def is_finite_as(self, dtype: torch.dtype) -> bool:
        """Whether a type's range holds all of the reference."""
        return self.top <= torch.finfo(dtype).max

    def errors(self, actual: Tensor) -> Errors:
        """The errors of a result of the same shape.

        An element has none where the rounded reference is not finite: those are compared on their
        own.
        """
        values = gaps(actual, self.reference).div_(self._denominators)
        found = Errors(values, all_finite=self.is_finite_as(actual.dtype))
        if found.all_finite:
            return found
        values.masked_fill_(~torch.isfinite(rounded(self.reference, actual.dtype)), 0.0)
        return Errors(values.masked_fill_(torch.isnan(values), math.inf))


class Errors:
    """The error of each element of a result.

    Args:
        values: float64, not negative.
        all_finite: the reference is finite; the result may still not be.

    Attributes:
        values: the same.
        worst: the largest.
        all_finite: neither the rounded reference nor the result has a NaN or an infinity.
    """

    def __init__(self, values: Tensor, *, all_finite: bool = False) -> None:
        self.values = values
        self.worst = largest(values)
        self.all_finite = all_finite and math.isfinite(self.worst)
        self._quantiles: dict[float, float] = {}

    @cached_property
    def mean(self) -> float:
        """The root of their mean square."""
        count = self.values.numel()
        return float(torch.linalg.vector_norm(self.values)) / math.sqrt(count) if count else 0.0

    @cached_property
    def core(self) -> float:
        """The root mean square of those that are not among the largest, which luck decides."""
        values = self.values[self.values <= self.quantile(CORE)]
        count = values.numel()
        return float(torch.linalg.vector_norm(values)) / math.sqrt(count) if count else 0.0

    def without(self, mask: Tensor) -> Errors:
        """The same with no error where a mask is set."""
        return Errors(self.values.masked_fill(mask, 0.0), all_finite=self.all_finite)

    def shares(self) -> tuple[float, ...]:
        """The quantiles that have at least ``TAIL`` elements above them."""
        return usable_quantiles(self.values.numel())

    def quantile(self, share: float) -> float:
        """The smallest error that at least a share of the elements does not exceed."""
        if share not in self._quantiles:
            rank = _rank(share, self.values.numel()) - 1
            ordered = np.partition(self.values.reshape(-1).numpy(), rank)
            self._quantiles[share] = float(ordered[rank])
        return self._quantiles[share]

    def quantile_exceeds(self, share: float, limit: float) -> bool:
        """``quantile(share) > limit``, by counting."""
        if self.worst <= limit:
            return False
        above = int(np.count_nonzero(self.values.numpy() > limit))
        return self.values.numel() - above < _rank(share, self.values.numel())


def scale(reference: Tensor) -> float:
    """An eighth of the root mean square of the finite values; never zero."""
    return Yardstick(reference).scale


def _scale(reference: Tensor, top: float) -> float:
    count = reference.numel()
    if not math.isfinite(top):
        is_finite = torch.isfinite(reference)
        count = int(is_finite.sum())
        reference = reference.masked_fill(~is_finite, 0.0)
        top = largest(reference.abs())
    if top == 0.0:
        return torch.finfo(torch.float32).tiny
    length = float(torch.linalg.vector_norm(reference))
    if not _SQUARES_UNDERFLOW < length < math.inf:  # squares of values near float64's ends
        length = top * float(torch.linalg.vector_norm(reference / top))
    return SCALE_FRACTION * length / math.sqrt(count)


def rounded(reference: Tensor, dtype: torch.dtype) -> Tensor:
    """The reference as the output's type holds it, in float64 again (8-bit types can do little)."""
    return reference.to(dtype).to(reference.dtype)


def gaps(actual: Tensor, reference: Tensor) -> Tensor:
    """Absolute differences."""
    differences = actual.to(reference.dtype, copy=True).sub_(reference)
    return differences.abs() if differences.is_complex() else differences.abs_()


def farther(first: Tensor | None, second: Tensor) -> Tensor:
    """The larger of distances."""
    return second if first is None else torch.maximum(first, second)


def within(gap: Tensor, reach: Tensor) -> Tensor:
    """Whether a distance is finite and no larger than another."""
    return (gap <= reach) & torch.isfinite(gap)


def largest(errors: Tensor) -> float:
    return float(errors.amax()) if errors.numel() else 0.0


def usable_quantiles(count: int) -> tuple[float, ...]:
    """The quantiles that have at least ``TAIL`` of ``count`` elements above them."""
    return tuple(share for share in QUANTILES if (1.0 - share) * count >= TAIL)


def _rank(share: float, count: int) -> int:
    """How many elements a quantile bounds."""
    return max(1, math.ceil(share * count))


def rounded_up(value: float) -> float:
    """The next power of two, so that stored errors do not depend on the machine's last bit."""
    if value <= 0.0 or not math.isfinite(value):
        return value
    return 2.0 ** math.ceil(math.log2(value))


def wrong_non_finite(actual: Tensor, reference: Tensor) -> Tensor:
    """Elements whose NaN or infinity is not the rounded reference's."""
    wanted, wide = rounded(reference, actual.dtype), actual.to(reference.dtype)
    differ = torch.isnan(wide) != torch.isnan(wanted)
    infinite = torch.isinf(wide) | torch.isinf(wanted)
    if not actual.dtype.is_complex:
        differ |= infinite & (wide != wanted)
    return differ
