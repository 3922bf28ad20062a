"""Loads and stores: which elements, which lanes, and whether they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.errors import MemoryFault
from builder.execute.memory import (
    Array,
    Buffer,
    Selection,
    buffer_of_address,
    define,
    gather,
    undefined_lane,
)
from builder.execute.poison import inactive
from builder.execute.races import MANY
from builder.execute.registry import operation
from builder.execute.values import Pointer, Poisoned, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.execute.frame import Frame
    from builder.execute.ir import Operation, Type

_WORD_TORCH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
POISON_BYTE = 0x5A
_SHORTEST_ROW = 8


@dataclass(eq=False)
class Plan:
    """What an access of one buffer takes from its offsets and its mask.

    Attributes:
        low: smallest element number.
        high: largest element number.
        elements: all of them, see ``Access.selection``; None where ``rows`` has them.
        lanes: see ``Access``.
        rows: first elements of runs of ``width`` elements each; None where there are no such runs.
        width: see ``rows``.
        ids: see ``Access``; None until they are asked for.
    """

    low: int
    high: int
    elements: Selection | None
    lanes: Array | None
    rows: Array | None = None
    width: int = 1
    ids: Array | None = None

    @property
    def selection(self) -> Selection:
        if self.elements is None:
            assert self.rows is not None
            numbers: Array = self.rows[:, None] + np.arange(self.width)
            self.elements = numbers.reshape(-1)
        return self.elements

    @property
    def nbytes(self) -> int:
        """What it takes, ids and elements included that are not made yet."""
        count = len(self.rows) * self.width if self.rows is not None else 0
        parts = (self.elements, self.lanes)
        return count + sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


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
    def lanes(self) -> Array | None:
        """Flat positions of the active lanes; None where all are active."""
        return self.plan.lanes

    @property
    def count(self) -> int:
        if isinstance(self.selection, slice):
            return int(self.selection.stop - self.selection.start)
        return int(self.selection.size)

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
        return ids if self.lanes is None else ids.take(self.lanes)

    def fault(self, kind: str, position: int, message: str) -> MemoryFault:
        """The error for the active lane at that position."""
        lane = position if self.lanes is None else int(self.lanes[position])
        row = lane // max(1, int(np.prod(self.shape[1:], dtype=np.int64)))
        chosen = self.selection
        number = chosen.start + position if isinstance(chosen, slice) else int(chosen[position])
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
        lanes = _active_lanes(mask, shape)
        index = _flat(pointer.offsets(), shape).numpy()
        if lanes is not None:
            index = index.take(lanes)
        if index.size:
            yield from _scattered(frame, op, pointer, index, lanes, shape)
        return
    plan = _planned(frame, op, pointer, mask, shape)
    if plan is not _NOTHING:
        yield _bounded(frame, op, pointer.buffer, pointer.itemsize, plan, shape)


def _planned(
    frame: Frame, op: Operation, pointer: Pointer, mask: torch.Tensor | None, shape: tuple[int, ...]
) -> Plan:
    """The plan, from an earlier launch where offsets and mask depend on no data."""
    memo = frame.machine.memo
    if memo is None:
        return _plan(pointer, mask, shape)
    named = (pointer.index, mask, frame.instances)
    key = (id(op), *map(id, named), pointer.start, shape)
    plan: Plan | None = memo.get(key)
    if plan is None:
        plan = _plan(pointer, mask, shape)
        if memo.has(*named):
            memo.put(key, plan, None, plan.nbytes)
    return plan


def _plan(pointer: Pointer, mask: torch.Tensor | None, shape: tuple[int, ...]) -> Plan:
    lanes = _active_lanes(mask, shape)
    index = _flat(pointer.offsets(), shape).numpy()
    if lanes is not None:
        index = index.take(lanes)
    if not index.size:
        return _NOTHING
    return _selected(index, pointer.start, lanes, shape[-1])


def _active_lanes(mask: torch.Tensor | None, shape: tuple[int, ...]) -> Array | None:
    if mask is None or (mask.numel() and bool(mask.view(torch.uint8).min())):
        return None
    return np.flatnonzero(_flat(mask, shape).numpy())


def _flat(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return value.expand(shape).reshape(-1)


def _bounded(
    frame: Frame, op: Operation, buffer: Buffer, itemsize: int, plan: Plan, shape: tuple[int, ...]
) -> Access:
    size = buffer.nbytes // itemsize
    access = Access(frame, op, buffer, itemsize, shape, plan)
    if plan.low < 0 or plan.high >= size:
        selection = plan.selection
        if isinstance(selection, slice):
            position = 0 if plan.low < 0 else max(0, size - plan.low)
        else:
            position = int(np.flatnonzero((selection < 0) | (selection >= size))[0])
        raise access.fault("out_of_bounds", position, "outside of the tensor's storage")
    return access


def _selected(index: Array, start: int, lanes: Array | None, width: int) -> Plan:
    """The plan of element numbers ``index + start``; a slice if they are a run."""
    first, last = int(index[0]), int(index[-1])
    if last - first == index.size - 1 and _is_run(index, first):
        run = slice(first + start, last + start + 1)
        return Plan(first + start, last + start, run, lanes)
    rows = _rows(index, width) if lanes is None else None
    if rows is not None:
        firsts = rows.astype(np.int64) + start
        high = int(firsts.max()) + width - 1
        return Plan(int(firsts.min()), high, None, None, firsts, width)
    low, high = (int(bound) + start for bound in torch.aminmax(torch.from_numpy(index)))
    if start:
        index = index.astype(np.int64) + start
    return Plan(low, high, index, lanes)


def _rows(index: Array, width: int) -> Array | None:
    """First numbers of the rows, if each row of ``width`` is a run."""
    if width < _SHORTEST_ROW or int(index[width - 1]) - int(index[0]) != width - 1:
        return None
    by_row = index.reshape(-1, width)
    firsts: Array = by_row[:, 0]
    steps = np.arange(width, dtype=index.dtype)
    return firsts if np.array_equal(by_row, firsts[:, None] + steps) else None


def _is_run(index: Array, first: int) -> bool:
    return bool(np.array_equal(index, np.arange(first, first + index.size, dtype=index.dtype)))


def _scattered(
    frame: Frame,
    op: Operation,
    pointer: Pointer,
    addresses: Array,
    lanes: Array | None,
    shape: tuple[int, ...],
) -> Iterator[Access]:
    numbers, offsets = buffer_of_address(addresses)
    for number in np.unique(numbers):
        here = np.flatnonzero(numbers == number)
        chosen = here if lanes is None else lanes.take(here)
        buffer = frame.machine.buffer(int(number))
        inside = offsets.take(here)
        access = Access(frame, op, buffer, pointer.itemsize, shape, Plan(0, 0, inside, chosen))
        wrong = np.flatnonzero(inside % pointer.itemsize)
        if wrong.size:
            raise access.fault("out_of_bounds", int(wrong[0]), "a misaligned address")
        index = inside // pointer.itemsize
        plan = _selected(index, 0, chosen, 1)
        yield _bounded(frame, op, buffer, pointer.itemsize, plan, shape)


def undefined(kind: Type, shape: tuple[int, ...]) -> torch.Tensor:
    """What lanes hold that load nothing: NaN, large integers, true."""
    if kind.element == "i1":
        return torch.ones(shape, dtype=torch.bool)
    if kind.is_float:
        return torch.full(shape, float("nan"), dtype=torch.float32).to(kind.dtype)
    value = int.from_bytes(bytes([POISON_BYTE]) * kind.itemsize, "little", signed=True)
    return torch.full(shape, value, dtype=kind.dtype)


def from_words(words: Array, kind: Type, shape: tuple[int, ...]) -> torch.Tensor:
    value = torch.from_numpy(words).reshape(shape)
    if kind.element == "i1":
        return value != 0
    return value if value.dtype == kind.dtype else value.view(kind.dtype)


def to_words(value: torch.Tensor, shape: tuple[int, ...], itemsize: int) -> Array:
    value = value.expand(shape).reshape(-1)
    return value.view(_WORD_TORCH[itemsize]).numpy()


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The common shape of blocks, whose sizes are not zero; torch.broadcast_shapes takes longer."""
    if len({len(shape) for shape in shapes}) > 1:
        return tuple(torch.broadcast_shapes(*shapes))
    return tuple(map(max, *shapes))


