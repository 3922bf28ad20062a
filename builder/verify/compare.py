"""Is one output right?  The rule for discrete values; that for floats is in ``floats``.

Besides, a wide float may not have gone through a narrow type on its own (``grids``).

**Discrete** values (integers, masks) must equal eager's.  Behind a decision that rounding can flip
(``History.decided``), a value that differs, float or not, may instead agree with another answer:
the float64 run deciding by itself, or a run on inputs moved by one ulp.  Index outputs of sorts and
the like, whose order among ties nobody specifies, may instead point at equal values: the values
they point at are compared as floats.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from builder.verify.elements import item, place
from builder.verify.expected import Expected, Outcome, is_float
from builder.verify.floats import FloatComparison
from builder.verify.floors import floor
from builder.verify.grids import narrow_type_of
from builder.verify.noise import ILL_CONDITIONED

if TYPE_CHECKING:
    from collections.abc import Iterable

Tensor = torch.Tensor


def compare(
    actual: Tensor,
    expected: Expected,
    answers: Iterable[Expected] = (),
    dot_precision: str = "ieee",
    *,
    samples: Iterable[Expected] = (),
    noise: float = ILL_CONDITIONED,
    averages_out: bool = True,
) -> Outcome:
    """Compares one output of equal shape and type with what is expected.

    Args:
        actual: the Triton module's output.
        expected: eager and reference.
        answers: other right answers, taken one by one and only while something is unexplained.
        dot_precision: ``ieee`` or ``tf32``, which chooses the floor of matrix products.
        samples: other runs of eager, taken one by one and only while a float is nearly right.
        noise: the largest error of eager that does not drown the result.
        averages_out: the inputs vary enough for roundings to go to either side.
    """
    if not is_float(actual.dtype):
        is_last = noise >= ILL_CONDITIONED
        return _compare_discrete(actual, expected, answers, dot_precision, is_last=is_last)
    lowest = floor(expected.history, dot_precision)
    like_eager = lowest <= floor(expected.history)
    comparison = FloatComparison(
        actual, expected, lowest, noise, like_eager=like_eager, averages_out=averages_out
    )
    outcome = comparison.outcome(answers, samples)
    if outcome.kind is not None:
        return outcome
    narrow = narrow_type_of(actual, expected.eager)
    if narrow is None:
        return outcome
    message = (
        f"all elements are numbers of {narrow}, and eager's are not; compute and store them in "
        f"{actual.dtype}"
    )
    return replace(outcome, kind="wrong_values", message=message)


def _compare_discrete(
    actual: Tensor,
    expected: Expected,
    answers: Iterable[Expected],
    dot_precision: str,
    *,
    is_last: bool,
) -> Outcome:
    """The rule for discrete values.

    Where each that agrees with no answer differs from answer to answer, the input set shows
    nothing, unless it is the last.
    """
    wrong = actual != expected.eager
    if not bool(wrong.any()) or _points_at_equals(actual, expected, dot_precision):
        return Outcome(None, "", 0.0, 0.0, 0.0)
    restless = torch.zeros_like(wrong)
    for other in answers if expected.history.decided else ():
        if other.eager.shape == actual.shape:
            restless |= (other.eager != expected.eager) | (other.reference != expected.eager)
            wrong &= (actual != other.eager) & (actual != other.reference)
        if not bool(wrong.any()):
            return Outcome(None, "", 0.0, 0.0, 0.0)
    if not is_last and not bool((wrong & ~restless).any()):
        message = "too many decisions hang on rounding"
        return Outcome("ill_conditioned", message, 0.0, 0.0, 0.0, wrong)
    at = place(int(wrong.flatten().int().argmax()), actual)
    message = (
        f"{int(wrong.sum())} of {wrong.numel()} discrete elements differ; at {at} Triton gives "
        f"{item(actual, at)}, eager {item(expected.eager, at)}"
    )
    return Outcome("wrong_discrete", message, math.inf, 0.0, 0.0, wrong)


def _points_at_equals(actual: Tensor, expected: Expected, dot_precision: str) -> bool:
    """Whether indices name, in each place, a value equal to the one eager's index names."""
    ties = expected.ties
    if ties is None or actual.dtype != torch.int64 or not actual.numel():
        return False
    ours, theirs = actual, expected.eager
    if actual.dim() < ties.eager.dim():
        ours, theirs = ours.unsqueeze(ties.dim), theirs.unsqueeze(ties.dim)
    other_sizes = [_without(tensor, ties.dim) for tensor in (ours, ties.eager)]
    size = ties.eager.shape[ties.dim]
    if other_sizes[0] != other_sizes[1] or not 0 <= int(ours.min()) <= int(ours.max()) < size:
        return False
    distinct = ours.sort(ties.dim).values.diff(dim=ties.dim) > 0
    wanted = ties.reference.gather(ties.dim, theirs)
    eager = ties.eager.gather(ties.dim, theirs)
    tied = ties.eager.gather(ties.dim, ours) == eager
    picked = torch.where(tied, wanted, ties.reference.gather(ties.dim, ours))
    lowest = floor(ties.history, dot_precision)
    outcome = FloatComparison(picked, Expected(eager, wanted, ties.history), lowest).outcome(())
    return outcome.kind is None and bool(distinct.all())


def _without(tensor: Tensor, dim: int) -> list[int]:
    """Sizes of the dimensions other than one."""
    return [size for index, size in enumerate(tensor.shape) if index != dim]
