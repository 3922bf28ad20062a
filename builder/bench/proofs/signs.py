"""Values with the sign of another, and what a maximum with zero keeps of a selection.

A rectified value is the same whether what is below zero was scaled (leaky relu), bent (elu) or left
alone before: ``max(0, x if x > 0 else y)`` is ``max(0, x)`` where ``y`` is not above zero when
``x`` is not.  A NaN is one on either side.  Of finite numbers zero times ``x`` will do for ``y``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.terms import Term, Value, Words

if TYPE_CHECKING:
    from builder.execute.ir import Operation

KEEPS_SIGN = frozenset({"arith.extf", "arith.truncf", "tt.fp_to_fp"})
_LIBRARY_KEEPS_SIGN = frozenset({"__nv_expm1f", "__nv_tanhf", "__nv_erff"})


def with_sign(op: Operation, args: list[Value], result: Term, *, finite: bool) -> Term:
    """The result of an operation, with the terms whose sign it has, or of which it is zero times.

    Zero times an infinity is NaN, so that it takes finite numbers to be nothing.
    """
    if op.name in KEEPS_SIGN or op.attributes.get("symbol") in _LIBRARY_KEEPS_SIGN:
        return replace(result, sign_of=_sign(args[0]))
    if op.name == "arith.mulf":
        for factor, other in (args, args[::-1]):
            constant = factor.constant if isinstance(factor, Term) else None
            if constant is None or not bool(np.isfinite(constant).all()):
                continue
            vanishes = (
                finite and isinstance(other, Term) and other.finite and without_poles([other])
            )
            if bool(((constant > 0.0) | (vanishes & (constant == 0.0))).all()):
                return replace(result, sign_of=_sign(other))
    return result


def rectified_selection(condition: Value, left: Value, right: Value) -> Words | None:
    """The terms of ``x`` in ``x if x > 0 else y``, if ``y`` has the sign of ``x``."""
    above = condition.above if isinstance(condition, Term) else None
    if above is None or above[1] != 0.0 or not isinstance(left, Term):
        return None
    if not all(_has_sign(side, above[0]) for side in (left, right)):
        return None
    return left.hashes if left.rectified is None else left.rectified


def _has_sign(value: Value, words: Words) -> bool:
    sign = _sign(value)
    return sign is not None and np.array_equal(sign, words)


def rectified(args: list[Value]) -> list[Value]:
    """The operands of a maximum, one of which is zero: of others what is above it counts."""
    if not any(is_zero(value) for value in args):
        return args
    return [
        replace(value, hashes=value.rectified, parts=None, rectified=None, clamped=None)
        if isinstance(value, Term) and value.rectified is not None
        else value
        for value in args
    ]


def is_zero(value: Value) -> bool:
    """All elements are the constant zero."""
    constant = value.constant if isinstance(value, Term) else None
    return constant is not None and bool((constant == 0.0).all())


def _sign(value: Value) -> Words | None:
    if not isinstance(value, Term):
        return None
    return value.hashes if value.sign_of is None else value.sign_of
