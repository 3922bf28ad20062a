"""Combinations of real numbers that may be taken in any order, such as Welford's.

Means and sums of squared deviations join to the same whatever is joined first (Chan, Golub, LeVeque
1979, "Updating formulae and a pairwise algorithm for computing sample variances"), where counts are
above zero.  That a region is of this kind is an identity of rational functions: it is calculated at
elements of the field of ``field``, chosen by a hash, where two functions that differ agree but for
a chance of their degree over the prime (Schwartz 1980).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from builder.bench.proofs.field import PRIME, field_number
from builder.bench.proofs.terms import Term, Value, name_hash
from builder.execute.ops_arith import literal_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from builder.bench.proofs.regions import Outer
    from builder.execute.ir import Function, Operation, Region

_P = int(PRIME)
_DIVISIONS = frozenset({"arith.divf", "tt.precise_divf"})
_PRODUCTS = frozenset({"arith.mulf"}) | _DIVISIONS


@dataclass(frozen=True)
class Number:
    """A real number of which little is known.

    Attributes:
        element: of the field.
        positive: it is above zero.
    """

    element: int
    positive: bool = False

    @property
    def is_zero(self) -> bool:
        return self.element == 0


@dataclass(frozen=True)
class Equal:
    """Whether two numbers are equal; ``holds`` if that is known."""

    first: Number
    second: Number
    holds: bool | None


_Value: TypeAlias = "Number | Equal"
_ZERO = Number(0)
_NONE = Number(-1)
"""What is divided by what may be zero; a selection may leave it out."""


class _UnknownError(Exception):
    """What an operation gives is not known."""


def symmetric_hash(
    function: Function, region: Region, outer: Outer, positive: Sequence[bool]
) -> np.uint64 | None:
    """What a reduction calculates, if order makes no difference and zeros add nothing.

    What is above zero stays so.

    Args:
        function: whose slots the region names.
        region: of the reduction.
        outer: values that it may use.
        positive: of each operand, whether its elements are above zero, or zero where all are.

    Returns:
        the same for the same function; None if order may make a difference.
    """
    one, other, third = (
        [Number(_element(name, place), is_above) for place, is_above in enumerate(positive)]
        for name in "abc"
    )
    nothing = [_ZERO] * len(positive)

    def joined(left: Sequence[Number], right: Sequence[Number]) -> list[Number]:
        return _joined(function, region, outer, [*left, *right])

    try:
        pair, contrary = joined(one, other), joined(other, one)
        sides = joined(pair, third), joined(one, joined(other, third))
        beside = joined(one, nothing), joined(nothing, one)
        empty = joined(nothing, nothing)
    except _UnknownError:
        return None
    holds = (
        _are_same(pair, contrary)
        and _are_same(*sides)
        and all(_are_same(side, one) for side in beside)
        and _are_same(empty, nothing)
        and all(ours.positive for ours, above in zip(pair, positive, strict=True) if above)
    )
    return name_hash("symmetric", *(number.element for number in pair)) if holds else None


def _are_same(ours: Sequence[Number], theirs: Sequence[Number]) -> bool:
    words = [[number.element for number in side] for side in (ours, theirs)]
    return words[0] == words[1] and _NONE.element not in words[0]


def _element(name: str, place: int) -> int:
    return 1 + int(name_hash("symmetric", name, place)) % (_P - 1)


def _joined(
    function: Function, region: Region, outer: Outer, given: Sequence[Number]
) -> list[Number]:
    """What a region gives for two elements.

    Raises:
        _UnknownError: that is not known.
    """
    if len(region.blocks) != 1:
        raise _UnknownError
    known: dict[int, _Value] = dict(zip(region.entry.arguments, given, strict=True))
    for op in region.entry.operations:
        args = [known[slot] if slot in known else _outside(outer.get(slot)) for slot in op.operands]
        if op.name.endswith(".return"):
            return [_number(value) for value in args]
        known[op.results[0]] = _result(function, op, args)
    raise _UnknownError


def _outside(value: Value | None) -> Number:
    constant = value.constant if isinstance(value, Term) else None
    if constant is None or constant.size != 1:
        raise _UnknownError
    return _held(float(constant.flat[0]))


def _held(number: float) -> Number:
    if not math.isfinite(number):
        raise _UnknownError
    return Number(field_number(number), number > 0.0)


def _number(value: _Value) -> Number:
    if isinstance(value, Equal):
        raise _UnknownError
    return value


def _result(function: Function, op: Operation, args: list[_Value]) -> _Value:
    if op.name == "arith.constant":
        return _constant(function, op)
    if op.name == "arith.select":
        return _selected(args[0], _number(args[1]), _number(args[2]))
    numbers = [_number(value) for value in args]
    if _NONE in numbers:
        return _NONE
    if op.name == "arith.cmpf" and op.attributes["words"][0] == "oeq":
        return _compared(*numbers)
    return _calculated(op.name, numbers)


def _constant(function: Function, op: Operation) -> Number:
    kind = function.types[op.results[0]]
    held = literal_tensor(op.attributes["literal"], kind) if kind.is_float else None
    if held is None or held.numel() != 1:
        raise _UnknownError
    return _held(float(held))


def _compared(first: Number, second: Number) -> Equal:
    """Equal numbers are equal elements; what is above zero is not zero."""
    if first.element == second.element:
        return Equal(first, second, holds=True)
    differ = (first.positive and second.is_zero) or (second.positive and first.is_zero)
    return Equal(first, second, holds=False if differ else None)


def _selected(condition: _Value, left: Number, right: Number) -> Number:
    """A side; zero where two numbers are equal is their difference, which is zero there."""
    if not isinstance(condition, Equal):
        raise _UnknownError
    if condition.holds is not None:
        return left if condition.holds else right
    difference = (condition.first.element - condition.second.element) % _P
    if left.is_zero and right.element in (difference, -difference % _P):
        return right
    raise _UnknownError


def _calculated(name: str, args: list[Number]) -> Number:
    first, second = args if len(args) == 2 else (args[0], _ZERO)
    is_positive = first.positive and second.positive
    if name == "arith.addf":
        sides = ((first, second), (second, first))
        beside_zero = any(one.positive and other.is_zero for one, other in sides)
        return Number((first.element + second.element) % _P, is_positive or beside_zero)
    if name == "arith.subf":
        return Number((first.element - second.element) % _P)
    if name not in _PRODUCTS:
        raise _UnknownError
    if name in _DIVISIONS:
        if not second.positive:
            return _NONE
        second = Number(pow(second.element, -1, _P), positive=True)
    return Number(first.element * second.element % _P, is_positive)
