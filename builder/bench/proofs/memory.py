"""Memory that holds terms: what each element of each storage is, as an expression of the inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import bounds_of
from builder.bench.proofs.choice import has_infinity, select
from builder.bench.proofs.common_factors import Factor, product_of
from builder.bench.proofs.field import PRIME
from builder.bench.proofs.grains import Grain, stored_grain
from builder.bench.proofs.lanes import active, check_bounds, load_at, shape_of_lanes
from builder.bench.proofs.poles import is_masked, without_poles
from builder.bench.proofs.signs import is_zero
from builder.bench.proofs.stored_sets import StoredSets
from builder.bench.proofs.terms import (
    Address,
    Known,
    Term,
    Unprovable,
    Value,
    Words,
    as_words,
    combined,
    mixed,
    name_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.verify.declared import Bounds

_UNDEFINED = name_hash("undefined")


@dataclass(eq=False)
class Storage:
    """One storage.

    Attributes:
        label: what it is, ``input 0`` or ``allocation 3``.
        nbytes: its size.
        zero: whether it starts as zeros.
        cells: the term of each element, made at the first access.
        itemsize: bytes of an element.
        scattered: sum of the hashes of stores to addresses that depend on data.
        written: a kernel that runs now has stored to it.
        finite: nothing stored to it has an infinite constant behind it.
        masked: likewise, but for elements that are an infinite constant themselves.
        bounds: of the integers in it, the least and the greatest, if they are known.
        poles: something stored to it may be no number (``poles``).
        above_zero: nothing stored to it is zero or less, but for the constant zero.
        positive: nothing stored to it is below zero, but for the constant minus infinity.
        shared: of each element, a factor of it, what that times is one (``factors``), and the
            exponent of which it is the power.
        base: of these powers; None if a factor is none.
        extremes: all that is stored to it are extremes of real numbers along an axis.
        blank: nothing has been written to it yet, so that there is nothing to load.
        grain: how near zero the real numbers in it are (``grains``).
    """

    label: str
    nbytes: int
    zero: bool = False
    finite: bool = True
    masked: bool = True
    bounds: Bounds | None = None
    poles: bool = False
    above_zero: bool = False
    positive: bool = False
    shared: tuple[Words, ...] | None = None
    base: str | None = None
    extremes: bool = False
    blank: bool = False
    grain: Grain | None = None
    cells: Words | None = None
    itemsize: int = 0
    scattered: np.uint64 = field(default_factory=lambda: np.uint64(0))
    written: bool = False

    def at(self, itemsize: int) -> Words:
        """The cells, as elements of that size.

        Raises:
            Unprovable: they are known as elements of another size.
        """
        if self.cells is None:
            self.cells, self.itemsize = self._fresh(itemsize), itemsize
        if self.itemsize != itemsize:
            raise Unprovable("elements of two sizes in one storage")
        return self.cells

    def _fresh(self, itemsize: int) -> Words:
        count = self.nbytes // itemsize
        if self.zero:
            return np.full(count, name_hash("zero"))
        places = mixed(np.arange(count, dtype=np.uint64))
        return combined(name_hash("element", self.label), [places])

    def settle(self) -> None:
        """Ends a launch: stores to unknown addresses may be anywhere."""
        if self.scattered and self.cells is not None:
            self.cells = combined(name_hash("scattered"), [self.cells, np.full(1, self.scattered)])
        self.scattered = np.uint64(0)
        self.written = False


class Memory:
    """All storages of a run, with a log that takes back what a group of instances stored."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.sets = StoredSets()
        self._undo: list[Callable[[], None]] = []

    def add(self, storage: Storage) -> int:
        self.storages.append(storage)
        return len(self.storages) - 1

    def copy(self) -> Memory:
        """The memory between launches; what is stored to one is not in the other."""
        copied = Memory()
        copied.sets = self.sets.copy()
        for storage in self.storages:
            cells = None if storage.cells is None else storage.cells.copy()
            shared = storage.shared and tuple(words.copy() for words in storage.shared)
            copied.add(replace(storage, cells=cells, shared=shared))
        return copied

    def settle(self) -> None:
        for storage in self.storages:
            storage.settle()
        self._undo.clear()

    def mark(self) -> int:
        return len(self._undo)

    def take_back(self, mark: int) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()

    # -- operations ------------------------------------------------------------------------

    def load(self, address: Value, mask: Value | None, other: Value | None) -> Value:
        """What a load gives, lane by lane."""
        if not isinstance(address, Address):
            raise Unprovable("an address that was loaded")
        storage = self.storages[address.storage]
        cells = storage.at(address.itemsize)
        if storage.scattered:
            raise Unprovable("a load from where a store may have been")
        if isinstance(address.offset, Term):
            found = self._load_anywhere(storage, cells, address.offset)
        else:
            found = load_at(cells, address.offset, mask)
        is_masked_there = storage.masked and isinstance(address.offset, Known)
        is_finite = storage.finite or (is_masked_there and not has_infinity(found))
        loaded = Term(
            found,
            is_finite,
            positive=storage.positive and isinstance(address.offset, Known),
            numbers=is_finite or is_masked_there,
            masked=is_masked_there,
            bounds=storage.bounds,
            poles=storage.poles,
            above_zero=storage.above_zero and isinstance(address.offset, Known),
            common=_loaded_factors(storage, address.offset),
            shifts=_loaded_shifts(storage, cells, address.offset),
        )
        if mask is None:
            return loaded
        above_zero = loaded.above_zero and isinstance(mask, Known)
        # what a lane that loads nothing holds reaches no result, so it may be within the bounds
        undefined = np.full((1,) * found.ndim, _UNDEFINED)
        background = Term(undefined, positive=loaded.positive, bounds=storage.bounds)
        if other is not None:
            above_zero = above_zero and is_zero(other)
            background = Term(
                as_words(other),
                _is_finite(other),
                positive=_is_positive(other),
                bounds=bounds_of(other),
                poles=not without_poles([other]),
            )
        chosen = select(mask, loaded, background)
        if not isinstance(chosen, Term):
            return chosen
        return replace(chosen, above_zero=above_zero, common=loaded.common, shifts=loaded.shifts)

    @staticmethod
    def _load_anywhere(storage: Storage, cells: Words, offset: Term) -> Words:
        if storage.written:
            raise Unprovable("a load from where a store may have been")
        content = mixed(cells + mixed(np.arange(cells.size, dtype=np.uint64))).sum(dtype=np.uint64)
        return combined(name_hash("load"), [np.full(1, content), offset.hashes])

    def store(self, address: Value, value: Value, mask: Value | None, order: int) -> None:
        """Stores; ``order`` tells the stores of one instance apart where addresses are unknown."""
        value = _stored(value, mask)
        storage, cells = self._target(address, value)
        assert isinstance(address, Address)
        words = as_words(value)
        storage.above_zero = storage.above_zero or storage.blank
        storage.positive = storage.positive or storage.blank
        storage.positive &= _is_positive(value) and not isinstance(mask, Term)
        storage.extremes = (storage.extremes or storage.blank) and _is_extreme(value)
        storage.above_zero &= _is_above_zero(value) and not isinstance(mask, Term)
        self._widen_bounds(storage, value)
        if isinstance(address.offset, Term) or isinstance(mask, Term):
            storage.masked = storage.finite  # infinities are no constants of their own any more
        if isinstance(address.offset, Term):
            self._scatter(storage, ("store", order), [address.offset.hashes, words], mask)
            return
        places, lanes = active(address.offset, mask, words)
        check_bounds(places, cells.size)
        if isinstance(mask, Term):
            old = cells[places]
            conditions = np.broadcast_to(
                mask.hashes, shape_of_lanes(address.offset, mask, words)
            ).ravel()
            lanes = select_words(conditions, lanes, old)
        self._log_cells(cells, places)
        cells[places] = lanes
        _store_factors(storage, places, value, address.offset, mask)

    def atomic(self, kind: str, address: Value, value: Value, mask: Value | None) -> None:
        """An atomic whose result nobody uses: its operands add up in any order."""
        storage, cells = self._target(address, value)
        assert isinstance(address, Address)
        words = as_words(value)
        storage.bounds, storage.masked = None, storage.finite
        storage.above_zero, storage.positive = False, False
        storage.grain = None
        if isinstance(address.offset, Term) or isinstance(mask, Term):
            offset = as_words(address.offset)
            self._scatter(storage, ("atomic", kind), [offset, words], mask)
            return
        places, lanes = active(address.offset, mask, words)
        check_bounds(places, cells.size)
        self._log_cells(cells, places)
        np.add.at(cells, places, combined(name_hash("atomic", kind), [lanes]))

    @staticmethod
    def _widen_bounds(storage: Storage, value: Value) -> None:
        """What is stored may be loaded, and what was there before."""
        stored, before = bounds_of(value), storage.bounds
        storage.grain = stored_grain(value, storage.grain, blank=storage.blank)
        if storage.blank:
            storage.bounds = stored
        elif before is not None and stored is not None:
            storage.bounds = min(before[0], stored[0]), max(before[1], stored[1])
        else:
            storage.bounds = None
        storage.blank = False

    def _target(self, address: Value, value: Value) -> tuple[Storage, Words]:
        if not isinstance(address, Address):
            raise Unprovable("an address that was loaded")
        storage = self.storages[address.storage]
        before = storage.written

        def restore() -> None:
            storage.written = before

        self._undo.append(restore)
        storage.written = True
        storage.finite = storage.finite and _is_finite(value)
        storage.masked = storage.masked and (_is_finite(value) or is_masked(value))
        storage.poles = storage.poles or not without_poles([value])
        return storage, storage.at(address.itemsize)

    def _scatter(
        self, storage: Storage, name: tuple[object, ...], words: list[Words], mask: Value | None
    ) -> None:
        storage.above_zero, storage.positive = False, False
        lanes = combined(name_hash(*name), words)
        if isinstance(mask, Known):
            lanes = np.where(mask.data != 0, lanes, np.uint64(0))
        elif mask is not None:
            lanes = combined(name_hash("masked"), [lanes, as_words(mask)])
        before = storage.scattered

        def restore() -> None:
            storage.scattered = before

        self._undo.append(restore)
        storage.scattered = np.add(before, lanes.sum(dtype=np.uint64), dtype=np.uint64)

    def _log_cells(self, cells: Words, places: np.ndarray) -> None:
        old = cells[places]

        def restore() -> None:
            cells[places] = old

        self._undo.append(restore)


