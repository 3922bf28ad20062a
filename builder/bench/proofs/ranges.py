"""Ranges of floats: what a clamp, or a function such as ``tanh``, keeps them from.

NaN is neither below nor above a number.  The maximum that ignores NaN is only sure to be no less
than those of its operands that are none.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.poles import DIVISIONS, without_poles
from builder.bench.proofs.terms import NEGATED, Known, Term, Value, as_words, float_constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.ir import Operation, Type

MAXIMA = frozenset({"arith.maximumf", "arith.maxnumf"})
MINIMA = frozenset({"arith.minimumf", "arith.minnumf"})
KEEPS_NAN = frozenset({"arith.maximumf", "arith.minimumf"})
_UP_TO_ONE = frozenset(
    {
        "math.sin", "math.cos", "math.erf", "math.tanh",
        "__nv_sinf", "__nv_cosf", "__nv_erff", "__nv_tanhf",
    }
)  # fmt: skip
_RISING = frozenset(
    {
        "arith.extf", "arith.truncf", "tt.fp_to_fp", "math.erf", "math.tanh", "math.floor",
        "math.ceil", "__nv_log1pf", "__nv_expm1f", "__nv_tanhf", "__nv_erff", "__nv_asinhf",
        "__nv_sinhf", "__nv_atanf", "__nv_floorf", "__nv_ceilf", "__nv_truncf", "__nv_rintf",
        "__nv_nearbyintf",
    }
)  # fmt: skip
"""Functions that are zero at zero, and on no side of it have another's sign."""
_SIZES = frozenset({"math.absf", "__nv_fabsf"})
_SLACK = 1.0 + 2.0**-6
"""Beyond what an approximation or a rounding, also to bfloat16, comes to."""
_ROUNDED = 64.0
"""One over more than any type rounds by, but for 8-bit ones."""
_UNDERFLOWS = 2.0**-12
"""Twice the least that a product rounds to something near in any type, but for 8-bit ones."""


def most_of(value: Value) -> float | None:
    """A number that no element is above, if one is known."""
    return value.most if isinstance(value, Term) else None


def extreme_range(
    name: str, args: list[Value], *, finite: bool
) -> tuple[float | None, float | None]:
    """The least and the most that a maximum or minimum of floats is, as far as they are known."""
    sure = [v for v in args if name in KEEPS_NAN or _is_number(v, finite=finite)]
    is_maximum = name in MAXIMA
    end, other_end = (floor_of, most_of) if is_maximum else (most_of, floor_of)
    choose = max if is_maximum else min
    near = choose((e for e in map(end, sure) if e is not None), default=None)
    ends = [e for e in map(other_end, args) if e is not None]
    far = choose(ends) if len(ends) == len(args) else None
    return (near, far) if is_maximum else (far, near)


def known_size(op: Operation, args: list[Value], kind: Type, *, real: bool) -> Term | None:
    """The size of a value of which the sign is known; that of a selection is told by its sides.

    Terms of real numbers are elements of a field, of which no bit is a sign.
    """
    value = args[0] if op.name in _SIZES or op.attributes.get("symbol") in _SIZES else None
    if not isinstance(value, Term) or value.sizes is not None:
        return None
    low, high = floor_of(value), most_of(value)
    if low is not None and low >= 0.0:
        return value
    if real or high is None or high > 0.0:
        return None
    zero = float_constant(kind.element, 0.0)
    return Term(
        np.where(value.hashes == zero, zero, value.hashes ^ NEGATED),
        value.finite,
        positive=value.finite,
        numbers=value.numbers,
        poles=value.poles,
        least=-high,
    )


def joined_range(values: Sequence[Value]) -> tuple[float | None, float | None]:
    """The least and the most that any of several values is, as far as they are known."""
    floors = [end for end in map(floor_of, values) if end is not None]
    ends = [end for end in map(most_of, values) if end is not None]
    least = min(floors) if values and len(floors) == len(values) else None
    return least, max(ends) if values and len(ends) == len(values) else None


