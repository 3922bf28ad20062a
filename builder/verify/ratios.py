"""How the root mean square of a module's errors stands to that of eager's (see ``exactness``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from builder.verify.floors import epsilon, is_wide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.verify.expected import Expected
    from builder.verify.norm import Errors

FEW_ROUNDINGS = 2.0**-22
LEAST = 1.5
"""The least ratio that counts (in ``exactness``)."""
TYPICAL = 64
"""Elements from which on the root mean square of eager's errors is no matter of luck."""
MANY = 1024
"""Elements from which on their errors do not all hang together."""
TOGETHER = 2.0
"""Of fewer, by what factor eager's root mean square may be too small by luck."""


class Ratios(NamedTuple):
    """What an output says of how exact a module is.

    Attributes:
        many: by many elements; None where there are few, or where it is open.
        few: by few elements.
        open_ratio: by many, where eager rounds operands of a product and the module need not.
    """

    many: float | None = None
    few: float | None = None
    open_ratio: float = 0.0


def ratios_to_eager(
    errors: Errors, expected: Expected, casts: Sequence[Errors], *, is_amplified: bool
) -> Ratios:
    """To eager's first run; see the functions below.

    A ratio that is above one is open as long as no reference without casts was heard.
    """
    if expected.eager.numel() < TYPICAL:
        return Ratios(few=rough_ratio(errors, expected, casts))
    ratio = ratio_to_eager(errors, expected, casts, is_amplified=is_amplified)
    if expected.history.rounds_operands and not casts and ratio > 1.0:
        return Ratios(open_ratio=ratio)
    return Ratios(ratio)


def ratio_to_eager(
    errors: Errors, expected: Expected, casts: Sequence[Errors], *, is_amplified: bool
) -> float:
    """To eager's first run, or to what a few roundings to float32 take.

    Of one pair whose 64 results were a cumulative sum every tenth input set had more than twice
    eager's, though the median was half of it: such a ratio is to twice eager's.

    Args:
        errors: the module's.
        expected: eager and reference.
        casts: eager's errors against references in which casts do not round, if they count.
        is_amplified: rounding is: then the largest errors hang on a few cancellations.
    """
    theirs = [expected.eager_errors, *casts]
    ratio = errors.mean / max(_least(expected), *(one.mean for one in theirs))
    if is_amplified and ratio > 1.0:
        ratio = min(ratio, errors.core / max(FEW_ROUNDINGS, *(one.core for one in theirs)))
    return ratio / TOGETHER if _hangs_together(expected) else ratio


def _hangs_together(expected: Expected) -> bool:
    """Whether one rounding may be most of the error of all elements, as in a cumulative sum.

    Not where a narrow type is rounded to in the end, each element for itself.
    """
    return expected.eager.numel() < MANY and is_wide(expected.history.rounding)


def _least(expected: Expected) -> float:
    """A few roundings, and where they decide to which number of a narrow type a result is rounded.

    They do for as many elements as lie so near a tie, or for one, which eager may have rounded
    right by luck, all of them: then each is an epsilon of the type off.
    """
    ulp = epsilon(expected.eager.dtype)
    near_ties = max(FEW_ROUNDINGS / ulp, 1.0 / expected.eager.numel())
    return max(FEW_ROUNDINGS, ulp * near_ties**0.5)


def rough_ratio(errors: Errors, expected: Expected, casts: Sequence[Errors]) -> float:
    """Of few elements, on which eager may be exact by luck: to no less than what rounding takes."""
    rounded = max(FEW_ROUNDINGS, epsilon(expected.history.rounding) / 2)
    return errors.mean / max(rounded, expected.eager_errors.mean, *(one.mean for one in casts))
