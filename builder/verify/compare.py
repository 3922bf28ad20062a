"""Is one output right?  The rule for floats and the rule for discrete values.

**Floats** pass if ``error(triton, r) <= max(2 * error(eager, r), floor)`` in the norm of ``norm``,
and if the same holds for the 0.99, 0.9 and 0.5 quantiles of the elements' errors where there are
elements enough (the median's floor is lower, see ``floors``): one element on which eager is far off
excuses no other.  Infinities and NaN must stand where the reference, rounded to the output's type,
has them.

Eager's error is one sample of what rounding does.  Where results hang on cancellation, few elements
decide, and another right computation may be three times as far off.  So an element that is beyond
the tolerance by at most ``NEAR`` passes if it is at most twice as far from the reference as one ulp
of an input moves the reference there: no computation in that type can know better.

Where eager's largest error exceeds ``ILL_CONDITIONED``, twice it would allow anything.  Then the
bulk of eager's errors (its highest usable quantile) takes its place, and an element beyond it, by
how much ever, may only be twice as far off as eager is there or as one ulp of an input moves the
reference there.  If the bulk, too, is that far off, the output is rounding noise and shows nothing.

**Discrete** values (integers, masks) must equal eager's.  Behind a decision that rounding can flip
(``History.decided``), a value that differs, float or not, may instead agree with another answer:
the float64 run deciding by itself, or a run on inputs moved by one ulp.  Index outputs of sorts and
the like, whose order among ties nobody specifies, may instead point at equal values: the values
they point at are compared as floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from builder.verify.bits import bits_equal
from builder.verify.floors import History, floor, is_wide, median_floor
from builder.verify.norm import MEDIAN, Errors, Yardstick, gaps, wrong_non_finite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.verify.reference import Ties

Tensor = torch.Tensor

EAGER_FACTOR = 2.0
NEAR = 4.0
ILL_CONDITIONED = 0.25
USABLE = {"wide": 2.0**-8, "narrow": ILL_CONDITIONED}


@dataclass(frozen=True)
class Expected:
    """What one output should be.

    Attributes:
        eager: the program's own result.
        reference: the same in float64 (integers as eager has them).
        history: operations and types behind it.
        ties: set for indices whose order among ties is open.
    """

    eager: Tensor
    reference: Tensor
    history: History
    ties: Ties | None = None

    @cached_property
    def yardstick(self) -> Yardstick:
        """The reference, to measure results by."""
        return Yardstick(self.reference)

    @cached_property
    def eager_errors(self) -> Errors:
        """How far eager is from the reference."""
        return self.yardstick.errors(self.eager)


@dataclass(frozen=True)
class Outcome:
    """How one output compares.

    Attributes:
        kind: None if it passes, else why not.
        message: the worst element, for people.
        error: the error of the Triton module, 0 for discrete outputs.
        tolerance: what it was allowed.
        floor: the part of it that the table gives.
        unexplained: mask of elements that no answer allows; None if it passes.
    """

    kind: str | None
    message: str
    error: float
    tolerance: float
    floor: float
    unexplained: Tensor | None = None


def is_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def compare(
    actual: Tensor,
    expected: Expected,
    answers: Iterable[Expected] = (),
    dot_precision: str = "ieee",
) -> Outcome:
    """Compares one output of equal shape and type with what is expected.

    Args:
        actual: the Triton module's output.
        expected: eager and reference.
        answers: other right answers, taken one by one and only while something is unexplained.
        dot_precision: ``ieee`` or ``tf32``, which chooses the floor of matrix products.
    """
    if not is_float(actual.dtype):
        return _compare_discrete(actual, expected, answers, dot_precision)
    comparison = _Floats(actual, expected, floor(expected.history, dot_precision))
    return comparison.outcome(answers)


def shows_nothing(expected: Expected) -> bool:
    """Whether eager is so far from the reference that a draw is better replaced."""
    if expected.history.rounding is None or not is_float(expected.eager.dtype):
        return False
    limit = USABLE["wide" if is_wide(expected.history.rounding) else "narrow"]
    return _bulk(expected.eager_errors, limit) > limit


def _bulk(errors: Errors, limit: float = ILL_CONDITIONED) -> float:
    """The largest error if it is small, else the highest quantile that has elements enough."""
    shares = errors.shares()
    return errors.quantile(shares[0]) if errors.worst > limit and shares else errors.worst


class _Floats:
    """One float output against the reference."""

    def __init__(self, actual: Tensor, expected: Expected, lowest: float) -> None:
        self.actual = actual
        self.expected = expected
        self.floor = lowest
        self.median_floor = median_floor(expected.history, lowest)
        self.reference = expected.reference
        self.eager_errors = expected.eager_errors
        is_eager = bits_equal(actual, expected.eager)
        self.errors = self.eager_errors if is_eager else expected.yardstick.errors(actual)
        self.bulk = _bulk(self.eager_errors)
        self.tolerance = max(EAGER_FACTOR * self.bulk, lowest)
        self.is_inflated = self.eager_errors.worst > ILL_CONDITIONED

    def outcome(self, answers: Iterable[Expected]) -> Outcome:
        if self.bulk > ILL_CONDITIONED:
            message = f"eager itself is {self.bulk:.2g} away from float64: rounding noise"
            return self._result("ill_conditioned", message)
        if not self.errors.all_finite or self.errors.worst > self.tolerance:
            wrong = self.errors.values > self.tolerance
            wrong |= wrong_non_finite(self.actual, self.reference)
            unexplained = self._unexplained(wrong, answers) if bool(wrong.any()) else wrong
            if bool(unexplained.any()):
                return self._wrong(unexplained)
            self.errors = self.errors.without(wrong)
        return self._spread() or self._result(None, "")

    def _result(self, kind: str | None, message: str, wrong: Tensor | None = None) -> Outcome:
        return Outcome(kind, message, self.errors.worst, self.tolerance, self.floor, wrong)

    def _unexplained(self, wrong: Tensor, answers: Iterable[Expected]) -> Tensor:
        """What is left of the wrong elements after the other answers were heard."""
        decided = self.expected.history.decided
        is_near = self.errors.worst <= NEAR * self.tolerance
        if not decided and not self.is_inflated and not is_near:
            return wrong
        gap = gaps(self.actual, self.reference)
        reach = gaps(self.expected.eager, self.reference)
        if not self.is_inflated:
            reach = torch.zeros_like(reach)
        for other in answers:
            if other.eager.shape != self.actual.shape:
                continue
            if decided:
                wrong = wrong & ~self._agrees(other)
            else:
                reach = torch.maximum(reach, gaps(other.reference, self.reference))
                wrong = wrong & ~(gap <= EAGER_FACTOR * reach)
            if not bool(wrong.any()):
                break
        return wrong

    def _agrees(self, other: Expected) -> Tensor:
        """Elements within the tolerance of another answer, on the first answer's scale."""
        allowed = self.tolerance * (other.reference.abs() + self.expected.yardstick.scale)
        close = gaps(self.actual, other.reference) <= allowed
        return close & ~wrong_non_finite(self.actual, other.reference)

    def _spread(self) -> Outcome | None:
        """A failure if the bulk of the elements is worse than eager's, though none is too bad."""
        if self.errors.worst <= self.median_floor:
            return None
        for share in self.errors.shares():
            lowest = self.median_floor if share == MEDIAN else self.floor
            if not self.errors.quantile_exceeds(share, lowest):
                continue
            ours, theirs = self.errors.quantile(share), self.eager_errors.quantile(share)
            allowed = max(EAGER_FACTOR * theirs, lowest)
            if ours > allowed:
                message = (
                    f"{1 - share:.2g} of the elements have errors above {ours:.3g}; eager's are "
                    f"above {theirs:.3g}, allowed {allowed:.3g}"
                )
                return self._result("wrong_values", message, self.errors.values > allowed)
        return None

    def _wrong(self, wrong: Tensor) -> Outcome:
        non_finite = wrong_non_finite(self.actual, self.reference) & wrong
        ranked = self.errors.values.masked_fill(~wrong, 0.0).masked_fill(non_finite, math.inf)
        place = _place(int(ranked.flatten().argmax()), self.actual)
        values = (self.actual, self.reference, self.expected.eager)
        ours, exact, eager = (_item(tensor, place) for tensor in values)
        message = (
            f"{int(wrong.sum())} of {wrong.numel()} elements differ; at {place} Triton gives "
            f"{ours}, float64 {exact}, eager {eager}: error {float(ranked.max()):.3g}, allowed "
            f"{self.tolerance:.3g}"
        )
        kind = "wrong_non_finite" if bool(non_finite.any()) else "wrong_values"
        return self._result(kind, message, wrong)


