"""Which elements of which buffer, and which lanes, an access of memory touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from builder.errors import MemoryFault
from builder.execute import words
from builder.execute.memory import Buffer, buffer_of_address
from builder.execute.races import MANY
from builder.execute.words import Array, Rows, Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.execute.frame import Frame
    from builder.execute.ir import Operation
    from builder.execute.values import Pointer

_ID_BYTES = 4


@dataclass(eq=False)
class Plan:
    """What an access of one buffer takes from its offsets and its mask.

    Attributes:
        low: smallest element number.
        high: largest element number.
        selection: see ``Access``.
        lanes: see ``Access``.
        ids: see ``Access``; None until they are asked for.
    """

    low: int
    high: int
    selection: Selection
    lanes: Selection | None
    ids: Array | None = None

    @property
    def nbytes(self) -> int:
        """What it takes, ids included that are not made yet."""
        parts = (self.selection, self.lanes)
        arrays = sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
        rows = sum(words.size(part) for part in parts if isinstance(part, Rows))
        return arrays + rows * _ID_BYTES


_NOTHING = Plan(0, 0, slice(0, 0), None)


@dataclass(eq=False)
class Access:
    """The elements one memory operation touches in one buffer.

    Attributes:
        shape: of all lanes, active or not, instances first.
        plan: which elements and lanes.
    """

    frame: Frame
    operation: Operation
    buffer: Buffer
    itemsize: int
    shape: tuple[int, ...]
    plan: Plan

    @property
    def selection(self) -> Selection:
        """Element numbers of the active lanes, in the order of the lanes."""
        return self.plan.selection

    @property
    def lanes(self) -> Selection | None:
        """Flat positions of the active lanes; None where all are active."""
        return self.plan.lanes

    def active(self, every: Array) -> Array:
        """Of one word a lane those of the active lanes."""
        return _active(every, self.lanes)

    @property
    def count(self) -> int:
        return words.size(self.selection)

    def positions(self) -> Array:
        """Flat positions of the active lanes."""
        return _positions(self.lanes, np.arange(self.count))

    def ids(self) -> Array:
        """For each active lane its instance's id in the shadows."""
        if self.plan.ids is None:
            self.plan.ids = self._ids()
        return self.plan.ids

    def _ids(self) -> Array:
        frame = self.frame
        if self.shape[0] == 1 and frame.count > 1:
            return np.full(self.count, MANY, dtype=np.int32)
        one = (frame.instances + 1).to(torch.int32).numpy()
        width = int(np.prod(self.shape[1:], dtype=np.int64))
        ids = np.repeat(one, width) if width > 1 else one
        return self.active(ids)

    def fault(self, kind: str, position: int, message: str) -> MemoryFault:
        """The error for the active lane at that position."""
        lane = int(_positions(self.lanes, np.array([position]))[0])
        row = lane // max(1, int(np.prod(self.shape[1:], dtype=np.int64)))
        number = int(words.numbers_of(self.selection)[position])
        machine = self.frame.machine
        place = machine.program_id(int(self.frame.instances[row]))
        size = self.buffer.nbytes // self.itemsize
        return MemoryFault(
            kind,
            f"program instance {place}, element {number} of {size} behind {self.buffer.name!r} "
            f"({self.itemsize} bytes each): {message}",
            kernel=machine.kernel_name,
            line=self.operation.line,
        )


