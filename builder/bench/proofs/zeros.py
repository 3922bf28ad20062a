"""Selections by whether a number is zero: what the side for zero may take for granted.

Where ``v > 0`` does not hold of a ``v`` that is never below zero, ``v`` is zero or NaN, and so is
``0.01 * v``: a leaky slope does nothing behind a rectifier.  What has ``v`` for a factor in this
sense (``Term.factors``) is zero where ``v`` is, and NaN where it is, so that on that side it is
``v``.  If ``v`` is a number it is zero, and so is such a side.  Where the other side has ``v`` for
a factor too, it is the same there: ``2 * v if v > 0 else expm1(v)`` is ``2 * v``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.terms import Term, Value, Words, float_constant

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Operation, Type

_ORDERED = {"ogt": False, "olt": False, "ole": True, "oge": True}
_EQUAL = {"oeq": True, "one": False, "une": False}


@dataclass(frozen=True, eq=False)
class Zero:
    """Terms that are zero or NaN where a condition is as said.

    Attributes:
        words: the terms.
        holds: whether that is where the condition holds; else, where it does not.
        number: they are never NaN, if values are finite numbers.
    """

    words: Words
    holds: bool
    number: bool

    def viewed(self, view: Callable[[Words], Words]) -> Zero:
        return replace(self, words=view(self.words))


def with_zero(op: Operation, args: list[Value], result: Term) -> Term:
    """A comparison with zero, with what is zero on one of its sides.

    ``0 < v`` and ``v <= 0`` tell that only of a ``v`` that is never below zero.
    """
    predicate = op.attributes.get("words", [""])[0] if op.name == "arith.cmpf" else ""
    for value, other in (args, args[::-1]) if predicate in _ORDERED | _EQUAL else ():
        constant = other.constant if isinstance(other, Term) else None
        if constant is None or not isinstance(value, Term) or not bool((constant == 0.0).all()):
            continue
        if predicate in _ORDERED and not _is_above(predicate, value, args):
            continue
        number = value.finite and without_poles([value])
        holds = (_ORDERED | _EQUAL)[predicate]
        return replace(result, zero=Zero(value.hashes, holds, number))
    return result


def _is_above(predicate: str, value: Term, args: list[Value]) -> bool:
    """Whether a value is never below zero, and compared so that it matters."""
    greater = args[0] if predicate in ("ogt", "oge") else args[1]
    least = floor_of(value)
    return least is not None and least >= 0.0 and (greater is value) != _ORDERED[predicate]


def at_zero(args: list[Value], kind: Type, *, finite: bool) -> list[Value]:
    """The operands of a selection, the one for zero by what it is there.

    Args:
        args: the condition, what is taken where it holds, and what is taken elsewhere.
        kind: of the result.
        finite: take values for numbers.
    """
    condition, left, right = args
    zero = condition.zero if isinstance(condition, Term) else None
    if zero is None or not isinstance(left, Term) or not isinstance(right, Term):
        return args
    if zero.holds:
        return [condition, _at_zero(left, right, zero, kind, finite=finite), right]
    return [condition, left, _at_zero(right, left, zero, kind, finite=finite)]


def _at_zero(value: Term, other: Term, zero: Zero, kind: Type, *, finite: bool) -> Term:
    """A side of a selection where terms are zero: the other one, these terms, or the constant."""
    constant = float_constant(kind.element, 0.0)
    number = finite and zero.number
    nothing = _is_nothing(value, zero, constant if number else None)
    if not bool(nothing.any()):
        return value
    found = np.where(
        _is_nothing(other, zero, constant if number else None),
        other.hashes,
        constant if number else zero.words,
    )
    hashes = np.where(nothing, found, value.hashes)
    return replace(value, hashes=hashes, parts=None, exact=None, clamped=None)


def _is_nothing(value: Term, zero: Zero, constant: np.uint64 | None) -> np.ndarray:
    """Where a value is zero if these terms are, and NaN if they are; or is the constant zero."""
    nothing = value.hashes == zero.words
    for words in value.factors:
        nothing = nothing | (words == zero.words)
    return nothing if constant is None else nothing | (value.hashes == constant)
