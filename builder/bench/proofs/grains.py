"""Real numbers that are zero or well away from it, and norms of such, kept from zero by an epsilon.

Numbers of half precision are multiples of 2**-24, and so are their sums, and products with
integers; what divides such by no more than some number leaves them zero or beyond a gap.  Squares
of such numbers have a gap, sums of squares, which do not cancel, the same one, and roots its root.

So a norm ``n`` with a gap that is beyond ``eps`` is either zero or ``max(n, eps)`` itself.  What is
zero wherever ``n`` is, as is each number of which a square is among those that ``n`` sums, is over
``max(n, eps)`` what it is times ``r(n)``, where ``r`` is one over a number, and zero of zero: if
``n`` is zero, both are.  For a positive ``k``, ``r(k y)`` is ``r(y) / k``, so that a normalisation
does not depend on factors that a row shares, which ``max(n, eps)`` alone does.

Gaps are computed in floats; that rounds by far less than the half that is left.  What is stored
between kernels has a gap only as a float of 32 bits, with which no other type is confused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.common_factors import divided, merged_factors
from builder.bench.proofs.field import PRIME, field_elements, field_product, with_constants
from builder.bench.proofs.poles import DIVISIONS, without_poles
from builder.bench.proofs.positives import CASTS
from builder.bench.proofs.ranges import MAXIMA, MINIMA
from builder.bench.proofs.terms import Term, Value, Words, combined, name_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.execute.ir import Function, Operation, Type

_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})
_FROM_INTEGER = frozenset({"arith.uitofp", "arith.sitofp"})
_SUMS = frozenset({"arith.addf", "arith.subf"})
_KEEPS = frozenset({"arith.negf", "math.absf"}) | CASTS
_ROOTS = frozenset({"math.sqrt", "tt.precise_sqrt"})
_LEAST_GAP = 2.0**-500
"""Of which the square is no float that is rounded by more than others."""


@dataclass(frozen=True, eq=False)
class Grain:
    """How near zero real numbers are.

    Attributes:
        gap: each is zero or of at least this size.
        most: none is of a greater size.
        multiples: they are multiples of the gap, which is a power of two.
        zeros: along a last axis, elements of the field that are all zero where a number is.
        guarded: a number with a gap, of which this one is the maximum with less than that.
    """

    gap: float
    most: float
    multiples: bool = False
    zeros: Words | None = None
    guarded: Term | None = None

    def viewed(
        self, columns: Callable[[Words], Words], of_value: Callable[[Value], Value]
    ) -> Grain:
        guarded = self.guarded and of_value(self.guarded)
        assert guarded is None or isinstance(guarded, Term)
        zeros = None if self.zeros is None else columns(self.zeros)
        return replace(self, zeros=zeros, guarded=guarded)


GIVEN = Grain(0.0, math.inf)
"""Of a storage that holds what it was given: floats of the type that they are loaded as."""
_HALVES = Grain(2.0**-24, 65504.0, multiples=True)


def joined_grain(grains: Sequence[Grain | None]) -> Grain | None:
    """That of what may be any of several; multiples of one power of two are of a lesser one."""
    known = [grain for grain in grains if grain is not None and grain is not GIVEN]
    if not known or len(known) < len(grains):
        return None
    multiples = all(grain.multiples for grain in known)
    return Grain(min(g.gap for g in known), max(g.most for g in known), multiples)


def grain_of(value: Value) -> Grain | None:
    """That of a value; a constant has one if all are integers."""
    if not isinstance(value, Term) or not value.finite or not without_poles([value]):
        return None
    constant = value.constant
    if constant is None:
        return value.grain
    is_integer = bool((constant == np.floor(constant)).all())
    most = float(np.abs(constant).max(initial=0.0))
    return Grain(1.0, most, multiples=True) if is_integer else None


def chosen_grain(args: list[Value]) -> Grain | None:
    """That of a selection, of which the first operand is the condition."""
    return joined_grain([grain_of(value) for value in args[1:]])


def stored_grain(value: Value, held: Grain | None, *, blank: bool) -> Grain | None:
    """That of a storage that holds a value besides what it held, which is nothing if blank."""
    return joined_grain([grain_of(value)] if blank else [held, grain_of(value)])


def loaded_grain(loaded: Value, held: Grain | None, other: Value | None, element: str) -> Value:
    """What is loaded as floats of a type from a storage, with its grain."""
    grain = held if held is not GIVEN and element == "f32" else None
    if held is GIVEN and element == "f16":
        grain = _HALVES
    if not isinstance(loaded, Term) or grain is None:
        return loaded
    return replace(
        loaded, grain=joined_grain([grain] if other is None else [grain, grain_of(other)])
    )


def summed_grain(value: Term, words: Words, axis: int) -> Grain | None:
    """That of sums along an axis of numbers, which are elements of the field."""
    grain = grain_of(value)
    if grain is None or not (grain.multiples or value.positive):
        return None
    zeros = np.moveaxis(words, axis, -1) if value.positive else None
    return Grain(grain.gap, grain.most * words.shape[axis], grain.multiples, zeros)


def with_grain(
    function: Function, op: Operation, args: list[Value], made: Term, kind: Type
) -> Term:
    """The result of an operation on real numbers, with its grain; quotients by a norm, by it."""
    if kind.element not in _FLOATS or not made.finite or not without_poles([made]):
        return made
    name = str(op.attributes.get("symbol") or op.name)
    if name in _FROM_INTEGER:
        is_bit = function.types[op.operands[0]].bits == 1
        return replace(made, grain=Grain(1.0, 1.0 if is_bit else math.inf, multiples=True))
    if name in DIVISIONS:
        made = _over_guarded(args, made, kind.element)
    grain = _guarded(args) if name in MAXIMA else None
    grain = grain or _result(name, [grain_of(value) for value in args])
    return made if grain is None or grain.gap < _LEAST_GAP else replace(made, grain=grain)


def _result(name: str, grains: list[Grain | None]) -> Grain | None:
    known = [grain for grain in grains if grain is not None]
    if not known or len(known) < len(grains):
        return None
    first, last = known[0], known[-1]
    if name in _KEEPS:
        return replace(first, guarded=None)
    if name in _ROOTS:
        return Grain(math.sqrt(first.gap), math.sqrt(first.most), zeros=first.zeros)
    if name in MAXIMA | MINIMA:
        return joined_grain(grains)
    if name == "arith.mulf":
        multiples = first.multiples and last.multiples
        return Grain(first.gap * last.gap, _times(first.most, last.most), multiples)
    if name in DIVISIONS and last.most:
        return Grain(first.gap / last.most, first.most / last.gap)
    joined = joined_grain(grains)
    if name not in _SUMS or joined is None or not joined.multiples:
        return None
    return replace(joined, most=first.most + last.most)


def _times(one: float, other: float) -> float:
    return one * other if one and other else 0.0


def _guarded(args: list[Value]) -> Grain | None:
    """That of a maximum of what is never below zero with less than its gap."""
    for value, other in (args, args[::-1]):
        grain, constant = grain_of(value), getattr(other, "constant", None)
        floor = floor_of(value)
        if grain is None or grain.zeros is None or constant is None or floor is None:
            continue
        least, most = float(constant.min()), float(constant.max())
        if floor >= 0.0 and least > 0.0 and most <= grain.gap / 2.0:
            assert isinstance(value, Term)
            return Grain(least, max(grain.most, most), guarded=value)
    return None


def _over_guarded(args: list[Value], made: Term, element: str) -> Term:
    """A quotient by the maximum of a norm; where that is zero what is divided is, or no rule."""
    dividend, divisor = args
    grain = grain_of(divisor)
    norm = grain.guarded if grain is not None else None
    if norm is None or norm.grain is None or norm.grain.zeros is None:
        return made
    if not isinstance(dividend, Term) or not dividend.finite or not without_poles([dividend]):
        return made
    words = field_elements(dividend, element)
    told = _are_among(field_product(words, words), norm.grain.zeros)
    rest = divided(field_elements(norm, element), norm.common)
    inverse = combined(name_hash("inverse or zero"), [rest]) % PRIME
    quotient = with_constants(divided(field_product(words, inverse), norm.common), element)
    common = merged_factors([*dividend.common, *(factor.inverted for factor in norm.common)])
    hashes = np.where(told, quotient, made.hashes)
    return replace(made, hashes=hashes, common=common if bool(told.any()) else made.common)


def _are_among(words: Words, rows: Words) -> np.ndarray:
    """Whether elements are in the row of words along a last axis that is theirs."""
    places = np.arange(rows[..., 0].size, dtype=np.uint64).reshape(rows.shape[:-1])
    name = name_hash("in row")
    return np.isin(combined(name, [words, places]), combined(name, [rows, places[..., None]]))
