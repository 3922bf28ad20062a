"""Indices of the least or greatest of several values, as sets of candidates.

Pairs of a value and an index have an order: by value, NaN before everything, then by index.  The
first of some pairs in an order depends on neither their order, nor their grouping, nor on
repetition, so that its index is told by the set of them: a block of a loop that is read twice
changes nothing.  A pair that no other comes after, such as plus infinity with the largest integer
among least values, is left out beside others.  As in ``sets``, which of a positive and a
negative zero is taken is left aside; they compare equal, so no index depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import joined_bounds
from builder.bench.proofs.sets import (
    MOST_WORDS,
    packed_places,
    padded,
    set_words,
    union_words,
)
from builder.bench.proofs.terms import (
    Term,
    Value,
    Words,
    as_words,
    combined,
    constant_words,
    float_constant,
    name_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Type

_UNTOLD = name_hash("the value of an index")
LEAST, GREATEST = "arith.minimumf", "arith.maximumf"


@dataclass(frozen=True)
class Order:
    """An order of pairs.

    Attributes:
        operation: what the value of the first is of the values, ``LEAST`` or ``GREATEST``.
        low: of pairs with equal values, that with the lower index is first.
        value: the type of values, without a shape.
        index: the type of indices.
    """

    operation: str
    low: bool
    value: Type
    index: Type

    @property
    def name(self) -> np.uint64:
        return name_hash("order", self.operation, self.low, self.value.element, self.index.element)

    @property
    def last(self) -> np.uint64:
        """The pair that no other comes after."""
        infinity = float("inf") if self.operation == LEAST else float("-inf")
        limit = 1 << (self.index.bits - 1)
        number = np.full(1, limit - 1 if self.low else -limit, dtype=np.int64)
        value = np.full(1, float_constant(self.value.element, infinity))
        return np.uint64(self.joined(value, constant_words(number))[0])

    def joined(self, values: Words, indices: Words) -> Words:
        return combined(self.name, [values, indices])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Candidates, the first of which an index belongs to.

    Attributes:
        order: in which it is the first.
        values: the terms of the candidates of each element, along a last axis.
        indices: likewise.
    """

    order: Order
    values: Words
    indices: Words

    def viewed(self, view: Callable[[Words], Words]) -> Pairs:
        values, indices = (
            np.stack([view(words) for words in np.moveaxis(side, -1, 0)], axis=-1)
            for side in (self.values, self.indices)
        )
        return replace(self, values=values, indices=indices)


def candidates(order: Order, value: Words, index: Value) -> Pairs:
    """The candidates that a pair is the first of.

    An index that has candidates is that of the first of them; the pair is that first where the
    value is the extreme of their values.  Elsewhere it is the only candidate.

    Args:
        order: of the pairs.
        value: the terms of values.
        index: their indices.
    """
    words = as_words(index)
    alone = Pairs(order, value[..., None], words[..., None])
    pairs = index.pairs if isinstance(index, Term) else None
    if pairs is None or pairs.order != order:
        return alone
    fits = union_words(order.operation, order.value, pairs.values) == value
    return _where(fits, pairs, alone)


def first_of(order: Order, sides: list[Pairs], indices: list[Value]) -> Term:
    """The index of the first of all candidates; ``indices`` are those it is one of."""
    level = [_level(pairs) for pairs in sides]
    shape = np.broadcast_shapes(*(values.shape[:-1] for values, _ in level))
    values, places = (
        np.concatenate([np.broadcast_to(w, (*shape, w.shape[-1])) for w in words], axis=-1)
        for words in zip(*level, strict=True)
    )
    return _first(Pairs(order, values, places), indices)


def first_along(pairs: Pairs, index: Value, shape: tuple[int, ...], axis: int) -> Term:
    """The index of the first candidate along an axis of the array; ``shape`` is the block's."""
    values, indices = (
        np.moveaxis(np.broadcast_to(s, (s.shape[0], *shape, s.shape[-1])), axis, -2)
        for s in _level(pairs)
    )
    flat = [side.reshape(*side.shape[:-2], -1) for side in (values, indices)]
    return _first(Pairs(pairs.order, *flat), [index])


def chosen_pairs(takes: np.ndarray, left: Value, right: Value) -> Pairs | None:
    """The candidates after a selection, lane by lane, by a condition that is known.

    An index without candidates belongs to one pair, whose value nothing tells here.
    """
    known = [side.pairs for side in (left, right) if isinstance(side, Term) and side.pairs]
    orders = {pairs.order for pairs in known}
    if len(orders) != 1:
        return None
    order = orders.pop()
    chosen = _where(takes, _pairs(order, left), _pairs(order, right))
    return chosen if chosen.values.size <= MOST_WORDS else None


def _pairs(order: Order, index: Value) -> Pairs:
    if isinstance(index, Term) and index.pairs is not None:
        return index.pairs
    words = as_words(index)[..., None]
    return Pairs(order, np.full(words.shape, _UNTOLD), words)


def _where(takes: np.ndarray, left: Pairs, right: Pairs) -> Pairs:
    sides = [_level(pairs) for pairs in (left, right)]
    count = max(side[0].shape[-1] for side in sides)
    ours, theirs = ([padded(words, count) for words in side] for side in sides)
    both = zip(ours, theirs, strict=True)
    return Pairs(left.order, *(np.where(takes[..., None], a, b) for a, b in both))


def _level(pairs: Pairs) -> tuple[Words, Words]:
    """Values and indices of one shape."""
    values, indices = np.broadcast_arrays(pairs.values, pairs.indices)
    return values, indices


def _first(pairs: Pairs, indices: list[Value]) -> Term:
    """The index of the first; ``pairs`` have values and indices of one shape."""
    order = pairs.order
    joined = order.joined(pairs.values, pairs.indices)
    places = np.argsort(joined, axis=-1)
    joined = np.take_along_axis(joined, places, axis=-1)
    packed = packed_places(joined, [order.last])
    if packed is not None:
        places = np.take_along_axis(places, packed, axis=-1)
        joined = np.take_along_axis(joined, packed, axis=-1)
    values, numbers = (
        np.take_along_axis(words, places, axis=-1) for words in (pairs.values, pairs.indices)
    )
    is_single = (joined == joined[..., :1]).all(axis=-1)
    several = set_words("first", order.value.element, joined)
    return Term(
        np.where(is_single, numbers[..., 0], several),
        bounds=joined_bounds(*indices),
        pairs=Pairs(order, values, numbers) if values.size <= MOST_WORDS else None,
    )