def settled_order(op: Operation, args: list[Value], *, finite: bool) -> Known | None:
    """A comparison that ranges decide: no square, and no NaN, is below zero.

    That one does hold takes numbers.
    """
    predicate = op.attributes["words"][0]
    if predicate not in ("olt", "ole", "ogt", "oge"):
        return None
    low, high = args if predicate in ("olt", "ole") else args[::-1]
    strict = predicate in ("olt", "ogt")
    numbers = all(_is_number(value, finite=finite) for value in args)
    if _is_never_above(most_of(high), floor_of(low), less=not strict):
        answer = False
    elif numbers and _is_never_above(most_of(low), floor_of(high), less=strict):
        answer = True
    else:
        return None
    shape = np.broadcast_shapes(*(as_words(value).shape for value in args))
    return Known(np.full(shape, int(answer), dtype=np.int64))


def _is_never_above(most: float | None, least: float | None, *, less: bool) -> bool:
    """Whether values up to one number are all below others from another number on, or no more."""
    if most is None or least is None:
        return False
    return most < least if less else most <= least


def with_range(op: Operation, args: list[Value], result: Term) -> Term:
    """The result of a function that keeps to a side of zero, or near it; or of a quotient."""
    name = str(op.attributes.get("symbol") or op.name)
    if name in _UP_TO_ONE:
        result = replace(result, least=-_SLACK, most=_SLACK)
    if name in _RISING:
        low, high = floor_of(args[0]), most_of(args[0])
        above, below = low is not None and low >= 0.0, high is not None and high <= 0.0
        return replace(
            result,
            least=0.0 if above else result.least,
            most=0.0 if below else result.most,
        )
    if name == "arith.negf" or (name == "arith.subf" and joined_range(args[:1]) == (0.0, 0.0)):
        low, high = floor_of(args[-1]), most_of(args[-1])
        least, most = (None if end is None else -end for end in (high, low))
        return replace(result, least=least, most=most)
    if name in ("arith.addf", "arith.subf"):
        return _sum_range(name, args, result)
    if name == "arith.mulf":
        return _product_range(args, result)
    if name in DIVISIONS:
        high, low = most_of(args[0]), floor_of(args[1])
        if high is not None and 0.0 <= high < math.inf and low is not None and low > 0.0:
            return replace(result, most=high / low * _SLACK)
    return result


def _sum_range(name: str, args: list[Value], result: Term) -> Term:
    """A sum of ranges: no number is rounded beyond what the end of the range is rounded to."""
    lows, highs = list(map(floor_of, args)), list(map(most_of, args))
    if name == "arith.subf":
        lows[1], highs[1] = (None if end is None else -end for end in (highs[1], lows[1]))
    least, most = _sum(lows), _sum(highs)
    if least is not None and (result.least is None or result.least < least):
        result = replace(result, least=least - abs(least) / _ROUNDED)
    return result if most is None else replace(result, most=most + abs(most) / _ROUNDED)


def _sum(ends: list[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    total = sum(known) if len(known) == len(ends) else math.nan
    return total if math.isfinite(total) else None


def _product_range(args: list[Value], result: Term) -> Term:
    """A product of which the sign is known; of two positive ones it is known elsewhere.

    What is well above zero stays so, times a constant that is.
    """
    least = _least_product(args)
    if least is not None:
        return replace(result, least=least)
    signs = []
    for value in args:
        low, high = floor_of(value), most_of(value)
        if low is not None and low >= 0.0:
            signs.append(1)
        elif high is not None and high <= 0.0:
            signs.append(-1)
    if len(signs) < len(args) or signs == [1, 1]:
        return result
    return replace(result, least=0.0) if signs == [-1, -1] else replace(result, most=0.0)


def _least_product(args: list[Value]) -> float | None:
    """Half of what a product of two that are well above zero is at least; see ``least_sum``."""
    floors = [floor_of(value) for value in args]
    product = math.prod(floor for floor in floors if floor is not None and floor > 0.0)
    known = all(floor is not None and floor > 0.0 for floor in floors)
    return product / 2.0 if known and math.isfinite(product) and product > _UNDERFLOWS else None


def _is_number(value: Value, *, finite: bool) -> bool:
    """Whether no element is NaN."""
    if not isinstance(value, Term):
        return False
    if value.constant is not None:
        return value.numbers
    return finite and value.finite and without_poles([value])
