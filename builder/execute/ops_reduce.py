"""Reductions and scans with the combine region that the text spells out.

Well-known regions become one torch call.  Others run on halves of the block (a reduction's order
is unspecified, as it is on a GPU) or, in a scan, on neighbouring pairs, which keeps the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from builder.execute.registry import operation

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Block, Operation, Region

Tensor = torch.Tensor
Tensors = tuple[Tensor, ...]
Combine = Callable[[Tensors, Tensors], Tensors]

_A, _B = 0, 1
_NAN_MAX = (("arith.cmpf", "ogt", _A, _B), ("arith.cmpf", "une", _A, _A),
            ("arith.ori", "", 2, 3), ("arith.select", "", 4, _A, _B))  # fmt: skip
_NAN_MIN = (("arith.cmpf", "olt", _A, _B), *_NAN_MAX[1:])
_WIDE = (torch.float32, torch.float64, torch.int32, torch.int64)


def _sum(value: Tensor, axis: int) -> Tensor | None:
    return value.sum(axis, dtype=value.dtype) if value.dtype in _WIDE else None


def _product(value: Tensor, axis: int) -> Tensor | None:
    return value.prod(axis, dtype=value.dtype) if value.dtype in _WIDE else None


def _largest(value: Tensor, axis: int) -> Tensor | None:
    return value.amax(axis)


def _smallest(value: Tensor, axis: int) -> Tensor | None:
    return value.amin(axis)


def _largest_number(value: Tensor, axis: int) -> Tensor | None:
    """``maxnumf`` skips NaN, ``amax`` does not: usable where there is none."""
    result = value.amax(axis)
    return None if bool(torch.isnan(result).any()) else result


def _smallest_number(value: Tensor, axis: int) -> Tensor | None:
    result = value.amin(axis)
    return None if bool(torch.isnan(result).any()) else result


_REDUCTIONS: dict[Any, Callable[[Tensor, int], Tensor | None]] = {
    (("arith.addf", "", _A, _B),): _sum,
    (("arith.addi", "", _A, _B),): _sum,
    (("arith.mulf", "", _A, _B),): _product,
    (("arith.muli", "", _A, _B),): _product,
    (("arith.maximumf", "", _A, _B),): _largest,
    (("arith.minimumf", "", _A, _B),): _smallest,
    (("arith.maxnumf", "", _A, _B),): _largest_number,
    (("arith.minnumf", "", _A, _B),): _smallest_number,
    _NAN_MAX: _largest,
    _NAN_MIN: _smallest,
}


def _running_sum(value: Tensor, axis: int) -> Tensor | None:
    return value.cumsum(axis, dtype=value.dtype) if value.dtype in _WIDE else None


def _running_product(value: Tensor, axis: int) -> Tensor | None:
    return value.cumprod(axis, dtype=value.dtype) if value.dtype in _WIDE else None


_SCANS: dict[Any, Callable[[Tensor, int], Tensor | None]] = {
    (("arith.addf", "", _A, _B),): _running_sum,
    (("arith.addi", "", _A, _B),): _running_sum,
    (("arith.mulf", "", _A, _B),): _running_product,
    (("arith.muli", "", _A, _B),): _running_product,
}


def _signature(block: Block) -> Any:
    """The region's operations with values numbered in order; None where it is not plain."""
    numbers = {slot: number for number, slot in enumerate(block.arguments)}
    steps: list[Any] = []
    for op in block.operations[:-1]:
        if any(slot not in numbers for slot in op.operands) or op.regions:
            return None
        words = "".join(op.attributes.get("words", ()))
        steps.append((op.name, words, *(numbers[slot] for slot in op.operands)))
        numbers.update({slot: len(numbers) for slot in op.results})
    last = block.operations[-1]
    if [numbers.get(slot) for slot in last.operands] != [len(numbers) - 1]:
        return None
    return tuple(steps)


def _known(op: Operation, table: dict[Any, Any]) -> Any:
    if op.cache is None:
        signature = _signature(op.regions[0].entry) if len(op.operands) == 1 else None
        op.cache = (table.get(signature),)
    return op.cache[0]


