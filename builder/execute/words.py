"""Memory as integers of an element's size, and selections of elements."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

WORDS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}

Array = np.ndarray[Any, Any]
_SHORTEST_ROW = 8
_LOOK_AHEAD = 4096


class Rows:
    """Runs of ``width`` consecutive elements each, as the rows of a tile are.

    Args:
        firsts: first element of each, int64.
        width: elements of each.
    """

    def __init__(self, firsts: Array, width: int) -> None:
        self.firsts = firsts
        self.width = width

    @cached_property
    def numbers(self) -> Array:
        """Element by element."""
        numbers: Array = self.firsts[:, None] + np.arange(self.width)
        return numbers.reshape(-1)

    @cached_property
    def step(self) -> int:
        """The distances of the rows are multiples of it."""
        return int(np.gcd.reduce(self.firsts - self.firsts[0])) or self.width

    @cached_property
    def is_distinct(self) -> bool:
        """Whether no two rows share an element, as far as that is plain."""
        return self.step >= self.width and np.unique(self.firsts).size == self.firsts.size

    def of(self, array: Array) -> tuple[Array, Array] | None:
        """A view of the array whose rows these are among, and which; None if rows may overlap."""
        if self.step < self.width:
            return None
        low = int(self.firsts.min())
        places = (self.firsts - low) // self.step
        item = array.itemsize
        shape = (int(places.max()) + 1, self.width)
        view = np.lib.stride_tricks.as_strided(array[low:], shape, (self.step * item, item))
        return view, places


Selection = slice | Rows | Array
"""Element numbers of a buffer: a slice where they are consecutive, rows where they are in part."""


def selected(numbers: Array, width: int | None = None) -> Selection:
    """Element numbers in their plainest form.

    Args:
        numbers: at least one, of one dimension.
        width: of the rows that they may be; the first run's where it is not known.
    """
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first == numbers.size - 1 and _is_run(numbers, first):
        return slice(first, last + 1)
    rows = None if width is None else _rows(numbers, width)
    if rows is None:
        rows = _rows(numbers, _first_run(numbers))
    return numbers if rows is None else rows


def _is_run(numbers: Array, first: int) -> bool:
    run = np.arange(first, first + numbers.size, dtype=numbers.dtype)
    return bool(np.array_equal(numbers, run))


def _first_run(numbers: Array) -> int:
    breaks = np.flatnonzero(np.diff(numbers[:_LOOK_AHEAD]) != 1)
    return int(breaks[0]) + 1 if breaks.size else 1


def _rows(numbers: Array, width: int) -> Rows | None:
    if width < _SHORTEST_ROW or numbers.size % width:
        return None
    if int(numbers[width - 1]) - int(numbers[0]) != width - 1:
        return None
    by_row = numbers.reshape(-1, width)
    firsts = by_row[:, 0]
    steps = np.arange(width, dtype=numbers.dtype)
    if not np.array_equal(by_row, firsts[:, None] + steps):
        return None
    return Rows(firsts.astype(np.int64), width)


def moved(selection: Selection, distance: int) -> Selection:
    """The elements so many further on."""
    if isinstance(selection, slice):
        return slice(selection.start + distance, selection.stop + distance)
    if isinstance(selection, Rows):
        return Rows(selection.firsts + distance, selection.width)
    return selection.astype(np.int64) + distance if distance else selection


def widened(selection: Selection, factor: int) -> Selection:
    """The elements in units so many times smaller."""
    if isinstance(selection, slice):
        return slice(selection.start * factor, selection.stop * factor)
    if isinstance(selection, Rows):
        return Rows(selection.firsts * factor, selection.width * factor)
    wide: Array = selection.astype(np.int64)[:, None] * factor + np.arange(factor)
    return wide.reshape(-1)


def span(selection: Selection) -> tuple[int, int]:
    """The smallest element number and one above the largest."""
    if isinstance(selection, slice):
        return selection.start, selection.stop
    if isinstance(selection, Rows):
        firsts = selection.firsts
        return int(firsts.min()), int(firsts.max()) + selection.width
    low, high = torch.aminmax(torch.from_numpy(selection))
    return int(low), int(high) + 1


def size(selection: Selection) -> int:
    """How many elements, each as often as it is named."""
    if isinstance(selection, slice):
        return int(selection.stop - selection.start)
    return (
        selection.firsts.size * selection.width if isinstance(selection, Rows) else selection.size
    )


def numbers_of(selection: Selection) -> Array:
    """Element by element."""
    if isinstance(selection, slice):
        return np.arange(selection.start, selection.stop)
    return selection.numbers if isinstance(selection, Rows) else selection


def is_distinct(selection: Selection) -> bool:
    """Whether no element is named twice, as far as that is plain."""
    if isinstance(selection, Rows):
        return selection.is_distinct
    return isinstance(selection, slice)


def is_whole(selection: Selection) -> bool:
    """Whether it is every element of its span, as far as that is plain."""
    low, high = span(selection)
    return is_distinct(selection) and size(selection) == high - low


def are_same(one: Selection, other: Selection) -> bool:
    """Whether they are the same elements in the same order, as far as that is plain."""
    if isinstance(one, slice) or isinstance(other, slice):
        return isinstance(one, slice) and isinstance(other, slice) and one == other
    if one is other:
        return True
    if isinstance(one, Rows) and isinstance(other, Rows):
        return one.width == other.width and np.array_equal(one.firsts, other.firsts)
    return False


def gather(array: Array, selection: Selection) -> Array:
    """The elements, all of which lie in the array; a view where they are consecutive."""
    if isinstance(selection, slice):
        return array[selection]
    if not isinstance(selection, Rows):
        return array.take(selection, mode="wrap")  # checks no bounds a second time
    runs = torch.from_numpy(array).unfold(0, selection.width, 1)
    found: Array = runs.index_select(0, torch.from_numpy(selection.firsts)).view(-1).numpy()
    return found


def put(array: Array, selection: Selection, words: Any, *, distinct: bool = False) -> None:
    """``array[selection] = words``: of several words for one element the last stays.

    Args:
        array: of one dimension.
        selection: elements that lie in it.
        words: one each, or one for all.
        distinct: no element is named twice.
    """
    if isinstance(selection, slice):
        array[selection] = words
        return
    if isinstance(selection, Rows):
        found = selection.of(array)
        if found is not None:
            view, places = found
            view[places] = words.reshape(-1, selection.width) if np.ndim(words) else words
            return
        selection = selection.numbers
    if distinct and np.ndim(words) and selection.dtype == np.int64:
        # Takes half the time of numpy's form.
        torch.from_numpy(array).scatter_(0, torch.from_numpy(selection), torch.from_numpy(words))
    else:
        array[selection] = words