def _is_finite(value: Value) -> bool:
    return isinstance(value, Known) or (isinstance(value, Term) and value.finite)


def _stored(value: Value, mask: Value | None) -> Value:
    """A value of which lanes that are not stored may be infinite constants."""
    if not isinstance(value, Term) or value.finite or not value.masked:
        return value
    if not isinstance(mask, Known):
        return value
    words, is_stored = np.broadcast_arrays(value.hashes, mask.data != 0)
    return value if has_infinity(words[is_stored]) else replace(value, finite=True)


def _is_above_zero(value: Value) -> bool:
    return isinstance(value, Term) and value.above_zero


def _is_positive(value: Value) -> bool:
    return isinstance(value, Term) and value.positive


def _is_extreme(value: Value) -> bool:
    return isinstance(value, Term) and value.extreme


def _loaded_factors(storage: Storage, offset: Known | Term) -> tuple[Factor, ...]:
    """The factor that was stored with each element; another would do as well.

    So it does in lanes that load nothing: they have that of where they would have loaded.
    """
    if storage.shared is None or isinstance(offset, Term):
        return ()
    words, inverse, exponents = (_anywhere_near(cells, offset) for cells in storage.shared)
    exponent = None if storage.base is None else (storage.base, exponents)
    return (Factor(words, inverse, exponent),)