@operation("tt.load")
def load(frame: Frame, op: Operation, args: list[Any]) -> Value | Poisoned:
    pointer: Pointer = args[0]
    mask = args[1] if len(args) > 1 else None
    other = args[2] if len(args) > 2 else None
    kind = frame.result_kind(op)
    offsets = pointer.offsets()
    shape = tuple(offsets.shape)
    if mask is not None:
        shape = _broadcast(shape, mask.shape)
    result: Array | None = None
    complete = False
    for access in accesses(frame, op, pointer, mask, shape):
        words = _read(access)
        if access.lanes is None:
            result, complete = words, True
            break
        if result is None:
            result = _background(kind, shape, other)
        result[access.lanes] = words
    if result is None:
        result = _background(kind, shape, other)
    if kind.is_pointer:
        index = torch.from_numpy(result).reshape(shape)
        return Pointer(None, 1, 0, index, len(kind.shape))
    value = from_words(result, kind, shape)
    if complete or other is not None or mask is None:
        return value
    frame.machine.poisoned = True
    return Poisoned(value, inactive(frame, mask))


def _background(kind: Type, shape: tuple[int, ...], other: torch.Tensor | None) -> Array:
    value = undefined(kind, shape) if other is None else other.expand(shape)
    return (
        value.clone(memory_format=torch.contiguous_format)
        .view(-1)
        .view(_WORD_TORCH[kind.itemsize])
        .numpy()
    )


