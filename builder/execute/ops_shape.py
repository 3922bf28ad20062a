"""Operations that make or rearrange blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.ops_memory import undefined
from builder.execute.registry import operation
from builder.execute.values import Pointer, Poisoned, Value, expand_block

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

Tensor = torch.Tensor
_AXES = {"x": 0, "y": 1, "z": 2}


@operation("tt.get_program_id")
def program_id(frame: Frame, op: Operation, _args: list[Any]) -> Tensor:
    return frame.machine.coordinate(frame.instances, _AXES[op.attributes["words"][0]])


@operation("tt.get_num_programs")
def num_programs(frame: Frame, op: Operation, _args: list[Any]) -> Tensor:
    size = frame.machine.grid[_AXES[op.attributes["words"][0]]]
    return torch.full((1,), size, dtype=torch.int32)


@operation("tt.make_range")
def make_range(_frame: Frame, op: Operation, _args: list[Any]) -> Tensor:
    if op.cache is None:
        start, end = op.attributes["start"], op.attributes["end"]
        op.cache = torch.arange(start, end, dtype=torch.int32).unsqueeze(0)
    value: Tensor = op.cache
    return value


@operation("tt.splat")
def splat(frame: Frame, op: Operation, args: list[Any]) -> Value:
    rank = len(frame.result_kind(op).shape)
    return _reshape_view(args[0], lambda v: v.reshape(v.shape[0], *(1,) * rank), rank)


@operation("tt.unsplat")
def unsplat(_frame: Frame, _op: Operation, args: list[Any]) -> Value:
    return _reshape_view(args[0], lambda v: v.reshape(v.shape[0]), 0)


@operation("tt.broadcast")
def broadcast(_frame: Frame, _op: Operation, args: list[Any]) -> Value:
    value: Value = args[0]
    return value


@operation("tt.expand_dims")
def expand_dims(frame: Frame, op: Operation, args: list[Any]) -> Value:
    axis = op.attributes["axis"] + 1
    rank = len(frame.result_kind(op).shape)
    return _reshape_view(args[0], lambda v: v.unsqueeze(axis), rank)


@operation("tt.trans")
def transpose(_frame: Frame, op: Operation, args: list[Any]) -> Value:
    order = [0, *(axis + 1 for axis in op.attributes["order"])]
    return _reshape_view(args[0], lambda v: v.permute(order), len(order) - 1)


@operation("tt.reshape")
def reshape(frame: Frame, op: Operation, args: list[Any]) -> Value:
    source, target = frame.kind(op), frame.result_kind(op)

    def run(value: Tensor) -> Tensor:
        if value.numel() == value.shape[0]:
            return value.reshape(value.shape[0], *(1,) * len(target.shape))
        return expand_block(value, source).reshape(value.shape[0], *target.shape)

    return _reshape_view(args[0], run, len(target.shape))


def _reshape_view(value: Value, view: Any, rank: int) -> Value:
    if isinstance(value, Pointer):
        return value.with_index(None if value.index is None else view(value.index), rank)
    reshaped: Tensor = view(value)
    return reshaped


def _together(frame: Frame, op: Operation, args: list[Any]) -> list[Tensor]:
    """All operands at full block size, with one size of the instances' dimension."""
    count = max(value.shape[0] for value in args)
    return [value.expand(count, *frame.kind(op, number).shape) for number, value in enumerate(args)]


@operation("tt.join")
def join(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    return torch.stack(_together(frame, op, args), dim=-1)


@operation("tt.split")
def split(frame: Frame, op: Operation, args: list[Any]) -> tuple[Tensor, Tensor]:
    value = expand_block(args[0], frame.kind(op))
    return value[..., 0], value[..., 1]


@operation("tt.cat")
def concatenate(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    return torch.cat(_together(frame, op, args), dim=1)


@operation("tt.gather")
def gather(frame: Frame, op: Operation, args: list[Any]) -> Tensor | Poisoned:
    """Elements by their places; one from beyond the block is undefined."""
    axis = op.attributes["axis"] + 1
    source, index = _together(frame, op, args)
    place, count = index.long(), source.shape[axis]
    beyond = (place < 0) | (place >= count)
    found = torch.gather(source, axis, place.clamp(0, count - 1))
    if not bool(beyond.any()):
        return found
    frame.machine.poisoned = True
    return Poisoned(found, beyond)


@operation("tt.histogram")
def histogram(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    """Counts of the values; values outside of the bins count nowhere."""
    kind = frame.result_kind(op)
    values = expand_block(args[0], frame.kind(op)).long()
    bins = kind.shape[0]
    inside = (values >= 0) & (values < bins)
    if len(args) > 1:
        inside = inside & expand_block(args[1], frame.kind(op, 1))
    count = max(values.shape[0], inside.shape[0])
    slots = torch.where(inside, values, bins).expand(count, values.shape[1])
    counts = torch.zeros((count, bins + 1), dtype=torch.int64)
    counts.scatter_add_(1, slots, torch.ones_like(slots))
    return counts[:, :bins].to(kind.dtype)


@operation("ub.poison")
def poison_constant(frame: Frame, op: Operation, _args: list[Any]) -> Value:
    kind = frame.result_kind(op)
    if kind.is_pointer:
        return Pointer(None, 1, 0, None, len(kind.shape))
    return undefined(kind, (1,) * (len(kind.shape) + 1))