def accesses(
    frame: Frame, op: Operation, pointer: Pointer, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> Iterator[Access]:
    """The accesses of an operation, one a buffer; none where no lane is active."""
    if pointer.buffer is None:
        lanes = _active_lanes(frame, mask, shape)
        index = _active(_flat(pointer.offsets(), shape).numpy(), lanes)
        if index.size:
            yield from _scattered(frame, op, pointer, index, lanes, shape)
        return
    plan = _planned(frame, pointer, mask, shape)
    if plan is not _NOTHING:
        yield _bounded(frame, op, pointer.buffer, pointer.itemsize, plan, shape)


def _planned(
    frame: Frame, pointer: Pointer, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> Plan:
    """The plan, from an earlier launch where offsets and mask depend on no data.

    Or from an earlier access of this launch, whatever it was of.
    """
    machine, memo = frame.machine, frame.machine.memo
    named, rest = (pointer.index, mask, frame.instances), (pointer.start, pointer.rank, shape)
    is_kept = memo is not None and memo.has(*named)
    key = (*map(id, named), *rest)
    plan: Plan | None = (
        memo.get(key) if memo is not None and is_kept else machine.plans.get(named, rest)
    )
    if plan is None:
        plan = _plan(frame, pointer, mask, shape)
        if memo is not None and is_kept:
            memo.put(key, plan, None, plan.nbytes)
        else:
            machine.plans.put(named, rest, plan)
    return plan


def _plan(
    frame: Frame, pointer: Pointer, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> Plan:
    lanes = _active_lanes(frame, mask, shape)
    index = _active(_flat(pointer.offsets(), shape).numpy(), lanes)
    if not index.size:
        return _NOTHING
    return _selected(index, pointer.start, lanes, shape[-1])


def _active_lanes(
    frame: Frame, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> Selection | None:
    if mask is None or (mask.numel() and bool(mask.view(torch.uint8).min())):
        return None
    found: Selection | None = frame.machine.lanes.get((mask,), shape)
    if found is None:
        numbers = np.flatnonzero(_flat(mask, shape).numpy())
        found = words.selected(numbers) if numbers.size else numbers
        frame.machine.lanes.put((mask,), shape, found)
    return found


def _active(every: Array, lanes: Selection | None) -> Array:
    return every if lanes is None else words.gather(every, lanes)


def _positions(lanes: Selection | None, numbers: Array) -> Array:
    """Which lanes the active ones of those numbers are."""
    if lanes is None:
        return numbers
    if isinstance(lanes, slice):
        return numbers + lanes.start
    return words.numbers_of(lanes).take(numbers)


def _flat(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return value.expand(shape).reshape(-1)


def _bounded(
    frame: Frame, op: Operation, buffer: Buffer, itemsize: int, plan: Plan, shape: tuple[int, ...]
) -> Access:
    size = buffer.nbytes // itemsize
    access = Access(frame, op, buffer, itemsize, shape, plan)
    if plan.low < 0 or plan.high >= size:
        selection = plan.selection
        numbers = words.numbers_of(selection)
        position = int(np.flatnonzero((numbers < 0) | (numbers >= size))[0])
        raise access.fault("out_of_bounds", position, "outside of the tensor's storage")
    return access


def _selected(index: Array, start: int, lanes: Selection | None, width: int) -> Plan:
    """The plan of element numbers ``index + start``, in rows of ``width`` perhaps."""
    selection = words.moved(words.selected(index, width), start)
    low, stop = words.span(selection)
    return Plan(low, stop - 1, selection, lanes)


def _scattered(
    frame: Frame,
    op: Operation,
    pointer: Pointer,
    addresses: Array,
    lanes: Selection | None,
    shape: tuple[int, ...],
) -> Iterator[Access]:
    numbers, offsets = buffer_of_address(addresses)
    for number in np.unique(numbers):
        here = np.flatnonzero(numbers == number)
        chosen = _positions(lanes, here)
        buffer = frame.machine.buffer(int(number))
        inside = offsets.take(here)
        access = Access(frame, op, buffer, pointer.itemsize, shape, Plan(0, 0, inside, chosen))
        wrong = np.flatnonzero(inside % pointer.itemsize)
        if wrong.size:
            raise access.fault("out_of_bounds", int(wrong[0]), "a misaligned address")
        index = inside // pointer.itemsize
        plan = _selected(index, 0, chosen, 1)
        yield _bounded(frame, op, buffer, pointer.itemsize, plan, shape)
