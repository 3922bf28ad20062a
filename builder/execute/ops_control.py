"""Control flow.  Instances that decide differently split into groups that run one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ExecutionError
from builder.execute.ops_arith import as_unsigned
from builder.execute.poison import decided
from builder.execute.registry import operation
from builder.execute.values import Value, is_uniform, merge, narrow

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation, Region

Tensor = torch.Tensor
Values = tuple[Value, ...]


class Collected:
    """Results of groups of a frame's instances, put together at the end."""

    def __init__(self, frame: Frame) -> None:
        self._count = frame.count
        self._parts: list[tuple[Tensor, Values]] = []

    def add(self, rows: Tensor, values: Values) -> None:
        self._parts.append((rows, values))

    def merged(self) -> Values:
        if not self._parts:
            return ()
        number = len(self._parts[0][1])
        return tuple(
            merge([(rows, values[i]) for rows, values in self._parts], self._count)
            for i in range(number)
        )


@operation("scf.if")
def conditional(frame: Frame, op: Operation, args: list[Any]) -> Values:
    condition: Tensor = args[0]
    if is_uniform(condition):
        return _branch(frame, op, taken=bool(condition[0]))
    collected = Collected(frame)
    for taken in (True, False):
        rows = (condition if taken else ~condition).nonzero().view(-1)
        collected.add(rows, _branch(frame.subset(rows), op, taken=taken))
    return collected.merged()


def _branch(frame: Frame, op: Operation, *, taken: bool) -> Values:
    number = 0 if taken else 1
    if number >= len(op.regions):
        return ()
    return run_region(frame, op.regions[number], ())


def run_region(frame: Frame, region: Region, arguments: Values) -> Values:
    """The values a one-block region yields."""
    block = region.entry
    frame.values.update(zip(block.arguments, arguments, strict=True))
    _, values = frame.machine.run_block(frame, block)
    return tuple(values)


@operation("scf.for")
def counted_loop(frame: Frame, op: Operation, args: list[Any]) -> Values:
    lower, upper, step = args[:3]
    order = as_unsigned if op.attributes["unsigned"] else torch.Tensor.long
    trips = _trip_count(order(lower), order(upper), step.long())
    carried: Values = tuple(args[3:])
    if is_uniform(trips):
        return _uniform_loop(frame, op, (lower, step), int(trips[0]), carried)
    return _ragged_loop(frame, op, (lower, step), trips, carried)


def _trip_count(lower: Tensor, upper: Tensor, step: Tensor) -> Tensor:
    if bool((step <= 0).any()):
        raise ExecutionError("parse", "a counted loop with a step that is not positive")
    return torch.clamp((upper - lower + step - 1) // step, min=0)


def _uniform_loop(
    frame: Frame, op: Operation, steps: tuple[Tensor, Tensor], trips: int, carried: Values
) -> Values:
    lower, step = steps
    induction, memo = lower, frame.machine.memo
    for _ in range(trips):
        carried = run_region(frame, op.regions[0], (induction, *carried))
        induction = memo.sum(op, induction, step) if memo is not None else induction + step
    return carried


def _ragged_loop(
    frame: Frame, op: Operation, steps: tuple[Tensor, Tensor], trips: Tensor, carried: Values
) -> Values:
    """Each pass runs the instances that have trips left."""
    collected = Collected(frame)
    rows = torch.arange(frame.count)
    lower, step = (value.expand(frame.count) for value in steps)
    trips = trips.expand(frame.count)
    inner, induction, passed = frame, lower, 0
    while True:
        going = trips > passed
        if not bool(going.all()):
            collected.add(rows[~going], _take(carried, (~going).nonzero().view(-1)))
            keep = going.nonzero().view(-1)
            if not keep.numel():
                return collected.merged()
            rows, trips = rows[keep], trips[keep]
            induction, step = induction[keep], step[keep]
            carried = _take(carried, keep)
            inner = frame.subset(rows)
        carried = run_region(inner, op.regions[0], (induction, *carried))
        induction = induction + step
        passed += 1


def _take(values: Values, rows: Tensor) -> Values:
    return tuple(narrow(value, rows) for value in values)


@operation("scf.while")
def open_loop(frame: Frame, op: Operation, args: list[Any]) -> Values:
    before, after = op.regions
    collected = Collected(frame)
    rows = torch.arange(frame.count)
    inner, carried = frame, tuple(args)
    again = False
    while True:
        condition, *rest = run_region(inner, before, carried)
        forwarded: Values = tuple(rest)
        condition = decided(inner, op, condition)
        if is_uniform(condition):
            if not bool(condition[0]):
                collected.add(rows, forwarded)
                return collected.merged()
        else:
            stopped = (~condition).nonzero().view(-1)
            collected.add(rows[stopped], _take(forwarded, stopped))
            keep = condition.nonzero().view(-1)
            rows, forwarded = rows[keep], _take(forwarded, keep)
            inner = frame.subset(rows)
        if again:
            inner.machine.pause(op)
        again = True
        carried = run_region(inner, after, forwarded)


@operation("tt.call")
def call(frame: Frame, op: Operation, args: list[Any]) -> Values:
    return frame.machine.call(op.attributes["callee"], frame.instances, tuple(args))


@operation("gpu.barrier", "ttg.barrier", "ttg.local_barrier", "tt.print")
def nothing(_frame: Frame, _op: Operation, _args: list[Any]) -> None:
    """Barriers (instances run in step) and prints change no value."""


@operation("tt.assert")
def device_assert(frame: Frame, op: Operation, args: list[Any]) -> None:
    condition: Tensor = args[0]
    if bool(condition.all()):
        return
    row = int((~condition).nonzero()[0, 0]) if condition.shape[0] > 1 else 0
    machine = frame.machine
    message = "".join(op.attributes.get("strings", []))
    raise ExecutionError(
        "device_assert",
        f"program instance {machine.program_id(int(frame.instances[row]))}: "
        f"device assertion failed: {message}",
        kernel=machine.kernel_name,
        line=op.line,
    )
