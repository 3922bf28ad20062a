"""Is one output right?  The norm, the rule for floats, the rule for discrete values.

**The norm.**  ``error(a, r) = max_i |a_i - r_i| / (|r_i| + s)`` with ``s`` an eighth of the root
mean square of the reference's finite values.  It is a maximum over elements, so one wrong element
among millions counts in full.  It is relative for elements of the usual size, so a wrong row of
small values does not hide behind a large one; ``s`` only keeps elements that cancel to nearly zero
from counting their absolute rounding as infinite.  An eighth: with ``s`` near zero the norm is
decided by the one element nearest to zero, and two right computations differ in it by much.

**Floats** pass if ``error(triton, r) <= max(2 * error(eager, r), floor)``.  Where even eager is
``ILL_CONDITIONED`` away from the reference, the output is rounding noise and shows nothing.
Infinities and NaN must stand where the reference, rounded to the output's type, has them.

**Discrete** values (integers, masks) must equal eager's.  An element that differs, or a float
behind a decision (``History.decided``), may instead agree with another answer: the float64 run
deciding by itself, or a run on inputs moved by one ulp.  Index outputs of sorts and the like, whose
order among ties nobody specifies, may instead point at equal values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from builder.verify.floors import History, floor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.verify.reference import Ties

Tensor = torch.Tensor

EAGER_FACTOR = 2.0
SCALE_FRACTION = 0.125
ILL_CONDITIONED = 0.25


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


def scale(reference: Tensor) -> float:
    """The absolute part of the norm's denominator; never zero."""
    magnitudes = reference.abs()
    finite = magnitudes[torch.isfinite(magnitudes)]
    if finite.numel() == 0:
        return torch.finfo(torch.float32).tiny
    top = float(finite.max())
    if top == 0.0:
        return torch.finfo(torch.float32).tiny
    return SCALE_FRACTION * top * math.sqrt(float((finite / top).square().mean()))


def element_errors(actual: Tensor, reference: Tensor) -> Tensor:
    """Each element's error; 0 where the rounded reference is not finite (compared on its own)."""
    wide = actual.to(reference.dtype)
    errors = (wide - reference).abs() / (reference.abs() + scale(reference))
    errors.masked_fill_(~torch.isfinite(_rounded(reference, actual.dtype)), 0.0)
    return errors.masked_fill_(torch.isnan(errors), math.inf)


def _rounded(reference: Tensor, dtype: torch.dtype) -> Tensor:
    """The reference as the output's type holds it, in float64 again (8-bit types can do little)."""
    return reference.to(dtype).to(reference.dtype)


def error(actual: Tensor, reference: Tensor) -> float:
    """The norm of the module's head."""
    return float(element_errors(actual, reference).max()) if actual.numel() else 0.0


def rounded_up(value: float) -> float:
    """The next power of two, so that stored errors do not depend on the machine's last bit."""
    if value <= 0.0 or not math.isfinite(value):
        return value
    return 2.0 ** math.ceil(math.log2(value))


def compare(
    actual: Tensor,
    expected: Expected,
    alternatives: Sequence[Expected] = (),
    dot_precision: str = "ieee",
) -> Outcome:
    """Compares one output of equal shape and type with what is expected.

    Args:
        actual: the Triton module's output.
        expected: eager and reference.
        alternatives: other answers; consulted only for what the first one does not explain.
        dot_precision: ``ieee`` or ``tf32``, which chooses the floor of matrix products.
    """
    if is_float(actual.dtype):
        return _compare_floats(actual, expected, alternatives, dot_precision)
    return _compare_discrete(actual, expected, alternatives)


def may_be_explained(expected: Expected) -> bool:
    """Whether other answers than the first could be right at all."""
    return not is_float(expected.eager.dtype) or expected.history.decided


