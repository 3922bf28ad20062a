"""Lanes spoilt by infinite constants, and what values are in all others.

Rows of a block that are beyond the end have no elements: the largest is minus infinity, zeros less
that are infinite, and so are their exponentials, which over their sum are NaN.  Nothing of such
rows is stored, but what is not finite in some lane is nothing that rules for finite numbers apply
to.

So where a row's largest is such a constant, what is made of it is made twice: of operands as they
are, and of operands that are one in all lanes in which some operand is spoilt (``Spoilt.rest``).
Of the second result only the other lanes count, and nothing that is said of it is said of spoilt
ones.  These are told apart all the way: an element is spoilt if one that it is made of is, which is
one of each operand or, along an axis, any of a row.  Where a selection takes no spoilt lane, or a
mask lets none be stored, the second result is all that there is.  Whatever knows nothing of it
takes the first, for which nothing is different.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.infinities import infinite_lanes, without_lanes
from builder.bench.proofs.ops import is_pointwise
from builder.bench.proofs.terms import (
    Address,
    Known,
    Term,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from builder.execute.ir import Function, Operation, Type

Lanes: TypeAlias = npt.NDArray[np.bool_]

_ALONG_AXIS = frozenset({"tt.reduce", "tt.scan", "tt.gather"})
_VIEWS = frozenset(
    {"tt.splat", "tt.unsplat", "tt.broadcast", "tt.expand_dims", "tt.trans", "tt.reshape",
     "tt.split"}
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Spoilt:
    """What a value is in the lanes that are not spoilt.

    Attributes:
        lanes: those that are.
        rest: a value of which the others count.
    """

    lanes: Lanes
    rest: Known | Term

    def viewed(self, view: Callable[[Any], Any], of_value: Callable[[Value], Value]) -> Spoilt:
        rest = of_value(self.rest)
        assert not isinstance(rest, Address)
        return Spoilt(view(self.lanes), rest)


def performed(
    function: Function,
    op: Operation,
    args: list[Value],
    run: Callable[[list[Value]], list[Value]],
    *,
    finite: bool,
) -> list[Value]:
    """The results of an operation, with what they are where operands are not spoilt.

    Args:
        function: whose slots the operation names.
        op: the operation; it touches no memory.
        args: its operands.
        run: performs it.
        finite: take values for numbers.
    """
    if op.name in _VIEWS:
        return run(args)
    made = run([whole(value) for value in args])
    is_known = op.name in _ALONG_AXIS or is_pointwise(op)
    if not finite or not is_known or any(isinstance(value, Address) for value in (*args, *made)):
        return made
    lanes = _spoilt_lanes(args)
    if lanes is None:
        return [_spoilt_rows(op, made[0], function.types[op.results[0]]), *made[1:]]
    after = _after(op, args, lanes)
    if bool(after.all()):
        return made
    rest = [_rest(value) for value in args]
    if not _is_known_choice(op, args):
        kinds = [function.types[slot] for slot in op.operands]
        rest = [without_lanes(value, lanes, kind) for value, kind in zip(rest, kinds, strict=True)]
    return [_beside(one, other, after) for one, other in zip(made, run(rest), strict=True)]


def whole(value: Value) -> Value:
    """A value in all lanes, as if nothing else were known of some."""
    if not isinstance(value, Term) or value.spoilt is None:
        return value
    return replace(value, spoilt=None)


def stored(value: Value, mask: Value | None) -> Value:
    """A value to store, of which lanes that are not stored do not count."""
    spoilt = value.spoilt if isinstance(value, Term) else None
    if spoilt is None or not isinstance(mask, Known):
        return whole(value)
    return whole(value) if bool((spoilt.lanes & (mask.data != 0)).any()) else spoilt.rest


def _spoilt_rows(op: Operation, value: Value, kind: Type) -> Value:
    """A result; of a reduction, rows may be an infinite constant, as of no elements."""
    if op.name != "tt.reduce" or not kind.is_float or not isinstance(value, Term):
        return value
    if value.finite or not value.masked:
        return value
    lanes = infinite_lanes(value, kind)
    return value if bool(lanes.all()) else _beside(value, without_lanes(value, lanes, kind), lanes)


def _beside(made: Value, rest: Value, lanes: Lanes) -> Value:
    """A result with what it is beside spoilt lanes; that alone if there are none."""
    if not isinstance(made, Term) or isinstance(rest, Address):
        return made
    return replace(made, spoilt=Spoilt(lanes, rest)) if bool(lanes.any()) else rest


def _lanes_of(value: Value) -> Lanes | None:
    spoilt = value.spoilt if isinstance(value, Term) else None
    return None if spoilt is None else spoilt.lanes


def _spoilt_lanes(args: list[Value]) -> Lanes | None:
    """The lanes in which some operand is spoilt."""
    found = [lanes for lanes in map(_lanes_of, args) if lanes is not None]
    return reduce(np.logical_or, found) if found else None


def _after(op: Operation, args: list[Value], lanes: Lanes) -> Lanes:
    """The lanes in which a result is spoilt."""
    if op.name in _ALONG_AXIS:
        axis = op.attributes["axis"] + 1
        return np.asarray(lanes.any(axis=axis, keepdims=op.name != "tt.reduce"))
    if _is_known_choice(op, args):
        assert isinstance(args[0], Known)
        none = np.zeros((1,) * lanes.ndim, dtype=bool)
        ours, theirs = (none if own is None else own for own in map(_lanes_of, args[1:]))
        return np.where(args[0].data != 0, ours, theirs)
    return lanes


def _is_known_choice(op: Operation, args: list[Value]) -> bool:
    """Whether an operation takes lanes, those that are not spoilt just as they are."""
    return op.name == "arith.select" and isinstance(args[0], Known)


def _rest(value: Value) -> Value:
    return value if not isinstance(value, Term) or value.spoilt is None else value.spoilt.rest