def _compare_discrete(
    actual: Tensor, expected: Expected, answers: Iterable[Expected], dot_precision: str
) -> Outcome:
    wrong = actual != expected.eager
    if not bool(wrong.any()) or _points_at_equals(actual, expected, dot_precision):
        return Outcome(None, "", 0.0, 0.0, 0.0)
    for other in answers if expected.history.decided else ():
        if other.eager.shape == actual.shape:
            wrong &= (actual != other.eager) & (actual != other.reference)
        if not bool(wrong.any()):
            return Outcome(None, "", 0.0, 0.0, 0.0)
    place = _place(int(wrong.flatten().int().argmax()), actual)
    message = (
        f"{int(wrong.sum())} of {wrong.numel()} discrete elements differ; at {place} Triton gives "
        f"{_item(actual, place)}, eager {_item(expected.eager, place)}"
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
    picked = ties.reference.gather(ties.dim, ours)
    lowest = floor(ties.history, dot_precision)
    outcome = _Floats(picked, Expected(eager, wanted, ties.history), lowest).outcome(())
    return outcome.kind is None and bool(distinct.all())


def _without(tensor: Tensor, dim: int) -> list[int]:
    """Sizes of the dimensions other than one."""
    return [size for index, size in enumerate(tensor.shape) if index != dim]


def _place(flat: int, tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), tensor.shape))


def _item(tensor: Tensor, place: tuple[int, ...]) -> str:
    value = tensor[place].item()
    return f"{value:.9g}" if isinstance(value, float) else str(value)