def _loaded_shifts(storage: Storage, cells: Words, offset: Known | Term) -> tuple[Words, ...]:
    """An extreme has been added itself; any other number would do as well."""
    is_number = storage.finite and not storage.poles
    if not storage.extremes or not is_number or isinstance(offset, Term):
        return ()
    return (_anywhere_near(cells, offset) % PRIME,)


def _anywhere_near(cells: Words, offset: Known) -> Words:
    """What is there, or in the nearest cell."""
    if not cells.size:
        return np.ones(offset.data.shape, dtype=np.uint64)
    return cells[np.clip(offset.data, 0, cells.size - 1)]


def _store_factors(
    storage: Storage, places: np.ndarray, value: Value, offset: Known, mask: Value | None
) -> None:
    """The factor of each element that is stored; that of one without is one, not that before."""
    common = value.common if isinstance(value, Term) else ()
    if storage.cells is None or not (common or storage.shared is not None):
        return
    one, zero = np.ones(1, dtype=np.uint64), np.zeros(1, dtype=np.uint64)
    factor = product_of(common) if common else Factor(one, one)
    base, exponents = factor.exponent or (None, zero)
    if storage.shared is None:
        ones = np.ones_like(storage.cells)
        storage.shared, storage.base = (ones, ones.copy(), np.zeros_like(ones)), base
    if common:
        storage.base = storage.base if storage.base == base else None
    stored = (factor.words, factor.inverse, exponents)
    shape = shape_of_lanes(offset, mask, as_words(value))
    chosen = np.broadcast_to(mask.data != 0, shape) if isinstance(mask, Known) else ...
    for cells, words in zip(storage.shared, stored, strict=True):
        cells[places] = np.broadcast_to(words, shape)[chosen].ravel()


def select_words(condition: Words, left: Words, right: Words) -> Words:
    """Terms of a selection by a condition that is a term."""
    return as_words(select(Term(condition), Term(left), Term(right)))
