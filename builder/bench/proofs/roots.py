"""Factors drawn out of roots of real numbers: ``sqrt(c c x)`` is ``c sqrt(x)``.

That is so for every positive ``c``, whatever ``x`` is.  Which one is drawn out is told by the scale
that terms carry, the constants that they have been multiplied by, and by squares of what a row
shares (``common_factors``); a scale that is lost, or another than it might be, loses a proof and
makes none.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.algebra import operation_name
from builder.bench.proofs.common_factors import divided
from builder.bench.proofs.field import (
    PRIME,
    field_elements,
    field_number,
    field_product,
    with_constants,
)
from builder.bench.proofs.poles import DIVISIONS
from builder.bench.proofs.terms import Term, Value, Words, combined

if TYPE_CHECKING:
    from builder.bench.proofs.common_factors import Factor
    from builder.execute.ir import Function, Operation, Type

_ROOTS = {"math.sqrt": 1, "tt.precise_sqrt": 1, "math.rsqrt": -1}
"""The function of the square of a positive constant is this power of it."""
_KEEPS_SCALE = frozenset({"arith.negf", "math.absf", "arith.extf", "arith.truncf", "tt.fp_to_fp"})
_MOST_BITS = 1 << 10


def with_scale(
    function: Function, op: Operation, args: list[Value], made: Term, kind: Type
) -> Term:
    """The result of an operation on real numbers, with its scale, which it may be made of."""
    if op.name in _ROOTS:
        return _drawn_out(function, op, args, made, kind)
    if op.name in _KEEPS_SCALE:
        return replace(made, scale=_scale(args[0]))
    if op.name == "arith.mulf":
        return replace(made, scale=_times(_scale(args[0]), _scale(args[1])))
    divisor = _constant(args[1]) if op.name in DIVISIONS else None
    return made if divisor is None else replace(made, scale=_times(_scale(args[0]), 1 / divisor))


def chosen_scale(left: Value, right: Value) -> Fraction | None:
    """Of a selection, where one side may be zero."""
    scales = [scale for scale in (_scale(left), _scale(right)) if scale is not None]
    return min(scales, default=None)


def _drawn_out(
    function: Function, op: Operation, args: list[Value], made: Term, kind: Type
) -> Term:
    value, scale = args[0], _scale(args[0])
    root = None if scale is None else _root(scale)
    if not isinstance(value, Term) or not value.finite:
        return made
    if scale is None or root is None:
        scale = root = Fraction(1)
    squares = _squares(value, scale)
    if root == 1 and not squares:
        return made
    power = root ** _ROOTS[op.name]
    rest = divided(field_elements(value, kind.element), squares)
    rest = field_product(rest, _element(1 / scale))
    words = combined(operation_name(function, op), [with_constants(rest, kind.element)]) % PRIME
    roots = [factor.root for factor in squares if factor.root is not None]
    common = tuple(roots if _ROOTS[op.name] > 0 else [root.inverted for root in roots])
    words = divided(field_product(words, _element(power)), [one.inverted for one in common])
    words = with_constants(words, kind.element)
    return replace(made, hashes=words, scale=power, common=common)


def _squares(value: Term, scale: Fraction) -> list[Factor]:
    """The factors of a value that are squares, but for one that is the scale, drawn out once."""
    drawn = _element(scale)
    return [f for f in value.common if f.root is not None and bool((f.words != drawn).any())]


def _element(number: Fraction) -> Words:
    return np.full(1, field_number(number), dtype=np.uint64)


def _root(number: Fraction) -> Fraction | None:
    """The root of a positive number, if it is rational."""
    root = Fraction(math.isqrt(number.numerator), math.isqrt(number.denominator))
    return root if root * root == number else None


def _times(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    scale = (one or 1) * (other or 1)
    is_short = max(scale.numerator, scale.denominator).bit_length() <= _MOST_BITS
    return Fraction(scale) if is_short else None


def _scale(value: Value) -> Fraction | None:
    if not isinstance(value, Term):
        return None
    return value.scale or _constant(value)


def _constant(value: Value) -> Fraction | None:
    """The size of the number that all elements are, if that is not zero."""
    constant = value.constant if isinstance(value, Term) else None
    if constant is None or not constant.size or not bool(np.isfinite(constant).all()):
        return None
    sizes = np.unique(np.abs(constant))
    return Fraction(float(sizes[0])) if sizes.size == 1 and sizes[0] else None