def _compare_floats(
    actual: Tensor, expected: Expected, alternatives: Sequence[Expected], dot_precision: str
) -> Outcome:
    lowest = floor(expected.history, dot_precision)
    errors = element_errors(actual, expected.reference)
    eager_error = error(expected.eager, expected.reference)
    tolerance = max(EAGER_FACTOR * eager_error, lowest)
    worst = float(errors.max()) if errors.numel() else 0.0
    if eager_error > ILL_CONDITIONED:
        message = f"eager itself is {eager_error:.2g} away from float64: rounding noise"
        return Outcome("ill_conditioned", message, worst, tolerance, lowest)
    wrong = (errors > tolerance) | _wrong_non_finite(actual, expected.reference)
    for other in alternatives if expected.history.decided else ():
        if other.eager.shape == actual.shape and bool(wrong.any()):
            wrong &= ~_agrees(actual, other, scale(expected.reference), tolerance)
    if not bool(wrong.any()):
        within = errors <= tolerance
        passed = float(errors[within].max()) if bool(within.any()) else 0.0
        return Outcome(None, "", passed, tolerance, lowest)
    return _wrong_floats(actual, expected, errors, wrong, tolerance, lowest)


def _agrees(actual: Tensor, other: Expected, scaled: float, tolerance: float) -> Tensor:
    """Elements within the tolerance of another answer, measured on the first answer's scale."""
    reference = other.reference
    gap = (actual.to(reference.dtype) - reference).abs()
    close = gap <= tolerance * (reference.abs() + scaled)
    return close & ~_wrong_non_finite(actual, reference)


def _wrong_non_finite(actual: Tensor, reference: Tensor) -> Tensor:
    """Elements whose NaN or infinity is not the rounded reference's."""
    rounded, wide = _rounded(reference, actual.dtype), actual.to(reference.dtype)
    differ = torch.isnan(wide) != torch.isnan(rounded)
    infinite = torch.isinf(wide) | torch.isinf(rounded)
    if not actual.dtype.is_complex:
        differ |= infinite & (wide != rounded)
    return differ


def _wrong_floats(
    actual: Tensor,
    expected: Expected,
    errors: Tensor,
    wrong: Tensor,
    tolerance: float,
    lowest: float,
) -> Outcome:
    non_finite = _wrong_non_finite(actual, expected.reference) & wrong
    ranked = torch.where(non_finite, torch.full_like(errors, math.inf), errors)
    ranked = torch.where(wrong, ranked, torch.zeros_like(ranked))
    flat = int(ranked.flatten().argmax())
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), actual.shape))
    worst = float(ranked.flatten()[flat])
    message = (
        f"{int(wrong.sum())} of {wrong.numel()} elements differ; at {place} Triton gives "
        f"{_item(actual, place)}, float64 {_item(expected.reference, place)}, eager "
        f"{_item(expected.eager, place)}: error {worst:.3g}, allowed {tolerance:.3g}"
    )
    kind = "wrong_non_finite" if bool(non_finite.any()) else "wrong_values"
    return Outcome(kind, message, worst, tolerance, lowest, wrong)


def _compare_discrete(
    actual: Tensor, expected: Expected, alternatives: Sequence[Expected]
) -> Outcome:
    wrong = actual != expected.eager
    for other in alternatives:
        if other.eager.shape == actual.shape and bool(wrong.any()):
            wrong &= (actual != other.eager) & (actual != other.reference)
    if bool(wrong.any()) and _points_at_equals(actual, expected):
        wrong = torch.zeros_like(wrong)
    if not bool(wrong.any()):
        return Outcome(None, "", 0.0, 0.0, 0.0)
    place = tuple(int(i) for i in wrong.nonzero()[0])
    message = (
        f"{int(wrong.sum())} of {wrong.numel()} discrete elements differ; at {place} Triton gives "
        f"{_item(actual, place)}, eager {_item(expected.eager, place)}"
    )
    return Outcome("wrong_discrete", message, math.inf, 0.0, 0.0, wrong)


def _points_at_equals(actual: Tensor, expected: Expected) -> bool:
    """Whether indices name, in each place, a value equal to the one eager's index names."""
    ties = expected.ties
    if ties is None or ties.shape != tuple(actual.shape) or actual.dtype != torch.int64:
        return False
    size = ties.source.shape[ties.dim]
    if actual.numel() and not 0 <= int(actual.min()) <= int(actual.max()) < size:
        return False
    ours = ties.source.gather(ties.dim, actual)
    if not torch.equal(ours, ties.source.gather(ties.dim, expected.eager)):
        return False
    ordered = actual.sort(ties.dim).values
    gaps = ordered.diff(dim=ties.dim)
    return bool((gaps > 0).all())


def _item(tensor: Tensor, place: tuple[int, ...]) -> str:
    value = tensor[place].item()
    return f"{value:.9g}" if isinstance(value, float) else str(value)
