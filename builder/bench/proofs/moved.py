"""Of real numbers: what has been added to all of them comes out of sorts and maxima.

``x + c > y + c`` is ``x > y``, and of two such numbers the one that is taken is that of ``x`` and
``y``, plus ``c``.  So comparisons, selections, gathers and extremes are those of the numbers
before, and a softmax, which depends on nothing that is added to a whole row, may be taken of what a
sort has left.  An infinity stays itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.choice import select
from builder.bench.proofs.common_factors import is_shared
from builder.bench.proofs.field import (
    field_add,
    field_elements,
    field_negated,
    with_constants,
)
from builder.bench.proofs.infinities import infinite_lanes
from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.terms import Known, Term, Value, Words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.execute.ir import Operation, Type


@dataclass(frozen=True, eq=False)
class Moved:
    """Numbers, and the elements of the field that have been added to them."""

    before: Term
    shift: Words

    def viewed(
        self, view: Callable[[Words], Words], of_value: Callable[[Value], Value]
    ) -> Moved | None:
        before = of_value(self.before)
        return Moved(before, view(self.shift)) if isinstance(before, Term) else None


def moved_by(op: Operation, args: Sequence[Value], element: str) -> Moved | None:
    """What a sum or a difference has added, if that is a constant or shared along some axis."""
    if op.name not in ("arith.addf", "arith.subf") or not without_poles(args):
        return None
    value, number = args
    if op.name == "arith.addf" and _is_shift(value, number):
        value, number = number, value
    if not _is_shift(number, value) or not isinstance(value, Term):
        return None
    shift = field_elements(number, element)
    if op.name == "arith.subf":
        shift = field_negated(shift)
    if value.moved is not None:
        return Moved(value.moved.before, field_add(value.moved.shift, shift))
    return Moved(value, shift)


def _is_shift(number: Value, beside: Value) -> bool:
    """Whether an operand is a finite number that is the same along an axis of the other."""
    if not isinstance(number, Term) or not isinstance(beside, Term) or not number.finite:
        return False
    if number.constant is not None:
        return beside.constant is None
    return is_shared(number.hashes, beside.hashes.shape)


def before_moved(args: Sequence[Value]) -> tuple[list[Value], Words] | None:
    """Values before the same was added to each, and what it is; None if it was not.

    Values that are infinite constants everywhere are what they were.
    """
    moved = [value.moved for value in args if isinstance(value, Term) and value.moved]
    if not moved:
        return None
    shift, found = moved[0].shift, list[Value]()
    for value in args:
        if not isinstance(value, Term):
            return None
        if value.moved is not None and _is_same(value.moved.shift, shift):
            found.append(value.moved.before)
        elif value.constant is not None and bool(np.isinf(value.constant).all()):
            found.append(value)
        else:
            return None
    return found, shift


def _is_same(one: Words, other: Words) -> bool:
    return one.ndim == other.ndim and bool((one == other).all())


def chosen_moved(args: Sequence[Value], kind: Type) -> Moved | None:
    """What has been added to either side of a selection by what depends on no data."""
    found = before_moved(args[1:]) if isinstance(args[0], Known) else None
    if found is None:
        return None
    (left, right), shift = found
    before = select(args[0], left, right, kind.element)
    return Moved(before, shift) if isinstance(before, Term) else None


def along(value: Value, axis: int) -> Moved | None:
    """What has been added along an axis, where it is the same."""
    moved = value.moved if isinstance(value, Term) else None
    if moved is None:
        return None
    shift = moved.shift.take([0], axis)
    return Moved(moved.before, shift) if bool((moved.shift == shift).all()) else None


def moved_again(value: Value, shift: Words, kind: Type) -> Value:
    """A value, and what has been added to each number of it."""
    if not isinstance(value, Term):
        return value
    words = with_constants(field_add(field_elements(value, kind.element), shift), kind.element)
    return Term(
        np.where(infinite_lanes(value, kind), value.hashes, words),
        value.finite,
        numbers=value.numbers,
        masked=value.masked,
        poles=value.poles,
        extreme=value.extreme,
        shifts=(shift,),
        moved=Moved(value, shift),
    )