def _combiner(frame: Frame, region: Region) -> Combine:
    """The region as a function on tensors of any one shape."""
    block = region.entry
    if len(region.blocks) > 1 or any(op.regions or op.name == "tt.call" for op in region.walk()):
        return _instance_combiner(frame, region)

    def combine(left: Tensors, right: Tensors) -> Tensors:
        frame.values.update(zip(block.arguments, (*left, *right), strict=True))
        _, values = frame.machine.run_block(frame, block)
        shape = left[0].shape
        return tuple(value.expand(shape) for value in values)

    return combine


def _instance_combiner(frame: Frame, region: Region) -> Combine:
    """The same where the region branches: each element counts as an instance of its own."""

    def combine(left: Tensors, right: Tensors) -> Tensors:
        shape = left[0].shape
        count = left[0].numel()
        rows = torch.arange(frame.count).repeat_interleave(count // shape[0])
        if shape[0] != frame.count:
            rows = torch.zeros(count, dtype=torch.int64)
        inner = frame.subset(rows)
        flat = [value.reshape(-1) for value in (*left, *right)]
        values = frame.machine.run_region(inner, region, flat)
        return tuple(value.expand(count).reshape(shape) for value in values)

    return combine


def _operands(frame: Frame, op: Operation, args: list[Any], axis: int) -> Tensors:
    """The operands at full size along the axis, and all of one shape."""
    wide = []
    for number, value in enumerate(args):
        size = frame.kind(op, number).shape[axis - 1]
        shape = list(value.shape)
        shape[axis] = size
        wide.append(value.expand(shape))
    return tuple(torch.broadcast_tensors(*wide))


@operation("tt.reduce")
def reduce(frame: Frame, op: Operation, args: list[Any]) -> Tensors:
    axis = op.attributes["axis"] + 1
    values = _operands(frame, op, args, axis)
    known = _known(op, _REDUCTIONS)
    if known is not None:
        result = known(values[0], axis)
        if result is not None:
            return (result,)
    combine = _combiner(frame, op.regions[0])
    while (size := values[0].shape[axis]) > 1:
        left = tuple(value.narrow(axis, 0, size // 2) for value in values)
        right = tuple(value.narrow(axis, size // 2, size // 2) for value in values)
        values = combine(left, right)
    return tuple(value.squeeze(axis) for value in values)


@operation("tt.scan")
def scan(frame: Frame, op: Operation, args: list[Any]) -> Tensors:
    axis = op.attributes["axis"] + 1
    reverse = bool(op.attributes.get("reverse"))
    values = _operands(frame, op, args, axis)
    if reverse:
        values = tuple(value.flip(axis) for value in values)
    known = _known(op, _SCANS)
    result = known(values[0], axis) if known is not None else None
    if result is None:
        scanned = _scan_pairs(_combiner(frame, op.regions[0]), values, axis)
    else:
        scanned = (result,)
    return tuple(value.flip(axis) for value in scanned) if reverse else scanned


def _scan_pairs(combine: Combine, values: Tensors, axis: int) -> Tensors:
    """Inclusive scan: pairs first, then the scan of the pairs, then the places between."""
    size = values[0].shape[axis]
    if size == 1:
        return values
    pairs = [value.unflatten(axis, (size // 2, 2)) for value in values]
    left = tuple(value.select(axis + 1, 0) for value in pairs)
    right = tuple(value.select(axis + 1, 1) for value in pairs)
    odd = _scan_pairs(combine, combine(left, right), axis)
    even = left
    if size > 2:
        before = tuple(value.narrow(axis, 0, size // 2 - 1) for value in odd)
        after = tuple(value.narrow(axis, 1, size // 2 - 1) for value in left)
        between = combine(before, after)
        even = tuple(
            torch.cat([first.narrow(axis, 0, 1), rest], dim=axis)
            for first, rest in zip(left, between, strict=True)
        )
    return tuple(
        torch.stack([e, o], dim=axis + 1).flatten(axis, axis + 1)
        for e, o in zip(even, odd, strict=True)
    )
