"""The memory a kernel sees: buffers, which are whole torch storages, and what was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from builder.execute.words import WORDS, Array, Selection

if TYPE_CHECKING:
    from builder.execute.races import Races
    from builder.execute.written import Written

ADDRESS_SHIFT = 40
_MIDDLE = 1 << (ADDRESS_SHIFT - 1)


@dataclass(eq=False)
class Buffer:
    """A storage as the kernel's memory.

    Attributes:
        number: distinguishes buffers; part of their virtual addresses.
        name: the kernel's parameter that first brought it.
        storage: where the bytes are.
        defined: what of it something has written; None where all of it is.
        races: who touched what during this launch; None where that cannot matter.
    """

    number: int
    name: str
    storage: torch.UntypedStorage
    defined: Written | None = None
    races: Races | None = None
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
            view = self._views[itemsize] = base.numpy().view(WORDS[itemsize])
        return view


def buffer_of_address(addresses: Array) -> tuple[Array, Array]:
    """Buffer numbers and byte offsets of virtual addresses."""
    numbers = addresses >> ADDRESS_SHIFT
    return numbers, addresses - (numbers << ADDRESS_SHIFT) - _MIDDLE


def undefined_lane(buffer: Buffer, selection: Selection, itemsize: int) -> int | None:
    """The first of the elements that nothing has written, as a position in the selection."""
    return None if buffer.defined is None else buffer.defined.missing(selection, itemsize)


def define(buffer: Buffer, selection: Selection, itemsize: int) -> None:
    """Note that the elements are written."""
    if buffer.defined is not None:
        buffer.defined.mark(selection, itemsize)
