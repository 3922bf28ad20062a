"""The memory a kernel sees: buffers, and shadows that notice wrong use of them.

A *buffer* is a whole torch storage.  Three shadows may lie over it:

* ``defined``: which bytes anything has written (kept across launches, see ``tracking``);
* ``writers``: which program instance wrote an element during this launch;
* ``readers``: which one read it; kept only where the kernel both reads and writes the buffer.

In the last two 0 is nobody, ``n + 1`` is instance ``n`` and ``MANY`` is several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

MANY = -1
ADDRESS_SHIFT = 40
_MIDDLE = 1 << (ADDRESS_SHIFT - 1)
_WORDS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}

Array = np.ndarray[Any, Any]
Selection = slice | Array
"""Element numbers of a buffer: a slice where they are consecutive."""


def word_type(itemsize: int) -> Any:
    """The numpy integer type that holds the bits of an element."""
    return _WORDS[itemsize]


def gather(array: Array, selection: Selection) -> Array:
    return array[selection] if isinstance(selection, slice) else array.take(selection)


@dataclass(eq=False)
class Buffer:
    """A storage as the kernel's memory.

    Attributes:
        number: distinguishes buffers; part of their virtual addresses.
        name: the kernel's parameter that first brought it.
        storage: where the bytes are.
        defined: one byte a byte, 1 where something was written; None where all of it is.
        granule: bytes one entry of ``writers`` and ``readers`` stands for.
    """

    number: int
    name: str
    storage: torch.UntypedStorage
    defined: Array | None = None
    granule: int = 1
    writers: Array | None = None
    readers: Array | None = None
    _views: dict[int, Array] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return self.storage.nbytes()

    @property
    def address(self) -> int:
        """Virtual address of the first byte; far enough from other buffers for any mistake."""
        return (self.number << ADDRESS_SHIFT) + _MIDDLE

    def words(self, itemsize: int) -> Array:
        """The memory as integers of that size."""
        view = self._views.get(itemsize)
        if view is None:
            count = self.nbytes // itemsize
            base = torch.empty(0, dtype=torch.int8).set_(self.storage, 0, (count * itemsize,), (1,))
            view = self._views[itemsize] = base.numpy().view(_WORDS[itemsize])
        return view

    def watch(self, *, written: bool, read: bool) -> None:
        """Start the shadows that find races, for a kernel that does this to the buffer."""
        entries = self.nbytes // self.granule
        self.writers = np.zeros(entries, dtype=np.int32) if written else None
        self.readers = np.zeros(entries, dtype=np.int32) if written and read else None

    def granules(self, selection: Selection, itemsize: int) -> Selection:
        """The shadow entries of those elements."""
        factor = itemsize // self.granule
        if factor == 1:
            return selection
        if isinstance(selection, slice):
            return slice(selection.start * factor, selection.stop * factor)
        wide = selection.astype(np.int64)[:, None] * factor + np.arange(factor)
        return wide.reshape(-1)


def buffer_of_address(addresses: Array) -> tuple[Array, Array]:
    """Buffer numbers and byte offsets of virtual addresses."""
    numbers = addresses >> ADDRESS_SHIFT
    return numbers, addresses - (numbers << ADDRESS_SHIFT) - _MIDDLE


def undefined_lane(buffer: Buffer, selection: Selection, itemsize: int) -> int | None:
    """The first of the elements that nothing has written, as a position in the selection."""
    if buffer.defined is None:
        return None
    usable = buffer.nbytes // itemsize * itemsize
    words = buffer.defined[:usable].view(_WORDS[itemsize])
    whole = int.from_bytes(b"\x01" * itemsize, "little")
    wrong = np.flatnonzero(gather(words, selection) != whole)
    return int(wrong[0]) if wrong.size else None


def define(buffer: Buffer, selection: Selection, itemsize: int) -> None:
    """Note that the elements are written."""
    if buffer.defined is None:
        return
    usable = buffer.nbytes // itemsize * itemsize
    words = buffer.defined[:usable].view(_WORDS[itemsize])
    words[selection] = int.from_bytes(b"\x01" * itemsize, "little")


def note_read(buffer: Buffer, selection: Selection, itemsize: int, ids: Array) -> int | None:
    """Enter a read into the shadows; the first lane that reads what another instance wrote."""
    if buffer.writers is None or buffer.readers is None:
        return None
    factor = itemsize // buffer.granule
    selection = buffer.granules(selection, itemsize)
    ids = np.repeat(ids, factor) if factor > 1 else ids
    writers = gather(buffer.writers, selection)
    wrong = np.flatnonzero((writers != 0) & ((writers != ids) | (ids == MANY)))
    _enter(buffer.readers, selection, ids)
    return int(wrong[0]) // factor if wrong.size else None


def note_write(
    buffer: Buffer, selection: Selection, itemsize: int, ids: Array, words: Array
) -> int | None:
    """Enter a write of ``words`` into the shadows and into memory.

    Returns:
        The first lane whose element another instance reads, or to which another instance, or
        another lane, writes a different value.
    """
    memory = buffer.words(itemsize)
    if buffer.writers is None:
        memory[selection] = words
        return None
    factor = itemsize // buffer.granule
    entries = buffer.granules(selection, itemsize)
    wide = np.repeat(ids, factor) if factor > 1 else ids
    writers = gather(buffer.writers, entries)
    wrong = (writers != 0) & ((writers != wide) | (wide == MANY))
    if factor > 1:
        wrong = wrong.reshape(-1, factor).any(axis=1)
    if wrong.any():
        wrong &= gather(memory, selection) != words
    if buffer.readers is not None:
        readers = gather(buffer.readers, entries)
        read = (readers != 0) & ((readers != wide) | (wide == MANY))
        wrong |= read.reshape(-1, factor).any(axis=1) if factor > 1 else read
    memory[selection] = words
    _enter(buffer.writers, entries, wide)
    if not isinstance(selection, slice):
        wrong |= gather(memory, selection) != words
    found = np.flatnonzero(wrong)
    return int(found[0]) if found.size else None


def _enter(shadow: Array, selection: Selection, ids: Array) -> None:
    """Add ids to a shadow; where another stands already, or comes at once, it becomes MANY."""
    before = gather(shadow, selection)
    after = np.where((before == 0) | (before == ids), ids, np.int32(MANY))
    shadow[selection] = after
    if not isinstance(selection, slice):
        lost = gather(shadow, selection) != after
        if lost.any():
            shadow[selection[lost]] = MANY
