"""What flows through a running kernel.

A value of block type ``(A, B)`` is a tensor of shape ``(P, A, B)``, ``P`` being the program
instances that run together.  Any of the dimensions may be 1 instead, which stands for a value that
is the same along it: broadcasting costs nothing until an operation needs the elements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.ir import Type
    from builder.execute.memory import Buffer


_SMALL = 4096
_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, eq=False)
class Pointer:
    """Pointers into one buffer, or virtual addresses into any.

    Attributes:
        buffer: the buffer, or None where ``index`` holds virtual byte addresses.
        itemsize: bytes of the pointee; ``start`` and ``index`` count in it, or in bytes where there
            is no buffer.
        start: offset that all elements have in common.
        index: offsets of the elements, broadcastable like any value; None where all are 0.
        rank: dimensions of the block.
    """

    buffer: Buffer | None
    itemsize: int
    start: int = 0
    index: torch.Tensor | None = None
    rank: int = 0

    def offsets(self) -> torch.Tensor:
        """Offsets from ``start``, at least one of each dimension."""
        if self.index is None:
            return torch.zeros((1,) * (self.rank + 1), dtype=torch.int32)
        return self.index

    def addresses(self) -> torch.Tensor:
        """Virtual byte addresses (int64): unlike real ones they never meet across buffers."""
        if self.buffer is None:
            return self.offsets().long()
        base = self.buffer.address + self.start * self.itemsize
        return self.offsets().long() * self.itemsize + base

    def as_addresses(self) -> Pointer:
        if self.buffer is None:
            return self
        return Pointer(None, self.itemsize, 0, self.addresses(), self.rank)

    def shifted(self, offset: torch.Tensor) -> Pointer:
        """The pointers moved by ``offset`` pointees."""
        if self.buffer is None:
            return replace(self, index=self.offsets() + offset.long() * self.itemsize)
        if offset.numel() == 1:
            return replace(self, start=self.start + int(offset.item()))
        if self.index is None:
            return replace(self, index=offset)
        return replace(self, index=self.index.long() + offset)

    def retyped(self, itemsize: int) -> Pointer:
        """The same addresses, seen as pointers to elements of another size."""
        if self.buffer is None or itemsize == self.itemsize:
            return replace(self, itemsize=itemsize)
        if self.itemsize % itemsize == 0:
            factor = self.itemsize // itemsize
            index = None if self.index is None else self.index.long() * factor
            return Pointer(self.buffer, itemsize, self.start * factor, index, self.rank)
        if self.index is None and self.start * self.itemsize % itemsize == 0:
            return replace(self, itemsize=itemsize, start=self.start * self.itemsize // itemsize)
        return replace(self.as_addresses(), itemsize=itemsize)

    def with_index(self, index: torch.Tensor | None, rank: int) -> Pointer:
        return Pointer(self.buffer, self.itemsize, self.start, index, rank)


Value = torch.Tensor | Pointer


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A value of which some lanes are undefined.

    Attributes:
        value: with anything in those lanes.
        mask: where they are; broadcastable like any value.
    """

    value: Value
    mask: torch.Tensor


def narrow(value: Any, rows: torch.Tensor) -> Any:
    """The value for a subset of the instances."""
    if isinstance(value, Poisoned):
        return Poisoned(narrow(value.value, rows), narrow(value.mask, rows))
    if isinstance(value, Pointer):
        if value.index is None or value.index.shape[0] == 1:
            return value
        return replace(value, index=value.index.index_select(0, rows))
    return value if value.shape[0] == 1 else value.index_select(0, rows)


def merge(parts: Sequence[tuple[torch.Tensor, Any]], count: int) -> Any:
    """One value of ``count`` instances from the values of groups that partition them."""
    if len(parts) == 1:
        return parts[0][1]
    if any(isinstance(value, Poisoned) for _, value in parts):
        return _merge_poisoned(parts, count)
    pointers = [value for _, value in parts if isinstance(value, Pointer)]
    if pointers:
        return _merge_pointers(parts, pointers, count)
    return _merge_tensors([(rows, value) for rows, value in parts], count)


def _merge_poisoned(parts: Sequence[tuple[torch.Tensor, Any]], count: int) -> Poisoned:
    split = [
        (rows, value) if isinstance(value, Poisoned) else (rows, Poisoned(value, nowhere(value)))
        for rows, value in parts
    ]
    return Poisoned(
        merge([(rows, value.value) for rows, value in split], count),
        merge([(rows, value.mask) for rows, value in split], count),
    )


def nowhere(value: Value) -> torch.Tensor:
    """A mask of the value's rank with no lane in it."""
    rank = value.dim() if isinstance(value, torch.Tensor) else value.rank + 1
    return torch.zeros((1,) * rank, dtype=torch.bool)


def _merge_tensors(parts: Sequence[tuple[torch.Tensor, torch.Tensor]], count: int) -> torch.Tensor:
    dims = torch.broadcast_shapes(*(value.shape[1:] for _, value in parts))
    merged = parts[0][1].new_empty((count, *dims))
    for rows, value in parts:
        merged[rows] = value
    return merged


def _merge_pointers(
    parts: Sequence[tuple[torch.Tensor, Value]], pointers: list[Pointer], count: int
) -> Pointer:
    first = pointers[0]
    if any((p.buffer, p.start) != (first.buffer, first.start) for p in pointers):
        pointers = [pointer.as_addresses() for pointer in pointers]
    offsets = [pointer.offsets().long() for pointer in pointers]
    index = _merge_tensors(list(zip((rows for rows, _ in parts), offsets, strict=True)), count)
    return pointers[0].with_index(index, first.rank)


def where(condition: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``torch.where`` by bits: that one branches at every element, and guesses half of them wrong
    where the condition follows no pattern.
    """
    if condition.numel() < _SMALL or left.dtype != right.dtype:
        return torch.where(condition, left, right)
    word = _WORDS[left.dtype.itemsize]
    ones = (-condition.view(torch.int8)).to(word)
    otherwise = right.view(word)
    bits = left.view(word) ^ otherwise
    bits = bits.bitwise_and_(ones) if bits.shape == ones.shape else bits & ones
    return bits.bitwise_xor_(otherwise).view(left.dtype)


def choose(condition: torch.Tensor, left: Value, right: Value) -> Value:
    """Element-wise selection, of pointers too."""
    if isinstance(left, Pointer) and isinstance(right, Pointer):
        if (left.buffer, left.start) != (right.buffer, right.start):
            left, right = left.as_addresses(), right.as_addresses()
        index = where(condition, left.offsets().long(), right.offsets().long())
        return left.with_index(index, left.rank)
    if isinstance(left, Pointer) or isinstance(right, Pointer):
        raise ExecutionError("parse", "a selection between a pointer and a number")
    return where(condition, left, right)


def expand_block(value: torch.Tensor, kind: Type) -> torch.Tensor:
    """The value with every dimension of its block at full size; the instances' one as it is."""
    if value.shape[1:] == kind.shape:
        return value
    return value.expand(value.shape[0], *kind.shape)


def is_uniform(value: torch.Tensor) -> bool:
    """Whether a scalar is the same for all instances."""
    return value.shape[0] == 1 or bool((value == value[0]).all())
