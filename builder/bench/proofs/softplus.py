"""``softplus(x) = log1p(exp(x))``, which is written as ``x`` from some ``x`` on.

From 17 on the two are one number in float32: ``log1p(exp(x)) - x < exp(-x) = 4.1e-8``, below half
an ulp of ``x``; and up to 88 ``exp(x)`` is finite. So it does not matter from which number between
them on it is written as ``x``, nor whether that one is among these. Of ``tanh(softplus(x))``, as in
mish, even less counts: from 10 on ``tanh`` of either is one (``1 - tanh(10) = 4.1e-9``), of
infinity too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.terms import Term, Value, Words, combined, name_hash

if TYPE_CHECKING:
    from builder.execute.ir import Operation, Type

_SATURATED = 10.0
_LINEAR, _OVERFLOW = 17.0, 88.0
_EXPONENTIALS = ("__nv_expf",)
_LOGARITHMS = ("__nv_log1pf",)
_TANH = ("__nv_tanhf",)
EXPONENTIAL, SOFTPLUS = "exp", "softplus"


def with_exponent(op: Operation, args: list[Value], result: Term, kind: Type) -> Term:
    """The result of an operation, marked if it is a part of softplus; ``tanh`` of that is it."""
    symbol = op.attributes.get("symbol")
    first = args[0] if args else None
    if kind.element == "i1" and op.name == "arith.cmpf":
        return replace(result, above=_above(op, args))
    if kind.element != "f32" or not isinstance(first, Term):
        return result
    if op.name == "math.exp" or symbol in _EXPONENTIALS:
        return replace(result, exponent=(EXPONENTIAL, first.hashes))
    if first.exponent is None:
        return result
    stage, words = first.exponent
    if symbol in _LOGARITHMS and stage == EXPONENTIAL:
        return replace(result, exponent=(SOFTPLUS, words))
    if symbol in _TANH and stage == SOFTPLUS:
        return replace(result, hashes=combined(name_hash("tanh of softplus"), [words]))
    return result


def softplus_of(condition: Value, left: Value, right: Value) -> tuple[str, Words] | None:
    """What a selection of ``x`` above a number, and ``log1p(exp(x))`` below, is softplus of."""
    sides = (condition, left, right)
    if not all(isinstance(side, Term) for side in sides):
        return None
    assert isinstance(condition, Term)
    assert isinstance(left, Term)
    assert isinstance(right, Term)
    if condition.above is None or right.exponent is None or right.exponent[0] != SOFTPLUS:
        return None
    words, number = condition.above
    same = np.array_equal(words, left.hashes) and np.array_equal(words, right.exponent[1])
    return right.exponent if same and number >= _SATURATED else None


def softplus_words(condition: Value, left: Value, right: Value, words: Words) -> Words:
    """The terms of a selection; where softplus is cut off in it does not count, within limits."""
    found = softplus_of(condition, left, right)
    if found is None or not isinstance(condition, Term):
        return words
    assert condition.above is not None
    if not _LINEAR <= condition.above[1] <= _OVERFLOW:
        return words
    return np.broadcast_to(combined(name_hash("softplus"), [found[1]]), words.shape)


def _above(op: Operation, args: list[Value]) -> tuple[Words, float] | None:
    """``x`` and ``c`` of ``x > c``, ``x >= c``, ``c < x`` or ``c <= x``."""
    predicate = op.attributes["words"][0]
    if predicate not in ("ogt", "oge", "olt", "ole"):
        return None
    value, bound = args if predicate in ("ogt", "oge") else args[::-1]
    if not isinstance(value, Term) or not isinstance(bound, Term) or bound.constant is None:
        return None
    number = float(bound.constant.min()) if bound.constant.size else math.nan
    return (value.hashes, number) if bool((bound.constant == number).all()) else None
