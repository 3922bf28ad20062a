"""Does an input set show anything, or is eager's result rounding noise?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.verify.expected import Expected, is_float
from builder.verify.floors import epsilon, is_wide
from builder.verify.norm import Errors, wrong_non_finite

if TYPE_CHECKING:
    from builder.verify.floors import History

ILL_CONDITIONED = 0.25
"""An error of eager's twice which would allow anything."""
USABLE = (2.0**-8, ILL_CONDITIONED)
SHARP = (2.0**-11, 8.0)


def usable(history: History, *, plain: bool = False) -> float:
    """The largest error of eager with which an input set that can be replaced is not.

    Args:
        history: of the output; narrow types have limits of their own.
        plain: the inputs are as drawn; those of another distribution can be replaced by plain
            ones, and should show more.
    """
    wide, narrow = USABLE if plain else SHARP
    if is_wide(history.rounding):
        return wide
    return narrow if plain else min(ILL_CONDITIONED, narrow * epsilon(history.rounding))


def shows_nothing(expected: Expected, *, plain: bool = False, sharp: bool = False) -> bool:
    """Whether eager is so far from the reference that a draw is better replaced.

    Args:
        expected: of an output.
        plain: the inputs are as drawn.
        sharp: no element may be far off.
    """
    if expected.history.rounding is None or not is_float(expected.eager.dtype):
        return False
    if _is_finite_by_luck(expected):
        return True
    if not plain and expected.yardstick.top == 0.0:
        return True  # anything is infinitely far from nothing, a sum that should cancel, too
    worst = USABLE[0] if is_wide(expected.history.rounding) else ILL_CONDITIONED
    if sharp and expected.eager_errors.worst > worst:
        return True
    return is_drowned(expected.eager_errors, usable(expected.history, plain=plain))


def _is_finite_by_luck(expected: Expected) -> bool:
    """Whether eager has a number where the reference has none, as the root of a small negative."""
    if expected.eager_errors.all_finite:
        return False
    return bool(wrong_non_finite(expected.eager, expected.reference).any())


def is_drowned(errors: Errors, limit: float) -> bool:
    """Whether the bulk of eager's errors is beyond a limit."""
    return bulk_of(errors, limit) > limit


def bulk_of(errors: Errors, limit: float = ILL_CONDITIONED) -> float:
    """The largest error if it is small, else the highest quantile that has elements enough."""
    shares = errors.shares()
    return errors.quantile(shares[0]) if errors.worst > limit and shares else errors.worst
