"""Integers of which only bounds are known: loaded from an input, computed from such, or places.

What a comparison with them gives may be the same for all that they can be, such as the test that an
index is negative.  Of floats it is known at times that none is below zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.terms import Known, Term, Value, as_words, constant_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.bench.proofs.terms import Integers, Words
    from builder.execute.ir import Function, Operation, Type
    from builder.verify.declared import Bounds

    Ends = tuple[int, int] | tuple[Integers, Integers]

_SAME = frozenset({"arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast"})
_ENDS: dict[str, Callable[[Bounds, Bounds], tuple[int, ...]]] = {
    "arith.addi": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "arith.subi": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "arith.muli": lambda a, b: tuple(x * y for x in a for y in b),
    "arith.maxsi": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "arith.minsi": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
}


def bounds_of(value: Value) -> Bounds | None:
    """The least and greatest element, as far as they are known."""
    if isinstance(value, Term):
        return value.bounds
    if isinstance(value, Known) and value.data.size:
        return int(value.data.min()), int(value.data.max())
    return None


def joined_bounds(*values: Value) -> Bounds | None:
    """Bounds of all of several values."""
    every = [bounds_of(value) for value in values]
    known = [bounds for bounds in every if bounds is not None]
    if not known or len(known) < len(every):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def result_bounds(
    function: Function, op: Operation, args: list[Value], kind: Type
) -> Bounds | None:
    """Bounds of an operation's result; none if it might wrap."""
    bits = function.types[op.operands[0]].bits
    if bits == 1 or kind.bits == 1:
        return None  # of which the sign is a matter of reading
    if not any(isinstance(v, Term) for v in args):
        return None
    given = [bounds_of(value) for value in args]
    known = [bounds for bounds in given if bounds is not None]
    if len(known) < len(given):
        return _bounds_of_any(op.name, given, bits)
    found: tuple[int, ...] | None = None
    if (op.name in _SAME and known[0][0] >= 0) or op.name == "arith.extsi":
        found = known[0]
    elif op.name in _ENDS:
        found = _ENDS[op.name](*known)
    elif op.name in ("arith.remsi", "arith.remui") and known[0][0] >= 0 and known[1][0] > 0:
        found = (0, min(known[0][1], known[1][1] - 1))
    elif op.name in ("arith.divsi", "arith.divui") and known[0][0] >= 0 and known[1][0] > 0:
        found = (known[0][0] // known[1][1], known[0][1] // known[1][0])
    elif op.name == "arith.andi" and known[0][0] >= 0 and known[1][0] >= 0:
        found = (0, min(known[0][1], known[1][1]))
    if found is None:
        return None
    low, high = min(found), max(found)
    limit = 1 << (kind.bits - 1)
    return (low, high) if -limit <= low and high < limit else None


def _bounds_of_any(name: str, given: list[Bounds | None], bits: int) -> Bounds | None:
    """Bounds that hold whatever an operand is: of bits that are masked, shifted or added as zeros.

    Args:
        name: of the operation.
        given: the operands' bounds, as far as they are known.
        bits: of an operand.
    """
    masks = [bounds[1] for bounds in given if bounds is not None and bounds[0] >= 0]
    if name == "arith.andi" and masks and min(masks) < 1 << (bits - 1):
        return 0, min(masks)
    if name == "arith.extui":
        return 0, (1 << bits) - 1
    if name == "arith.extsi":
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    shift = given[1] if name == "arith.shrui" else None
    if shift is not None and 0 < shift[0] <= shift[1] < bits:
        return 0, (1 << (bits - shift[0])) - 1
    return None


def settled_comparison(function: Function, op: Operation, args: list[Value]) -> Known | None:
    """A comparison of integers that bounds decide."""
    told = _told(function, op, [bounds_of(value) for value in args])
    if told is None:
        return None
    answer, is_settled = (bool(one) for one in told)
    if not is_settled:
        return None
    shape = np.broadcast_shapes(*(as_words(value).shape for value in args))
    return Known(np.full(shape, int(answer), dtype=np.int64))


def settled_lanes(function: Function, op: Operation, args: list[Value], made: Words) -> Words:
    """A comparison's terms: those of lanes that bounds decide are told.

    Args:
        function: whose slots the operation names.
        op: the comparison of integers.
        args: its operands, of which one may be known in each lane.
        made: its terms so far.
    """
    lanes = [(v.data, v.data) if isinstance(v, Known) else bounds_of(v) for v in args]
    told = _told(function, op, lanes)
    if told is None:
        return made
    answer, is_settled = told
    return np.where(is_settled, constant_words(np.asarray(answer, dtype=np.int64)), made)


def _told(
    function: Function, op: Operation, ends: Sequence[Ends | None]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """Whether all of one compare so with all of another, and whether bounds tell."""
    first, second = ends
    if first is None or second is None or function.types[op.operands[0]].bits == 1:
        return None
    word = op.attributes["words"][0]
    if word.startswith("u") and min(np.min(first[0]), np.min(second[0])) < 0:
        return None
    word = word if word in ("eq", "ne") else word[1:]
    if word in ("eq", "ne"):
        apart = np.less(first[1], second[0]) | np.less(second[1], first[0])
        return (apart if word == "ne" else ~apart), apart
    if word in ("gt", "ge"):
        first, second = second, first
    if word in ("lt", "gt"):
        all_are, none_is = np.less(first[1], second[0]), np.less_equal(second[1], first[0])
    else:
        all_are, none_is = np.less_equal(first[1], second[0]), np.less(second[1], first[0])
    return all_are, all_are | none_is


def floor_of(value: Value) -> float | None:
    """A number that no element is below, if one is known."""
    if not isinstance(value, Term):
        return None
    if value.positive and value.finite:
        return max(0.0, value.least or 0.0)
    return value.least


def least_sum(args: list[Value]) -> float | None:
    """Half of what a sum of positive numbers is at least, so that rounding does not count."""
    floors = [floor_of(value) for value in args]
    known = [floor for floor in floors if floor is not None and floor >= 0.0]
    return sum(known) / 2.0 if len(known) == len(args) else None
