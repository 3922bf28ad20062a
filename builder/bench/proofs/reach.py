"""Quotients by a maximum: ``x / (max|x| / c)`` is at most ``c``, so that clamps beyond do nothing.

That is how rows are quantised. Sums of sizes and roots of sums of squares bound so too, and what is
compared with a number beyond is not: a vector over its norm is at most one. Only finite numbers
that do not underflow are spoken of: a row without any, or of zeros alone, is kept from a division
by zero by another constant, which the maximum is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.poles import DIVISIONS, without_poles
from builder.bench.proofs.ranges import KEEPS_NAN, MAXIMA, MINIMA
from builder.bench.proofs.sets import MOST_WORDS
from builder.bench.proofs.sizes import size_words, square_words
from builder.bench.proofs.terms import (
    Known,
    Term,
    Value,
    Words,
    as_words,
    combined,
    float_constant,
    name_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Operation, Type

_ROUNDINGS = frozenset({"math.roundeven", "math.round", "math.rint"})
_LIBRARY_ROUNDINGS = frozenset({"__nv_nearbyintf", "__nv_rintf", "__nv_roundf"})
_ROOTS = frozenset({"math.sqrt", "tt.precise_sqrt"})
_LIBRARY_ROOTS = frozenset({"__nv_sqrtf"})
_SMALL = 2.0**-40
_SLACK = 2.0**-18
"""Beyond what three roundings to float32 come to."""


@dataclass(frozen=True, eq=False)
class Cover:
    """A term is at least ``factor`` times each of some terms; or ``factor`` over it, if inverted.

    Attributes:
        words: the terms of each element, along a last axis.
        factor: positive.
        inverted: the term is the reciprocal.
        squares: it is at least the roots of those terms.
        summed: it is a sum of them, or its root.
        nans: it is NaN if one of the terms is, which may be.
    """

    words: Words
    factor: float
    inverted: bool = False
    squares: bool = False
    summed: bool = False
    nans: bool = False

    def viewed(self, view: Callable[[Words], Words]) -> Cover:
        columns = np.moveaxis(self.words, -1, 0)
        return replace(self, words=np.stack([view(words) for words in columns], axis=-1))


@dataclass(frozen=True, eq=False)
class Reach:
    """No element exceeds a size.

    Attributes:
        inside: the elements of which that is known.
        bound: the size.
        nans: they may be NaN.
    """

    inside: npt.NDArray[np.bool_]
    bound: float
    nans: bool = False

    def viewed(self, view: Callable[[Any], Any]) -> Reach:
        return replace(self, inside=view(self.inside))


def with_reach(op: Operation, args: list[Value], result: Term, kind: Type) -> Term:
    """The result of an operation with what is known of its size."""
    if kind.element not in ("f32", "f64"):
        return result
    if op.name in _ROUNDINGS or op.attributes.get("symbol") in _LIBRARY_ROUNDINGS:
        reach = getattr(args[0], "reach", None)
        if reach is None:
            return result
        return replace(result, reach=replace(reach, bound=float(math.floor(reach.bound + 0.5))))
    if op.name in MAXIMA | MINIMA:
        return _clamped(op, args, result)
    if op.name == "arith.mulf" or op.name in DIVISIONS:
        return _scaled(op, args, result, kind.element)
    if op.name == "arith.addf":
        return _added(args, result)
    if op.name in _ROOTS or op.attributes.get("symbol") in _LIBRARY_ROOTS:
        return _root(args[0], result)
    return result


def cover_of_sum(value: Value, kind: Type, axis: int) -> Cover | None:
    """What a sum along an axis of numbers that are not below zero is at least: each of them.

    In any order, for rounding to nearest keeps what is no less than a number no less than it.
    """
    if kind.element not in ("f32", "f64") or not isinstance(value, Term):
        return None
    words = np.broadcast_to(value.hashes, (value.hashes.shape[0], *kind.shape))
    is_below = value.hashes == float_constant(kind.element, -math.inf)
    if not value.positive or bool(is_below.any()) or words.size > MOST_WORDS:
        return None
    nans = not value.finite or not without_poles([value])
    return Cover(np.moveaxis(words, axis, -1), 1.0, summed=True, nans=nans)


def never_beyond(op: Operation, args: list[Value]) -> Known | None:
    """A comparison that holds for no float: that what has a size is beyond it, or a NaN is."""
    predicate = op.attributes["words"][0]
    if predicate not in ("ogt", "oge", "olt", "ole"):
        return None
    greater, less = args if predicate in ("ogt", "oge") else args[::-1]
    for value, bound, sign in ((greater, less, 1.0), (less, greater, -1.0)):
        reach, number = getattr(value, "reach", None), _constant(bound)
        if reach is None or number is None or not bool(reach.inside.all()):
            continue
        if sign * number > reach.bound:
            shape = np.broadcast_shapes(*(as_words(value).shape for value in args))
            return Known(np.zeros(shape, dtype=np.int64))
    return None


def _added(args: list[Value], result: Term) -> Term:
    """What is added to a cover and is not below zero takes nothing from it."""
    for value, other in (args, args[::-1]):
        cover, least = _cover(value), floor_of(other)
        if cover is not None and not cover.inverted and least is not None and least >= 0.0:
            return replace(result, cover=cover)
    return result


def _root(value: Value, result: Term) -> Term:
    """The root of a cover is one of the roots; half of the least root leaves room for rounding."""
    cover, least = _cover(value), getattr(value, "least", None)
    if least is not None and least > 0.0:
        result = replace(result, least=math.sqrt(least) / 2.0)
    if cover is None or cover.inverted or cover.squares:
        return result
    return replace(result, cover=replace(cover, factor=math.sqrt(cover.factor), squares=True))


def _clamped(op: Operation, args: list[Value], result: Term) -> Term:
    """A maximum or minimum; with a constant that the other never comes to, it is the other."""
    covers = [value.cover for value in args if isinstance(value, Term) and value.cover]
    covers = [cover for cover in covers if not cover.nans or op.name in KEEPS_NAN]
    if covers and op.name in MAXIMA:
        result = replace(result, cover=covers[0])
    for constant, other in (args, args[::-1]):
        bound, reach = _constant(constant), getattr(other, "reach", None)
        if bound is None or reach is None or (reach.nans and op.name not in KEEPS_NAN):
            continue
        if -bound >= reach.bound if op.name in MAXIMA else bound >= reach.bound:
            assert isinstance(other, Term)
            hashes = np.where(reach.inside, other.hashes, result.hashes)
            return replace(result, hashes=hashes, parts=None, reach=reach)
    return result


def nothing_over(args: list[Value], element: str) -> npt.NDArray[np.bool_] | None:
    """Where a quotient is zero over a number that cannot be zero; over NaN it is NaN."""
    first, second = args
    if not isinstance(first, Term) or not isinstance(second, Term):
        return None
    if not second.finite or not without_poles([second]):
        return None
    if second.least is None or second.least <= 0.0:
        return None
    return np.asarray(first.hashes == float_constant(element, 0.0))


def _scaled(op: Operation, args: list[Value], result: Term, element: str) -> Term:
    """A cover times a constant, or a value over its cover."""
    first, second = args
    zero = nothing_over(args, element) if op.name in DIVISIONS else None
    if zero is not None:
        hashes = np.where(zero, float_constant(element, 0.0), result.hashes)
        result = replace(result, hashes=hashes)
    for value, other in ((first, second), (second, first)):
        number, cover = _constant(other), _cover(value)
        if number is None or number <= 0 or cover is None:
            continue
        if op.name == "arith.mulf" or value is first:
            factor = cover.factor * (number if op.name == "arith.mulf" else 1.0 / number)
            scaled = replace(result, cover=replace(cover, factor=factor))
            return scaled if factor >= _SMALL else result
        if not cover.inverted and not cover.squares and not cover.summed:
            return replace(result, cover=Cover(cover.words, number / cover.factor, inverted=True))
    is_product = op.name == "arith.mulf"
    for value, other in ((first, second), (second, first))[: 2 if is_product else 1]:
        cover = _cover(other)
        if cover is None or cover.inverted != is_product or not isinstance(value, Term):
            continue
        inside = _covered(cover, value, element)
        if inside is not None:
            bound = cover.factor if cover.inverted else 1.0 / cover.factor
            if cover.squares or cover.summed:
                bound = _beside_underflow(bound, other)
            return replace(result, reach=Reach(inside, bound * (1.0 + _SLACK), cover.nans))
    return result


def _beside_underflow(bound: float, divisor: Value) -> float:
    """The bound of a quotient by a sum that it is in, or by the root of one, of small numbers too.

    The square of a number that is at least ``_SMALL`` does not underflow, nor does it when it is
    multiplied by a factor that is at least that too; what is below ``_SMALL`` is at most that over
    the least divisor.
    """
    least = getattr(divisor, "least", None)
    return max(bound, _SMALL / least) if least is not None and least > 0.0 else math.inf


def _constant(value: Value) -> float | None:
    """The number that all elements are."""
    if not isinstance(value, Term) or value.constant is None or not value.constant.size:
        return None
    number = float(value.constant.flat[0])
    return number if bool((value.constant == number).all()) else None


def _cover(value: Value) -> Cover | None:
    if not isinstance(value, Term):
        return None
    if value.cover is None and value.parts is not None and value.parts.operation in MAXIMA:
        return Cover(value.parts.words, 1.0)
    return value.cover


def _covered(cover: Cover, value: Term, element: str) -> npt.NDArray[np.bool_] | None:
    """The elements whose sizes are among the terms of their row's cover; None if rows differ."""
    if cover.squares:
        sizes = square_words(value, element)
    else:
        name = name_hash("math.absf", repr([("words", [])]), element, element)
        sizes = combined(name, [size_words(value)])
    zero = float_constant(element, 0.0)
    sizes = np.where(value.hashes == zero, zero, sizes)
    rows = cover.words.shape[:-1]
    if len(rows) != sizes.ndim or (rows[-1] != 1 and sizes.shape[-1] != 1):
        return None
    shape = (*np.broadcast_shapes(rows[:-1], sizes.shape[:-1]), sizes.shape[-1])
    found = np.broadcast_to(sizes, shape).reshape(-1, shape[-1])
    terms = np.broadcast_to(cover.words[..., 0, :], (*shape[:-1], cover.words.shape[-1]))
    terms = terms.reshape(found.shape[0], -1)
    pairs = zip(found, terms, strict=True)
    inside = np.stack([np.isin(row, own) for row, own in pairs]).reshape(shape)
    return inside if bool(inside.any()) else None
