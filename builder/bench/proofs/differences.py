"""Differences, and selections by whether two numbers differ.

``0 if a == b else b - a`` is ``b - a`` for finite numbers, as it is written where they may be two
infinities. Only the difference of the very numbers that are compared is sure to be zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.sizes import SIZE
from builder.bench.proofs.terms import (
    NEGATED,
    Term,
    Value,
    Words,
    as_words,
    combined,
    float_constant,
    name_hash,
)

if TYPE_CHECKING:
    from builder.execute.ir import Function, Operation

_REVERSED = np.uint64(1 << 63)
_UNEQUAL = {"oeq": False, "ueq": False, "one": True, "une": True}


def difference(name: np.uint64, first: Words, second: Words, element: str) -> Words:
    """The terms of a difference; of one turned round, a bit is another.

    Args:
        name: the hash of the subtraction.
        first: from which is subtracted.
        second: what is.
        element: their type.
    """
    low, high = np.minimum(first, second), np.maximum(first, second)
    result = combined(name, [low, high]) & SIZE
    result = np.where(first > second, result | _REVERSED, result)
    zero = float_constant(element, 0.0)
    result = np.where(first == zero, second ^ NEGATED, result)
    return np.where(second == zero, first, result)


def with_difference(function: Function, op: Operation, args: list[Value], result: Term) -> Term:
    """A comparison of finite numbers, with what is zero where they are the same."""
    predicate = op.attributes.get("words", [""])[0] if op.name == "arith.cmpf" else ""
    numbers = all(isinstance(v, Term) and v.finite for v in args) and without_poles(args)
    if predicate not in _UNEQUAL or not numbers:
        return result
    element = function.types[op.operands[0]].element
    name = name_hash("arith.subf", repr([("words", [])]), element, element, element)
    first, second = (as_words(value) for value in args)
    words = difference(name, first, second, element) & SIZE
    return replace(result, apart=(words, _UNEQUAL[predicate]))


def zero_if_same(condition: Value, left: Value, right: Value) -> tuple[Term, Words] | None:
    """The difference that a selection is: ``0 if a == b else b - a`` of finite numbers.

    Returns:
        It, and the elements where that holds; None if there are none.
    """
    apart = condition.apart if isinstance(condition, Term) else None
    if apart is None:
        return None
    nothing, other = (right, left) if apart[1] else (left, right)
    constant = nothing.constant if isinstance(nothing, Term) else None
    if constant is None or not isinstance(other, Term) or not bool((constant == 0.0).all()):
        return None
    return other, other.hashes & SIZE == apart[0]
