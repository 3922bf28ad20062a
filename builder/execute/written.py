"""Which bytes of a storage something has written."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np
import torch

from builder.execute.words import WORDS, gather, is_whole, put, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.words import Array, Selection


class Written:
    """The written bytes of a storage: spans as long as whole runs are written, then one by one.

    Kernels mostly write runs of consecutive elements, for which a shadow of the storage would cost
    as much memory traffic as the kernel itself.

    Args:
        nbytes: size of the storage.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._shadow: Array | None = None

    @property
    def complete(self) -> bool:
        """Whether every byte is written."""
        if self._shadow is None:
            return not self._nbytes or (self._starts == [0] and self._stops == [self._nbytes])
        return bool(self._shadow.min())

    def missing(self, selection: Selection, itemsize: int) -> int | None:
        """The first of the elements that is not written, as a position in the selection."""
        if self._shadow is None:
            start, stop = span(selection)
            if self._covers(start * itemsize, stop * itemsize):
                return None
        wrong = np.flatnonzero(gather(self._words(itemsize), selection) != _whole(itemsize))
        return int(wrong[0]) if wrong.size else None

    def mark(self, selection: Selection, itemsize: int) -> None:
        """Note that the elements are written."""
        if self._shadow is None and is_whole(selection):
            start, stop = span(selection)
            self._add(start * itemsize, stop * itemsize)
        else:
            put(self._words(itemsize), selection, _whole(itemsize))

    def mark_strided(self, shape: Sequence[int], strides: Sequence[int], place: int) -> None:
        """Note that the bytes of a strided view are written; strides and place in bytes."""
        torch.from_numpy(self._dense()).as_strided(tuple(shape), tuple(strides), place).fill_(1)

    def _covers(self, start: int, stop: int) -> bool:
        number = bisect.bisect_right(self._starts, start) - 1
        return number >= 0 and stop <= self._stops[number]

    def _add(self, start: int, stop: int) -> None:
        """Join a span with those that it touches."""
        first = bisect.bisect_left(self._stops, start)
        last = bisect.bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def _dense(self) -> Array:
        if self._shadow is None:
            self._shadow = np.zeros(self._nbytes, dtype=np.int8)
            for start, stop in zip(self._starts, self._stops, strict=True):
                self._shadow[start:stop] = 1
        return self._shadow

    def _words(self, itemsize: int) -> Array:
        usable = self._nbytes // itemsize * itemsize
        return self._dense()[:usable].view(WORDS[itemsize])


def _whole(itemsize: int) -> int:
    return int.from_bytes(b"\x01" * itemsize, "little")
