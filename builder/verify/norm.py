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

import torch

Tensor = torch.Tensor

SCALE_FRACTION = 0.125
QUANTILES = (0.99, 0.9, 0.5)
MEDIAN = QUANTILES[-1]
TAIL = 64


def scale(reference: Tensor) -> float:
    """The absolute part of the norm's denominator; never zero."""
    is_finite = torch.isfinite(reference)
    count = int(is_finite.sum())
    values = reference.masked_fill(~is_finite, 0.0)
    top = largest(values.abs())
    if top == 0.0:
        return torch.finfo(torch.float32).tiny
    length = float(torch.linalg.vector_norm(values))
    if not math.isfinite(length):  # squares of values near float64's end
        length = top * float(torch.linalg.vector_norm(values / top))
    return SCALE_FRACTION * length / math.sqrt(count)


def rounded(reference: Tensor, dtype: torch.dtype) -> Tensor:
    """The reference as the output's type holds it, in float64 again (8-bit types can do little)."""
    return reference.to(dtype).to(reference.dtype)


def element_errors(actual: Tensor, reference: Tensor) -> Tensor:
    """Each element's error; 0 where the rounded reference is not finite (compared on its own)."""
    errors = gaps(actual, reference) / (reference.abs() + scale(reference))
    errors.masked_fill_(~torch.isfinite(rounded(reference, actual.dtype)), 0.0)
    return errors.masked_fill_(torch.isnan(errors), math.inf)


def gaps(actual: Tensor, reference: Tensor) -> Tensor:
    """Absolute differences."""
    return (actual.to(reference.dtype) - reference).abs()


def largest(errors: Tensor) -> float:
    return float(errors.max()) if errors.numel() else 0.0


def error(actual: Tensor, reference: Tensor) -> float:
    """The norm of this module's head."""
    return largest(element_errors(actual, reference))


def usable_quantiles(count: int) -> tuple[float, ...]:
    """The quantiles that have at least ``TAIL`` of ``count`` elements above them."""
    return tuple(share for share in QUANTILES if (1.0 - share) * count >= TAIL)


def quantile(errors: Tensor, share: float) -> float:
    """The smallest error that at least a share of the elements does not exceed."""
    rank = max(1, math.ceil(share * errors.numel()))
    return float(errors.flatten().kthvalue(rank).values)


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
