"""Quotients by a maximum: ``x / (max|x| / c)`` is at most ``c``, so that clamps beyond do nothing.

That is how rows are quantised. Only finite numbers that do not underflow are spoken of: a row
without any, or of zeros alone, is kept from a division by zero by another constant, which the
maximum is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.poles import DIVISIONS
from builder.bench.proofs.sizes import size_words
from builder.bench.proofs.terms import Term, Value, Words, combined, float_constant, name_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Operation, Type

_MAXIMA = frozenset({"arith.maximumf", "arith.maxnumf"})
_MINIMA = frozenset({"arith.minimumf", "arith.minnumf"})
_ROUNDINGS = frozenset({"math.roundeven", "math.round", "math.rint"})
_LIBRARY_ROUNDINGS = frozenset({"__nv_nearbyintf", "__nv_rintf", "__nv_roundf"})
_SLACK = 2.0**-18
"""Beyond what three roundings to float32 come to."""


@dataclass(frozen=True, eq=False)
class Cover:
    """A term is at least ``factor`` times each of some terms; or ``factor`` over it, if inverted.

    Attributes:
        words: the terms of each element, along a last axis.
        factor: positive.
        inverted: the term is the reciprocal.
    """

    words: Words
    factor: float
    inverted: bool = False

    def viewed(self, view: Callable[[Words], Words]) -> Cover:
        columns = np.moveaxis(self.words, -1, 0)
        return replace(self, words=np.stack([view(words) for words in columns], axis=-1))


@dataclass(frozen=True, eq=False)
class Reach:
    """No element exceeds a size.

    Attributes:
        inside: the elements of which that is known.
        bound: the size.
    """

    inside: npt.NDArray[np.bool_]
    bound: float

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
    if op.name in _MAXIMA | _MINIMA:
        return _clamped(op, args, result)
    if op.name == "arith.mulf" or op.name in DIVISIONS:
        return _scaled(op, args, result, kind.element)
    return result


def _clamped(op: Operation, args: list[Value], result: Term) -> Term:
    """A maximum or minimum; with a constant that the other never comes to, it is the other."""
    covers = [value.cover for value in args if isinstance(value, Term) and value.cover]
    if covers and op.name in _MAXIMA:
        result = replace(result, cover=covers[0])
    for constant, other in (args, args[::-1]):
        bound, reach = _constant(constant), getattr(other, "reach", None)
        if bound is None or reach is None:
            continue
        if -bound >= reach.bound if op.name in _MAXIMA else bound >= reach.bound:
            assert isinstance(other, Term)
            hashes = np.where(reach.inside, other.hashes, result.hashes)
            return replace(result, hashes=hashes, parts=None, reach=reach)
    return result


def nothing_over(args: list[Value], element: str) -> npt.NDArray[np.bool_] | None:
    """Where a quotient is zero over what cannot be zero."""
    first, second = args
    if not isinstance(first, Term) or not isinstance(second, Term):
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
        if op.name == "arith.mulf":
            return replace(result, cover=replace(cover, factor=cover.factor * number))
        if value is first:
            return replace(result, cover=replace(cover, factor=cover.factor / number))
        if not cover.inverted:
            return replace(result, cover=Cover(cover.words, number / cover.factor, inverted=True))
    is_product = op.name == "arith.mulf"
    for value, other in ((first, second), (second, first))[: 2 if is_product else 1]:
        cover = _cover(other)
        if cover is None or cover.inverted != is_product or not isinstance(value, Term):
            continue
        inside = _covered(cover, value, element)
        if inside is not None:
            bound = cover.factor if cover.inverted else 1.0 / cover.factor
            return replace(result, reach=Reach(inside, bound * (1.0 + _SLACK)))
    return result


def _constant(value: Value) -> float | None:
    """The number that all elements are."""
    if not isinstance(value, Term) or value.constant is None or not value.constant.size:
        return None
    number = float(value.constant.flat[0])
    return number if bool((value.constant == number).all()) else None


def _cover(value: Value) -> Cover | None:
    if not isinstance(value, Term):
        return None
    if value.cover is None and value.parts is not None and value.parts.operation in _MAXIMA:
        return Cover(value.parts.words, 1.0)
    return value.cover


def _covered(cover: Cover, value: Term, element: str) -> npt.NDArray[np.bool_] | None:
    """The elements whose sizes are among the terms of their row's cover; None if rows differ."""
    name = name_hash("math.absf", repr([("words", [])]), element, element)
    sizes = combined(name, [size_words(value)])
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
