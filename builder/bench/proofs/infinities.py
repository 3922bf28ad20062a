"""Rules of real numbers beside lanes that are infinite constants, as a mask leaves them.

An infinity plus a number is the infinity, and an exponential of minus infinity is zero: what such
lanes become is told by their constants alone (``algebra``).  In all others operands are numbers,
and element by element what one lane becomes depends on no other.  So these rules are given operands
that are one where they are infinite, and what they make of such lanes is dropped.  So is a softmax
of rows of which some lanes are masked the same whatever is subtracted from a whole row.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.choice import has_infinity
from builder.bench.proofs.common_factors import with_factors
from builder.bench.proofs.field import in_field
from builder.bench.proofs.poles import lies_between
from builder.bench.proofs.terms import Term, Value, as_words, constant_words, float_constant

if TYPE_CHECKING:
    from builder.execute.ir import Function, Operation, Type

Lanes: TypeAlias = npt.NDArray[np.bool_]


def with_reals(
    function: Function, op: Operation, args: list[Value], made: Term, kind: Type
) -> Term:
    """The result of an operation element by element, with what it is of real numbers.

    What else is said of it are hints, of numbers in whatever lanes: its shifts and factors.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        made: its result, which is right in all lanes.
        kind: of the result.
    """
    is_finite = all(isinstance(value, Term) and value.finite for value in args)
    if is_finite or not made.is_masked or not all(map(lies_between, args)):
        return _of_numbers(function, op, args, made, kind)
    kinds = [function.types[slot] for slot in op.operands]
    infinite = [infinite_lanes(value, kind) for value, kind in zip(args, kinds, strict=True)]
    numbers = [
        without_lanes(value, lanes, kind)
        for value, lanes, kind in zip(args, infinite, kinds, strict=True)
    ]
    told = _of_numbers(function, op, numbers, made, kind)
    is_infinite = np.logical_or.reduce(np.broadcast_arrays(*infinite))
    return replace(told, hashes=np.where(is_infinite, made.hashes, told.hashes))


def _of_numbers(
    function: Function, op: Operation, args: list[Value], made: Term, kind: Type
) -> Term:
    return with_factors(op, args, in_field(function, op, args, made, kind), kind)


def infinite_lanes(value: Value, kind: Type) -> Lanes:
    """The lanes that are an infinite constant."""
    infinities = [float_constant(kind.element, number) for number in (math.inf, -math.inf)]
    return np.isin(as_words(value), infinities)


def without_lanes(value: Value, lanes: Lanes, kind: Type) -> Value:
    """A value that is one in lanes that do not count; it is still as long as it was."""
    if not isinstance(value, Term):
        return value
    shared = tuple(axis for axis, size in enumerate(value.hashes.shape) if size == 1)
    lanes = np.asarray(lanes.all(axis=shared, keepdims=True))
    one = constant_words(np.ones(1, dtype=np.int64))[0]
    if kind.is_float:
        one = float_constant(kind.element, 1.0)
    words, parts, constant = np.where(lanes, one, value.hashes), value.parts, value.constant
    if parts is not None:
        parts = replace(parts, words=np.where(lanes[..., None], one, parts.words))
    if constant is not None:
        constant = np.where(lanes, 1.0, constant)
    finite = value.finite or (value.masked and not has_infinity(words))
    numbers = value.numbers or finite
    return replace(
        value, hashes=words, parts=parts, constant=constant, finite=finite, numbers=numbers
    )
