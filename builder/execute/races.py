"""Finds accesses of different program instances to one element that nothing orders.

Shadows lie over a buffer: for each element which instance wrote it, read it, or updated it
atomically during this launch.  In a shadow 0 is nobody, ``n + 1`` is instance ``n``, and ``MANY``
is several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from builder.execute.words import (
    are_same,
    gather,
    is_distinct,
    numbers_of,
    put,
    span,
    widened,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.memory import Buffer
    from builder.execute.provenance import ArgumentUse
    from builder.execute.sync import Order
    from builder.execute.words import Array, Selection

MANY = -1
_MOST_PENDING = 1024


class Shadow:
    """One instance an element.

    Args:
        entries: number of elements.
        order: what atomics have ordered; None where the kernel has none that do.
    """

    def __init__(self, entries: int, order: Order | None) -> None:
        self._entries = entries
        self._owners: Array | None = None
        self._pending: list[_Entry] = []
        self._order = order
        self.times = np.zeros(entries, dtype=np.int32) if order is not None else None

    @property
    def owners(self) -> Array:
        """One id an element; what is pending is entered first."""
        if self._owners is None:
            self._owners = np.zeros(self._entries, dtype=np.int32)
            for entry in self._pending:
                self._enter(entry.selection, entry.ids)
            self._pending.clear()
        return self._owners

    def is_clear(self, selection: Selection, ids: Array) -> bool:
        """Whether it is plain, without a look at the elements, that another instance has none."""
        if self._owners is not None or self._order is not None:
            return False
        low, high = span(selection)
        return all(
            high <= entry.low or entry.high <= low or entry.is_by(selection, ids)
            for entry in self._pending
        )

    def conflicts(self, selection: Selection, ids: Array) -> Array:
        """Which of the elements another instance has, at no time before now."""
        owners = gather(self.owners, selection)
        mask: Array = (owners != 0) & ((owners != ids) | (ids == MANY))
        if self._order is None or self.times is None or not mask.any():
            return mask
        lanes = np.flatnonzero(mask)
        times = gather(self.times, selection)[lanes]
        settled = self._order.ordered(owners[lanes], times, ids[lanes])
        mask[lanes[settled]] = False
        return mask

    def enter(self, selection: Selection, ids: Array) -> None:
        """Add ids.  An instance that came before now gives way, others become MANY."""
        if self._owners is None and self._order is None and len(self._pending) < _MOST_PENDING:
            low, high = span(selection)
            if any(entry.is_by(selection, ids) for entry in self._pending):
                return
            if all(high <= entry.low or entry.high <= low for entry in self._pending):
                self._pending.append(_Entry(low, high, selection, ids))
                return
        self._enter(selection, ids)

    def _enter(self, selection: Selection, ids: Array) -> None:
        shadow = self.owners
        before = gather(shadow, selection)
        mixed = (before != 0) & (before != ids)
        if self._order is not None and mixed.any():
            mixed &= self.conflicts(selection, ids)
        after = np.where(mixed, np.int32(MANY), ids)
        put(shadow, selection, after)
        if not is_distinct(selection):
            lost = gather(shadow, selection) != after
            if lost.any():
                shadow[numbers_of(selection)[lost]] = MANY
        if self.times is not None and self._order is not None:
            put(self.times, selection, self._order.now)


@dataclass(frozen=True, eq=False)
class _Entry:
    """Elements from ``low`` to below ``high`` that instances have, not entered one by one."""

    low: int
    high: int
    selection: Selection
    ids: Array

    def is_by(self, selection: Selection, ids: Array) -> bool:
        """Whether it is the same elements of the same instances, each element of one."""
        if not (is_distinct(selection) and are_same(selection, self.selection)):
            return False
        same = ids is self.ids or np.array_equal(ids, self.ids)
        return same and not (ids == MANY).any()


class Races:
    """The shadows of one buffer.

    Args:
        buffer: the buffer.
        use: what the kernel does to it; decides which shadows are needed.
        order: what atomics have ordered, where the kernel has any that do.
    """

    def __init__(self, buffer: Buffer, use: ArgumentUse, order: Order | None) -> None:
        self._buffer = buffer
        self._granule = use.itemsize
        self._order = order
        self._writers = self._shadow(wanted=use.written)
        self._readers = self._shadow(wanted=use.read and (use.written or use.atomic))
        self._atomics = self._shadow(wanted=use.atomic and (use.read or use.written))

    def _shadow(self, *, wanted: bool) -> Shadow | None:
        return Shadow(self._buffer.nbytes // self._granule, self._order) if wanted else None

    def _spread(
        self, selection: Selection, itemsize: int, ids: Array
    ) -> tuple[Selection, Array, int]:
        """Shadow entries and ids of elements that may span several entries."""
        factor = itemsize // self._granule
        if factor == 1:
            return selection, ids, 1
        return widened(selection, factor), np.repeat(ids, factor), factor

    def read(self, selection: Selection, itemsize: int, ids: Array) -> int | None:
        """Enter a read; the first lane that reads what another instance writes."""
        if self._readers is None:
            return None
        entries, wide, factor = self._spread(selection, itemsize, ids)
        others = (self._writers, self._atomics)
        wrong = None
        if not _all_clear(others, entries, wide):
            wrong = self._against(others, entries, wide)
        self._readers.enter(entries, wide)
        return None if wrong is None else _first(wrong, factor)

    def write(self, selection: Selection, itemsize: int, ids: Array, words: Array) -> int | None:
        """Write ``words`` and enter it.

        Returns:
            The first lane whose element another instance reads, or to which another instance, or
            another lane, writes a different value.
        """
        memory = self._buffer.words(itemsize)
        if self._writers is None:
            put(memory, selection, words)
            return None
        entries, wide, factor = self._spread(selection, itemsize, ids)
        wrong: Array | None = None
        if not _all_clear((self._writers, self._readers, self._atomics), entries, wide):
            wrong = self._overwritten(entries, wide, factor, gather(memory, selection) != words)
        put(memory, selection, words)
        self._writers.enter(entries, wide)
        if not is_distinct(selection):
            lost = gather(memory, selection) != words
            wrong = lost if wrong is None else wrong | lost
        return None if wrong is None else _first(wrong, 1)

    def _overwritten(self, entries: Selection, ids: Array, factor: int, changed: Array) -> Array:
        """Where another instance reads the element, or wrote what is now changed."""
        assert self._writers is not None
        wrong = _by_element(self._writers.conflicts(entries, ids), factor) & changed
        if self._readers is not None or self._atomics is not None:
            others = self._against((self._readers, self._atomics), entries, ids)
            wrong |= _by_element(others, factor)
        return wrong

    def update(self, selection: Selection, itemsize: int, ids: Array) -> int | None:
        """Enter an atomic; the first lane whose element another instance uses without one."""
        if self._atomics is None:
            return None
        entries, wide, factor = self._spread(selection, itemsize, ids)
        wrong = self._against((self._readers, self._writers), entries, wide)
        self._atomics.enter(entries, wide)
        return _first(wrong, factor)

    def _against(
        self, shadows: tuple[Shadow | None, Shadow | None], entries: Selection, ids: Array
    ) -> Array:
        wrong = np.zeros(ids.shape, dtype=bool)
        for shadow in shadows:
            if shadow is not None:
                found = shadow.conflicts(entries, ids)
                if shadow is self._atomics and self._order is not None:
                    found = found & (gather(shadow.owners, entries) != MANY)
                wrong[found] = True
        return wrong


def _all_clear(shadows: Sequence[Shadow | None], entries: Selection, ids: Array) -> bool:
    return all(shadow is None or shadow.is_clear(entries, ids) for shadow in shadows)


def _by_element(wrong: Array, factor: int) -> Array:
    if factor == 1:
        return wrong
    joined: Array = np.asarray(wrong.reshape(-1, factor).any(axis=1))
    return joined


def _first(wrong: Array, factor: int) -> int | None:
    found = np.flatnonzero(wrong)
    return int(found[0]) // factor if found.size else None
