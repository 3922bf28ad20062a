"""Conditions that tell which of two pairs of a value and an index is first in an order.

Two floats compare in six ways (either may be NaN, or both) and two indices in three.  A condition
made of such comparisons alone is a table of these eighteen ways, however it is written.  A
selection by it takes the first of two pairs if the table says so wherever it counts.  It does not
count for pairs with equal values and equal indices, of which either will do, nor for ways in which
the two cannot compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import bounds_of
from builder.bench.proofs.choice import select
from builder.bench.proofs.pairs import GREATEST, LEAST, Order, candidates, first_of
from builder.bench.proofs.poles import all_numbers
from builder.bench.proofs.sets import united
from builder.bench.proofs.terms import Integers, Known, Term, Value, Words, as_words
from builder.execute.ir import Type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.execute.ir import Function, Operation

_BELOW, _TIED, _ABOVE, _LEFT_NAN, _RIGHT_NAN, _BOTH_NAN = range(6)
_NANS = (_LEFT_NAN, _RIGHT_NAN, _BOTH_NAN)
_MIRRORED_WAYS = (_ABOVE, _TIED, _BELOW, _RIGHT_NAN, _LEFT_NAN, _BOTH_NAN)
_INDEX_WAYS = (_BELOW, _TIED, _ABOVE)
_RELATIONS = {
    "eq": (_TIED,), "ne": (_BELOW, _ABOVE), "lt": (_BELOW,), "le": (_BELOW, _TIED),
    "gt": (_ABOVE,), "ge": (_ABOVE, _TIED),
}  # fmt: skip
_INDEX_RELATIONS = {"eq": _RELATIONS["eq"], "ne": _RELATIONS["ne"]} | {
    f"s{word}": _RELATIONS[word] for word in ("lt", "le", "gt", "ge")
}
_VALUES_BEFORE = {
    LEAST: (_BELOW, _LEFT_NAN), GREATEST: (_ABOVE, _LEFT_NAN),
    "arith.minnumf": (_BELOW, _RIGHT_NAN), "arith.maxnumf": (_ABOVE, _RIGHT_NAN),
}  # fmt: skip
"""The ways in which the first of two values is what an operation gives."""


def _table(value_ways: Iterable[int], index_ways: Iterable[int] = _INDEX_WAYS) -> int:
    chosen = tuple(index_ways)
    return sum(1 << (3 * value + index) for value in value_ways for index in chosen)


_ALWAYS = _table(range(6))
_TIES = _table((_TIED, _BOTH_NAN))
_SAME_PAIR = _table((_TIED, _BOTH_NAN), (_TIED,))


@dataclass(frozen=True, eq=False)
class Contest:
    """What a condition is, for each way in which two values and two indices compare.

    Attributes:
        table: of each element, a bit for each way.
        possible: the ways in which the values may compare.
        left: the terms of the one value; None if the condition does not depend on values.
        right: of the other; None if it only depends on whether the one is NaN.
        first: the terms of the one index; None if it does not depend on indices.
        second: of the other.
        element: the type of the values.
        several: it is made of several comparisons.
    """

    table: Integers
    possible: int = _ALWAYS
    left: Words | None = None
    right: Words | None = None
    first: Words | None = None
    second: Words | None = None
    element: str = ""
    several: bool = False

    def mirrored(self) -> Contest:
        """With the two values in the other order."""
        table = _values_mirrored(self.table)
        possible = int(_values_mirrored(np.full(1, self.possible))[0])
        return replace(self, table=table, possible=possible, left=self.right, right=self.left)


# -- conditions --------------------------------------------------------------------------------


def contest_of(
    function: Function, op: Operation, args: list[Value], *, finite: bool
) -> Contest | None:
    """What a condition decides; None if it is of another kind.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        finite: take values for numbers.
    """
    if op.name == "arith.cmpf":
        element = function.types[op.operands[0]].element
        found = _of_values(op.attributes["words"][0], args, finite=finite)
        return found and replace(found, element=element)
    if op.name == "arith.cmpi" and function.types[op.operands[0]].bits > 1:
        return _of_indices(op.attributes["words"][0], args)
    if op.name not in ("arith.andi", "arith.ori", "arith.xori"):
        return None
    one, other = (_contest(value) for value in args)
    if one is None or other is None:
        return None
    return _joined(op.name, one, other)


def _of_values(predicate: str, args: list[Value], *, finite: bool) -> Contest | None:
    ordered = {"ord": _INDEX_WAYS, "uno": ()}.get(predicate, _RELATIONS.get(predicate[1:]))
    if ordered is None:
        return None
    nans = _NANS if predicate.startswith("u") else ()
    left, right = (as_words(value) for value in args)
    shape = (1,) * max(left.ndim, right.ndim)
    if _same(left, right):
        numbers = (_BELOW, _TIED, _ABOVE, _RIGHT_NAN) if _TIED in ordered else ()
        is_nan = (_LEFT_NAN, _BOTH_NAN) if nans else ()
        return Contest(np.full(shape, _table((*numbers, *is_nan))), left=left)
    never = {
        way
        for value, ways in zip(args, ((_LEFT_NAN, _BOTH_NAN), (_RIGHT_NAN, _BOTH_NAN)), strict=True)
        for way in ways
        if _is_number(value, finite=finite)
    }
    possible = _table(way for way in range(6) if way not in never)
    return Contest(np.full(shape, _table((*ordered, *nans))), possible, left, right)


def _of_indices(predicate: str, args: list[Value]) -> Contest | None:
    ways = _INDEX_RELATIONS.get(predicate)
    if ways is None:
        return None
    first, second = (as_words(value) for value in args)
    table = np.full((1,) * max(first.ndim, second.ndim), _table(range(6), ways))
    return Contest(table, first=first, second=second)


def _is_number(value: Value, *, finite: bool) -> bool:
    if not isinstance(value, Term):
        return False
    if value.constant is not None and not bool(np.isnan(value.constant).any()):
        return True
    return finite and all_numbers([value])


def _contest(value: Value) -> Contest | None:
    """Of a known condition, the table that is one answer whatever the way."""
    if isinstance(value, Known):
        return Contest(np.where(value.data != 0, _ALWAYS, 0))
    return value.contest if isinstance(value, Term) else None


def _joined(name: str, one: Contest, other: Contest) -> Contest | None:
    aligned = _aligned(one, other)
    if aligned is None:
        return None
    one, other = aligned
    indices = [c for c in aligned if c.first is not None]
    if len(indices) == 2 and not (
        _same(one.first, other.first) and _same(one.second, other.second)
    ):
        return None
    operation = {"arith.andi": np.bitwise_and, "arith.ori": np.bitwise_or}.get(name, np.bitwise_xor)
    compared = [c for c in aligned if not (c.left is c.right is c.first is None)]
    pairs = [c for c in aligned if c.left is not None and c.right is not None]
    wider = pairs[0] if pairs else one if one.left is not None else other
    return Contest(
        operation(one.table, other.table),
        one.possible & other.possible,
        wider.left,
        wider.right,
        indices[0].first if indices else None,
        indices[0].second if indices else None,
        element=wider.element,
        several=len(compared) == 2 or any(c.several for c in aligned),
    )


def _aligned(one: Contest, other: Contest) -> tuple[Contest, Contest] | None:
    """Both with the same values in the same order."""
    if one.left is None or other.left is None:
        return one, other
    if one.right is None and other.right is not None:
        found = _aligned(other, one)
        return found and (found[1], found[0])
    if one.right is None:
        if _same(one.left, other.left):
            return one, other
        pair = replace(one, right=other.left)
        return pair, other.mirrored()
    if _same(other.left, one.left) and (other.right is None or _same(other.right, one.right)):
        return one, other
    if _same(other.left, one.right) and (other.right is None or _same(other.right, one.left)):
        return one, other.mirrored()
    return None


def _same(one: Words | None, other: Words | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _values_mirrored(table: Integers) -> Integers:
    result = np.zeros_like(table)
    for way, mirror in enumerate(_MIRRORED_WAYS):
        result |= ((table >> (3 * way)) & 7) << (3 * mirror)
    return result


def _indices_mirrored(table: Integers) -> Integers:
    low, equal, high = (table & _table(range(6), (way,)) for way in _INDEX_WAYS)
    return (low << 2) | equal | (high >> 2)


# -- selections --------------------------------------------------------------------------------


def decided(args: list[Value], kind: Type, *, finite: bool) -> Term | None:
    """What a selection takes, if that is of the first of two pairs.

    Args:
        args: the condition and what it selects from, two values or two indices.
        kind: of these.
        finite: take values for numbers.
    """
    contest = args[0].contest if isinstance(args[0], Term) else None
    if contest is None or contest.left is None or contest.right is None or not contest.several:
        return None
    if kind.is_float:
        return _value(contest, args[1:], kind, finite=finite)
    return None if kind.is_pointer or kind.bits == 1 else _index(contest, args[1:], kind)


def _value(contest: Contest, sides: list[Value], kind: Type, *, finite: bool) -> Term | None:
    """Of equal values either will do, so that indices do not matter; a lane has its own order.

    That is how one that sorts takes the lesser of two in some lanes and the greater in others.
    """
    ours, theirs = (as_words(side) for side in sides)
    other = contest.mirrored()
    is_same = (ours == contest.left) & (theirs == contest.right)
    if not bool((is_same | ((ours == other.left) & (theirs == other.right))).all()):
        return None
    table = np.where(is_same, contest.table, other.table)
    counts = np.where(is_same, contest.possible, other.possible) & ~_TIES
    found: Value | None = None
    open_lanes = np.ones(table.shape, dtype=bool)
    for operation, ways in _VALUES_BEFORE.items():
        fits = open_lanes & (((table ^ _table(ways)) & counts) == 0)
        if bool(fits.any()):
            extreme = united(operation, sides, kind, finite=finite)
            found = (
                extreme if found is None else select(Known(fits.astype(np.int64)), extreme, found)
            )
        open_lanes = open_lanes & ~fits
    return found if isinstance(found, Term) and not bool(open_lanes.any()) else None


def _index(contest: Contest, sides: list[Value], kind: Type) -> Term | None:
    """Of the two values either may be the one that the first index belongs to."""
    table, ours, theirs = contest.table, as_words(sides[0]), as_words(sides[1])
    if contest.first is not None:
        if _same(ours, contest.second) and _same(theirs, contest.first):
            table = _indices_mirrored(table)
        elif not (_same(ours, contest.first) and _same(theirs, contest.second)):
            return None
    contest = replace(contest, table=table)
    ways = _index_ways(*sides)
    for one in (contest, contest.mirrored()):
        for operation, low in product((LEAST, GREATEST), (True, False)):
            wrong = (one.table ^ _expected(operation, low=low)) & one.possible & ~_SAME_PAIR
            if not bool((wrong & ways).any()):
                assert one.left is not None
                assert one.right is not None
                order = Order(operation, low, Type(one.element), Type(kind.element))
                pairs = [
                    candidates(order, value, index)
                    for value, index in zip((one.left, one.right), sides, strict=True)
                ]
                return first_of(order, pairs, sides)
    return None


@cache
def _expected(operation: str, *, low: bool) -> int:
    """The ways in which the first of two pairs comes before the other."""
    return _table(_VALUES_BEFORE[operation]) | _table(
        (_TIED, _BOTH_NAN), (_BELOW if low else _ABOVE,)
    )


def _index_ways(left: Value, right: Value) -> Integers:
    """The ways in which two pairs with these indices may compare."""
    ways = [_table(range(6), (way,)) for way in _INDEX_WAYS]
    if isinstance(left, Known) and isinstance(right, Known):
        lower, equal = left.data < right.data, left.data == right.data
        return np.where(lower, ways[0], np.where(equal, ways[1], ways[2]))
    ours, theirs = bounds_of(left), bounds_of(right)
    found = _ALWAYS
    if ours is not None and theirs is not None:
        found = ways[0] if ours[1] < theirs[0] else ways[2] if theirs[1] < ours[0] else _ALWAYS
    return np.full(1, found)
