"""Two traces run on symbols, and whether what they leave is the same.

A mutant differs from its original in few launches, often in one.  So what both begin with is run
once for both; and once memories are the same after the last launch that differs, all that follows
does the same to them.

The launches that differ are first run by themselves, from a memory of which is only known that it
is the same in both: what launches before may have touched holds symbols of its own.  If that makes
the memories the same, they are whatever those launches do, and none of them is run.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench.proofs.constants import constant_term
from builder.bench.proofs.grains import GIVEN
from builder.bench.proofs.machine import Budget, TermMachine
from builder.bench.proofs.memory import Memory, Storage
from builder.bench.proofs.terms import (
    Address,
    Known,
    Reading,
    Unprovable,
    Value,
    Words,
    wrapped,
)
from builder.bench.proofs.trace import ALLOCATION, HostTrace, KernelLaunch, TensorPlace

if TYPE_CHECKING:
    from builder.bench.proofs.trace import Zeroed
    from builder.execute.ir import Type


class Runs:
    """The runs of an original and a mutant.

    Args:
        first: what the one does.
        second: what the other does.
    """

    def __init__(self, first: HostTrace, second: HostTrace) -> None:
        self._traces = (first, second)
        self._same_ends = first.nesting == second.nesting and len(first.outputs) == len(
            second.outputs
        )
        self._before, self._after = 0, 0
        if first.storages == second.storages:
            self._before = _shared(first.steps, second.steps)
            rest = [trace.steps[self._before :][::-1] for trace in self._traces]
            self._after = _shared(*rest)

    def same_locally(self) -> bool:
        """Whether the launches that differ do the same to any memory."""
        first, second = self._traces
        if not self._before or not self._same_ends or first.outputs != second.outputs:
            return False
        try:
            memories = [self._opaque(), self._opaque()]
            self._run_differing(memories, Budget(), Reading.BITS)
            return _same_memories(*memories)
        except Unprovable:
            return False

    def same(self, reading: Reading) -> bool:
        """Whether all that the two leave is the same.

        Raises:
            Unprovable: a launch does what has no rule.
        """
        if not self._same_ends:
            return False
        first, second = self._traces
        start, budget = _fresh(first), Budget()
        _run(start, first.events[: self._before], budget, reading)
        memories = [start, start.copy() if self._before else _fresh(second)]
        budgets = self._run_differing(memories, budget, reading)
        if self._after and first.outputs == second.outputs and _same_memories(*memories):
            return True
        for trace, memory, left in zip(self._traces, memories, budgets, strict=True):
            _run(memory, trace.events[len(trace.events) - self._after :], left, reading)
        return self._same_outputs(memories)

    def _run_differing(
        self, memories: list[Memory], budget: Budget, reading: Reading
    ) -> list[Budget]:
        budgets = [Budget(budget.left), Budget(budget.left)]
        for trace, memory, left in zip(self._traces, memories, budgets, strict=True):
            events = trace.events[self._before : len(trace.events) - self._after]
            _run(memory, events, left, reading)
        return budgets

    def _opaque(self) -> Memory:
        """The memory after what both begin with, of which nothing is known.

        It might hold infinities and NaN, and a storage that is only read is taken for written.
        """
        trace = self._traces[0]
        touched = {place for event in trace.events[: self._before] for place in _storages_of(event)}
        memory = Memory()
        for number, storage in enumerate(_fresh(trace).storages):
            label = f"{storage.label} after {self._before} events"
            unknown = Storage(label, storage.nbytes, finite=False, masked=False, poles=True)
            memory.add(unknown if number in touched else storage)
        return memory

    def _same_outputs(self, memories: list[Memory]) -> bool:
        outputs = zip(*(trace.outputs for trace in self._traces), strict=True)
        if not all(_same_leaf(one, other, memories) for one, other in outputs):
            return False
        return all(
            _same_storage(*pair)
            for pair in zip(*(memory.storages for memory in memories), strict=False)
            if pair[0].label == pair[1].label and not pair[0].label.startswith(ALLOCATION)
        )


def _shared(first: list[str], second: list[str]) -> int:
    """How many steps both begin with."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _storages_of(event: KernelLaunch | Zeroed) -> list[int]:
    if isinstance(event, KernelLaunch):
        return [a.storage for a in event.arguments if isinstance(a, TensorPlace)]
    return [event.storage]


def _fresh(trace: HostTrace) -> Memory:
    memory = Memory()
    for label, nbytes, zero in trace.storages:
        bounds = (0, 0) if zero else trace.bounds.get(label)
        is_own = label.startswith(ALLOCATION)
        grain, blank = None if is_own else GIVEN, is_own and not zero
        memory.add(Storage(label, nbytes, zero, bounds=bounds, blank=blank, grain=grain))
    return memory


def _run(
    memory: Memory, events: list[KernelLaunch | Zeroed], budget: Budget, reading: Reading
) -> None:
    for event in events:
        if isinstance(event, KernelLaunch):
            module = event.program.module
            kinds = [module.entry.types[slot] for slot in module.entry.arguments]
            arguments = [_argument(a, k) for a, k in zip(event.arguments, kinds, strict=True)]
            if 0 not in event.grid:
                machine = TermMachine(
                    module, event.grid, arguments, memory, budget, reading=reading
                )
                machine.run()
        else:
            storage = memory.storages[event.storage]
            storage.cells, storage.zero, storage.finite = None, True, True
            storage.bounds, storage.blank, storage.poles = (0, 0), False, False
            storage.masked = True
            storage.above_zero, storage.positive, storage.extremes = False, False, False


def _same_memories(one: Memory, other: Memory) -> bool:
    return all(map(_same_storage, one.storages, other.storages))


def _argument(argument: TensorPlace | float, kind: Type) -> Value:
    if isinstance(argument, TensorPlace):
        offset = Known(np.full(1, argument.offset, dtype=np.int64))
        address = Address(argument.storage, argument.itemsize, offset)
        if kind.pointee is None or kind.pointee.itemsize != argument.itemsize:
            raise Unprovable("a pointer to elements of another size")
        return address
    if kind.is_float:
        return constant_term(np.full(1, argument, dtype=np.float64), kind.element)
    return Known(wrapped(np.full(1, int(argument), dtype=np.int64), kind.bits))


def _same_leaf(one: Any, other: Any, memories: list[Memory]) -> bool:
    if not isinstance(one, TensorPlace) or not isinstance(other, TensorPlace):
        return bool(one == other)
    if (one.size, one.significant, one.dtype) != (other.size, other.significant, other.dtype):
        return False
    ours, theirs = _elements(memories[0], one), _elements(memories[1], other)
    return bool(np.array_equal(ours, theirs))


def _elements(memory: Memory, place: TensorPlace) -> Words:
    cells = memory.storages[place.storage].at(place.itemsize)
    index = np.full((1,) * len(place.size), place.offset, dtype=np.int64)
    for axis, (size, stride) in enumerate(zip(place.size, place.stride, strict=True)):
        shape = [1] * len(place.size)
        shape[axis] = size
        index = index + (np.arange(size, dtype=np.int64) * stride).reshape(shape)
    if not index.size:
        return np.zeros(0, dtype=np.uint64)
    return cells[index]


def _same_storage(one: Storage, other: Storage) -> bool:
    sizes = {storage.itemsize for storage in (one, other) if storage.cells is not None}
    if not sizes:
        return one.zero == other.zero
    if len(sizes) > 1:
        raise Unprovable("elements of two sizes in one storage")
    size = sizes.pop()
    return bool(np.array_equal(one.at(size), other.at(size)))
