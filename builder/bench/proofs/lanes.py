"""Which elements the lanes of a load or a store are of."""

from __future__ import annotations

import numpy as np

from builder.bench.proofs.terms import Known, Term, Unprovable, Value, Words


def shape_of_lanes(offset: Known, mask: Value | None, words: Words) -> tuple[int, ...]:
    shapes = [offset.data.shape, words.shape]
    if isinstance(mask, Known):
        shapes.append(mask.data.shape)
    elif isinstance(mask, Term):
        shapes.append(mask.hashes.shape)
    return np.broadcast_shapes(*shapes)


def active(offset: Known, mask: Value | None, words: Words) -> tuple[np.ndarray, Words]:
    """Element numbers and terms of the lanes that store."""
    shape = shape_of_lanes(offset, mask, words)
    places = np.broadcast_to(offset.data, shape).ravel()
    lanes = np.broadcast_to(words, shape).ravel()
    if isinstance(mask, Known):
        chosen = np.broadcast_to(mask.data != 0, shape).ravel()
        return places[chosen], lanes[chosen]
    return places, lanes


def load_at(cells: Words, offset: Known, mask: Value | None) -> Words:
    places = offset.data
    if isinstance(mask, Known):
        places = np.where(mask.data != 0, places, 0)
    if isinstance(mask, Term):
        places = np.clip(places, 0, max(cells.size - 1, 0))
    check_bounds(places, cells.size)
    found: Words = cells[places] if cells.size else np.zeros(places.shape, dtype=np.uint64)
    return found


def check_bounds(places: np.ndarray, size: int) -> None:
    """Raises:
    Unprovable: an access outside of the storage.
    """
    if places.size and size and (int(places.min()) < 0 or int(places.max()) >= size):
        raise Unprovable("an access outside of the storage")
