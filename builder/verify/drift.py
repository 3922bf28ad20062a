"""Is a narrow result rounded once, and to both sides?

A result of float16 or bfloat16 hides a slightly wrong constant, a mean that was rounded on the way,
or a value that went through another narrow type: each element's own rounding is larger. Two figures
show them, both from how far the elements are from the correctly rounded reference:

* the *drift*: its mean, over a row of the last dimension and over the whole, in the terms of the
  norm (``norm``). Roundings fall to both sides, such faults to one;
* the share of elements that are *misrounded*, by every reading of the program's casts.

A right module that rounds once, at the end, has hardly any of either (where float32 lies near a
tie); one that rounds as often as eager has eager's. Each may be twice eager's, or a floor.  One
number of a narrow type that goes into all elements (a mean) shifts the whole by how it happens to
be rounded, in each run of eager alike; the whole may drift as far as moving it by an ulp takes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.verify.expected import Expected

Tensor = torch.Tensor

NARROW = (torch.float16, torch.bfloat16)
DRIFT = 1.0 / 64.0
DRIFT_OF_SEVERAL = 1.0 / 8.0
OFTEN = 1.0 / 16.0
DRIFT_OF_MOST = 1.0
MOSTLY = 0.5
MISROUNDED_SHARE = 1.0 / 128.0
NEAR_TIE = 2.0**-19  # a few roundings to float32
LEAST = 256
DISTINCT = 16
MISROUNDED = "misrounded"
WHOLE = "whole"
_CHANCE = 4.0
_MOST_ROWS = 64


def can_drift(expected: Expected) -> bool:
    """Whether the roundings of an output say anything.

    They do not where decisions (a mask, a rounding to integers) may shift elements by much, nor
    where the type of the output is not what it was rounded to.
    """
    history, dtype = expected.history, expected.eager.dtype
    return dtype in NARROW and history.rounding == dtype and not history.decided


def roundings(
    actual: Tensor, reference: Tensor, scale: float, *, distinct: int = DISTINCT
) -> dict[str, float]:
    """The drift of a ``row``, at most, and of the ``whole``, and the share ``misrounded``.

    Rows are left out where they are short, and all is where the whole is.

    Args:
        actual: float16 or bfloat16, finite.
        reference: float64.
        scale: the absolute part of the norm's denominators (``norm``).
        distinct: values that misrounded elements have at least, or they say nothing: equal ones
            are all rounded to the same side.
    """
    if actual.numel() < LEAST:
        return {}
    has_rows = actual.shape[-1] >= LEAST
    wanted = reference.to(actual.dtype)
    is_off = _misrounded(actual, wanted, reference)
    found = {MISROUNDED: 0.0, WHOLE: 0.0} | ({"row": 0.0} if has_rows else {})
    off = wanted[is_off]
    if not _vary(off, distinct):
        return found
    found[MISROUNDED] = off.numel() / actual.numel()
    away = actual[is_off].to(torch.float64) - off.to(torch.float64)
    sizes = _sizes(torch.linalg.vector_norm(reference, 1), actual.numel(), scale, actual.dtype)
    found[WHOLE] = float(away.sum().abs() / sizes)
    if has_rows:
        found["row"] = _worst_row(actual, wanted, reference, scale, is_off, distinct)
    return found


def misrounded_by_all(actual: Tensor, references: Sequence[Tensor]) -> float:
    """The share of elements that no reference says are rounded right.

    A compiler may leave out one cast of a program and keep another (an intermediate that it stores,
    since it is an output as well), so that each element is right by one reading or another.
    """
    off = [_misrounded(actual, one.to(actual.dtype), one) for one in references]
    return float(torch.stack(off).all(0).sum()) / actual.numel()


def _misrounded(actual: Tensor, wanted: Tensor, reference: Tensor) -> Tensor:
    """Elements that are not the rounded reference, nor as near, as where it lies near a tie."""
    is_off = actual != wanted
    exact = reference[is_off]
    ours, theirs = ((rounded[is_off] - exact).abs() for rounded in (actual, wanted))
    return is_off.masked_scatter(is_off, ours - theirs > NEAR_TIE * exact.abs())


def _worst_row(
    actual: Tensor,
    wanted: Tensor,
    reference: Tensor,
    scale: float,
    is_off: Tensor,
    distinct: int,
) -> float:
    """The largest drift of a row, of those whose roundings vary."""
    rows = is_off.any(-1)
    actual, wanted, is_off = actual[rows], wanted[rows], is_off[rows]
    away = (actual.to(torch.float64) - wanted.to(torch.float64)).sum(-1).abs()
    lengths = torch.linalg.vector_norm(reference[rows], 1, dim=-1)
    sizes = _sizes(lengths, actual.shape[-1], scale, actual.dtype)
    ratios, order = (away / sizes).flatten().sort(descending=True)
    for ratio, place in zip(ratios[:_MOST_ROWS].tolist(), order.tolist(), strict=False):
        if _vary(wanted[place][is_off[place]], distinct):
            return float(ratio)
    return 0.0


def _sizes(lengths: Tensor, count: int, scale: float, dtype: torch.dtype) -> Tensor:
    """What drifts are measured by; below its normal numbers a type rounds to the same step."""
    return torch.clamp(lengths + scale * count, min=count * torch.finfo(dtype).tiny)


def _vary(off: Tensor, distinct: int) -> bool:
    """Whether elements are off at several values."""
    return off.numel() >= distinct and (distinct < 2 or off.unique().numel() >= distinct)


def floor_of(
    figure: str, actual: Tensor, misrounded: float = 0.0, *, by_more: bool = False
) -> float:
    """What a figure may come to in a right module: a constant, and what happens by chance.

    One rounding has a standard deviation of at most 0.29 epsilons of an element. Where eager rounds
    often, roundings that follow one another may lean to one side (a small bias added to large
    elements is lost in all of them). Where most elements are off, and by more than a rounding of
    theirs, they may all hang on a few numbers, each rounded once (a matrix that is nearly of rank
    one, in products with itself).

    Args:
        figure: which.
        actual: the result.
        misrounded: the share of eager's elements that are.
        by_more: some are off by more than an epsilon.
    """
    if figure == MISROUNDED:
        return MISROUNDED_SHARE + _CHANCE * math.sqrt(MISROUNDED_SHARE / actual.numel())
    count = actual.shape[-1] if figure == "row" else actual.numel()
    drift = DRIFT_OF_SEVERAL if misrounded > OFTEN else DRIFT
    drift = DRIFT_OF_MOST if by_more and misrounded > MOSTLY else drift
    return torch.finfo(actual.dtype).eps * (drift + 0.29 * _CHANCE / math.sqrt(count))


def message(figure: str, ours: float, theirs: float, allowed: float) -> str:
    """What is wrong, for people."""
    held = f"eager's by {theirs:.3g}, allowed {allowed:.3g}"
    if figure == MISROUNDED:
        return f"{ours:.3g} of the elements are not the rounded result; of {held}"
    which = "a row" if figure == "row" else "all rows"
    return f"the elements of {which} are off to one side by {ours:.3g} of their size; {held}"