def _read(access: Access) -> Array:
    buffer, itemsize, plan = access.buffer, access.itemsize, access.plan
    checked = access.frame.machine.options.check_memory
    shadowed = checked and (buffer.defined is not None or buffer.races is not None)
    if plan.rows is not None and not shadowed:
        return _read_rows(buffer.words(itemsize), plan.rows, plan.width)
    selection = plan.selection
    words = gather(buffer.words(itemsize), selection)
    if not checked:
        return words.copy() if isinstance(selection, slice) else words
    missing = undefined_lane(buffer, selection, itemsize)
    if missing is not None:
        raise access.fault("uninitialised_read", missing, "read, but nothing has written it")
    if buffer.races is not None:
        racing = buffer.races.read(selection, itemsize, access.ids())
        if racing is not None:
            raise access.fault("race", racing, "read, but another instance writes it")
    return words.copy() if isinstance(selection, slice) else words


def _read_rows(memory: Array, rows: Array, width: int) -> Array:
    """Runs of ``width`` elements, which copy faster than single ones; all of them in bounds."""
    starts = memory.size - width + 1
    runs = torch.from_numpy(memory).as_strided((starts, width), (1, 1))
    found: Array = runs.index_select(0, torch.from_numpy(rows)).view(-1).numpy()
    return found


@operation("tt.store")
def store(frame: Frame, op: Operation, args: list[Any]) -> None:
    pointer: Pointer = args[0]
    value: Value = args[1]
    mask = args[2] if len(args) > 2 else None
    if isinstance(value, Pointer):
        value = value.addresses()
    shapes = [pointer.offsets().shape, value.shape]
    if mask is not None:
        shapes.append(mask.shape)
    shape = _broadcast(*shapes)
    words = to_words(value, shape, pointer.itemsize)
    for access in accesses(frame, op, pointer, mask, shape):
        write(access, words if access.lanes is None else words.take(access.lanes))


def write(access: Access, words: Array) -> None:
    """Write, and enter the write into the shadows.

    Raises:
        MemoryFault: ``race``.
    """
    buffer, selection, itemsize = access.buffer, access.selection, access.itemsize
    racing = None
    if buffer.races is None:
        buffer.words(itemsize)[selection] = words
    else:
        racing = buffer.races.write(selection, itemsize, access.ids(), words)
    define(buffer, selection, itemsize)
    if racing is not None:
        raise access.fault(
            "race", racing, "another instance reads it or writes a different value to it"
        )


@operation("tt.addptr")
def addptr(_frame: Frame, _op: Operation, args: list[Any]) -> Pointer:
    pointer: Pointer = args[0]
    return pointer.shifted(args[1])
