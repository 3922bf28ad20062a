"""Loads and stores: what they read and write, and whether they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.access import Access, accesses
from builder.execute.memory import define, undefined_lane
from builder.execute.poison import inactive
from builder.execute.registry import operation
from builder.execute.values import Pointer, Poisoned, Value
from builder.execute.words import Array, gather, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.frame import Frame
    from builder.execute.ir import Operation, Type

_WORD_TORCH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
POISON_BYTE = 0x5A


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
        put(result, access.lanes, words, distinct=True)
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
    buffer, itemsize, selection = access.buffer, access.itemsize, access.selection
    words = gather(buffer.words(itemsize), selection)
    if not access.frame.machine.options.check_memory:
        return words.copy() if isinstance(selection, slice) else words
    missing = undefined_lane(buffer, selection, itemsize)
    if missing is not None:
        raise access.fault("uninitialised_read", missing, "read, but nothing has written it")
    if buffer.races is not None:
        racing = buffer.races.read(selection, itemsize, access.ids())
        if racing is not None:
            raise access.fault("race", racing, "read, but another instance writes it")
    return words.copy() if isinstance(selection, slice) else words


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
        write(access, access.active(words))


def write(access: Access, words: Array) -> None:
    """Write, and enter the write into the shadows.

    Raises:
        MemoryFault: ``race``.
    """
    buffer, selection, itemsize = access.buffer, access.selection, access.itemsize
    racing = None
    if buffer.races is None:
        put(buffer.words(itemsize), selection, words)
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
