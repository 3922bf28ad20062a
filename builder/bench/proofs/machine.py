"""Runs a kernel on symbols, all program instances at once, loops unrolled.

Where instances decide differently, what they stored is taken back and each group runs by itself.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.axes import along_axis
from builder.bench.proofs.choice import select
from builder.bench.proofs.grains import loaded_grain
from builder.bench.proofs.ops import pure
from builder.bench.proofs.spoilt import performed, stored, whole
from builder.bench.proofs.terms import (
    Address,
    Integers,
    Known,
    Reading,
    Term,
    Unprovable,
    Value,
    as_words,
    combined,
    constant_words,
    name_hash,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.bench.proofs.memory import Memory
    from builder.execute.ir import Block, Function, Module, Operation, Region

_COMMUTING_ATOMICS = frozenset({"fadd", "add", "max", "min", "umax", "umin", "and", "or", "xor"})
_ALONG_AXIS = frozenset({"tt.reduce", "tt.scan", "tt.dot", "tt.gather"})
_IGNORED = frozenset({"gpu.barrier", "ttg.barrier", "tt.print"})
_CHUNK_ELEMENTS = 1 << 19
DEFAULT_BUDGET = 1 << 30


class _Diverged(Exception):
    """Instances go different ways; carries the parts of the ids, each of one way."""

    def __init__(self, ids: Integers, keys: Integers) -> None:
        super().__init__()
        self.parts = [ids[keys == key] for key in np.unique(keys)]


class Budget:
    """Elements of terms that may still be computed."""

    def __init__(self, elements: int = DEFAULT_BUDGET) -> None:
        self.left = elements

    def spend(self, elements: int) -> None:
        """Raises:
        Unprovable: nothing is left.
        """
        self.left -= elements
        if self.left < 0:
            raise Unprovable("more work than a proof may take")


class TermMachine:
    """One launch on symbols.

    Args:
        module: the kernel.
        grid: program instances along x, y, z.
        arguments: of the entry function.
        memory: what the arguments point into.
        budget: shared by the launches of a run.
        reading: what floats are taken for.
    """

    def __init__(
        self,
        module: Module,
        grid: tuple[int, int, int],
        arguments: Sequence[Value],
        memory: Memory,
        budget: Budget,
        *,
        reading: Reading = Reading.BITS,
    ) -> None:
        self._module = module
        self._grid = grid
        self._arguments = list(arguments)
        self._memory = memory
        self._budget = budget
        self._reading = reading
        self._stores = 0

    def run(self) -> None:
        """Runs all instances and settles the memory.

        Raises:
            Unprovable: the kernel does what has no rule here.
        """
        count = math.prod(self._grid)
        widest = max(
            (kind.numel for f in self._module.functions.values() for kind in f.types), default=1
        )
        size = max(1, _CHUNK_ELEMENTS // widest)
        for start in range(0, count, size):
            self._run(np.arange(start, min(start + size, count), dtype=np.int64))
        self._memory.settle()

    def _run(self, ids: Integers) -> None:
        pending = [ids]
        while pending:
            group = pending.pop(0)
            mark, self._stores = self._memory.mark(), 0
            try:
                _Group(self, group).call(self._module.entry, self._arguments)
            except _Diverged as split:
                self._memory.take_back(mark)
                pending = [*split.parts, *pending]

    def perform(
        self,
        function: Function,
        op: Operation,
        args: list[Value],
        ids: Integers,
        values: Mapping[int, Value],
    ) -> list[Value]:
        """The results of an operation other than control flow."""
        self._budget.spend(64)
        if op.name == "tt.load":
            address, *others = map(whole, args)
            mask, other = (*others, None, None)[:2]
            kind = function.types[op.results[0]]
            loaded = self._memory.load(address, mask, other)
            assert isinstance(address, Address)
            if kind.is_float:
                held = self._memory.storages[address.storage].grain
                loaded = loaded_grain(loaded, held, other, kind.element)
            else:
                loaded = known_if_constant(loaded)
            return [self._memory.sets.recalled(loaded, kind.element)]
        if op.name == "tt.store":
            mask = args[2] if len(args) > 2 else None
            self._stores += 1
            value = stored(args[1], mask)
            self._memory.sets.keep(value, function.types[op.operands[1]].element)
            self._memory.store(args[0], value, mask, self._stores)
            return []
        if op.name == "tt.atomic_rmw":
            return self._atomic(op, args)
        if op.name == "tt.addptr":
            return [_moved(args[0], args[1])]
        if op.name == "llvm.intr.assume":
            _check_assumption(args[0])
            return []
        if op.name in _IGNORED or op.name == "tt.assert":
            return []
        run = partial(self._performed, function, op, ids, values)
        results = performed(function, op, args, run, finite=self._reading >= Reading.FINITE)
        self._budget.spend(sum(_size(value) for value in results))
        return results

    def _performed(
        self,
        function: Function,
        op: Operation,
        ids: Integers,
        values: Mapping[int, Value],
        args: list[Value],
    ) -> list[Value]:
        if op.name in _ALONG_AXIS:
            return along_axis(function, op, args, values, reading=self._reading)
        return pure(function, op, args, self._grid, ids, reading=self._reading)

    def _atomic(self, op: Operation, args: list[Value]) -> list[Value]:
        kind = op.attributes["words"][0]
        if kind not in _COMMUTING_ATOMICS:
            raise Unprovable(f"an atomic {kind}")
        if not set(op.results) <= set(op.dead):
            raise Unprovable("the result of an atomic")
        self._memory.atomic(kind, args[0], args[1], args[2] if len(args) > 2 else None)
        return [Term(np.zeros(1, dtype=np.uint64)) for _ in op.results]

    def spend(self, elements: int) -> None:
        self._budget.spend(elements)

    def function(self, name: str) -> Function:
        return self._module.functions[name]


class _Group:
    """Instances that go the same way."""

    def __init__(self, machine: TermMachine, ids: Integers) -> None:
        self.machine = machine
        self.ids = ids

    def call(self, function: Function, arguments: Sequence[Value]) -> list[Value]:
        values = dict(zip(function.arguments, arguments, strict=True))
        blocks = {block.label: block for block in function.body.blocks}
        block = function.body.entry
        while True:
            end, passed = self._run_block(function, values, block)
            if end is None or end.name == "tt.return":
                return passed
            number = 0
            if end.name == "cf.cond_br":
                number = 0 if self._decided(passed[0]) else 1
            label, slots = end.successors[number]
            block = blocks[label]
            given = [values[slot] for slot in slots]
            values.update(zip(block.arguments, given, strict=True))

    def _run_block(
        self, function: Function, values: dict[int, Value], block: Block
    ) -> tuple[Operation | None, list[Value]]:
        for op in block.operations:
            args = [values[slot] for slot in op.operands]
            if op.name.endswith((".yield", ".return", ".condition")) or op.name.startswith("cf."):
                return op, args
            results = self._perform(function, values, op, args)
            values.update(zip(op.results, results, strict=True))
            for slot in op.dead:
                values.pop(slot, None)
        return None, []

    def _perform(
        self, function: Function, values: dict[int, Value], op: Operation, args: list[Value]
    ) -> list[Value]:
        if op.name == "scf.for":
            return self._for(function, values, op, args)
        if op.name == "scf.if":
            return self._if(function, values, op, args[0])
        if op.name == "scf.while":
            return self._while(function, values, op, args)
        if op.name == "tt.call":
            return self.call(self.machine.function(op.attributes["callee"]), args)
        return self.machine.perform(function, op, args, self.ids, values)

    def _decided(self, condition: Value) -> bool:
        """A condition that is the same for the group.

        Raises:
            _Diverged: it is not.
            Unprovable: it depends on data.
        """
        if not isinstance(condition, Known):
            raise Unprovable("a branch that depends on data")
        keys = np.broadcast_to(condition.data, self.ids.shape)
        if bool((keys != keys[0]).any()):
            raise _Diverged(self.ids, keys)
        return bool(keys[0])

    def _region(
        self, function: Function, values: dict[int, Value], region: Region, args: Sequence[Value]
    ) -> list[Value]:
        inner = dict(values)
        inner.update(zip(region.entry.arguments, args, strict=True))
        return self._run_block(function, inner, region.entry)[1]

    def _if(
        self, function: Function, values: dict[int, Value], op: Operation, condition: Value
    ) -> list[Value]:
        regions = list(op.regions)
        if isinstance(condition, Term):
            return self._both(function, values, regions, condition)
        number = 0 if self._decided(condition) else 1
        return self._region(function, values, regions[number], ()) if number < len(regions) else []

    def _both(
        self, function: Function, values: dict[int, Value], regions: list[Region], condition: Term
    ) -> list[Value]:
        for region in regions:
            if any(inner.name in ("tt.store", "tt.atomic_rmw") for inner in region.walk()):
                raise Unprovable("a store under a condition that depends on data")
        ways = [self._region(function, values, region, ()) for region in regions]
        if len(ways) < 2:
            return []
        return [_chosen(condition, one, other) for one, other in zip(*ways, strict=True)]

    def _for(
        self, function: Function, values: dict[int, Value], op: Operation, args: list[Value]
    ) -> list[Value]:
        lower, upper, step = args[:3]
        if not all(isinstance(value, Known) for value in args[:3]) or op.attributes["unsigned"]:
            raise Unprovable("a loop whose bounds depend on data")
        assert isinstance(lower, Known)
        assert isinstance(upper, Known)
        assert isinstance(step, Known)
        trips = np.maximum((upper.data - lower.data + step.data - 1) // step.data, 0)
        trips = np.broadcast_to(trips, self.ids.shape)
        if bool((trips != trips[0]).any()):
            raise _Diverged(self.ids, trips)
        carried = args[3:]
        for number in range(int(trips[0])):
            induction = Known(lower.data + number * step.data)
            carried = self._region(function, values, op.regions[0], (induction, *carried))
        return carried

    def _while(
        self, function: Function, values: dict[int, Value], op: Operation, args: list[Value]
    ) -> list[Value]:
        before, after = op.regions
        while True:
            condition, *passed = self._region(function, values, before, args)
            if not self._decided(condition):
                return passed
            self.machine.spend(64)
            args = self._region(function, values, after, passed)


def _chosen(condition: Term, one: Value, other: Value) -> Value:
    """A result of a branch: conditions are scalars, results may be blocks."""
    rank = max(_rank(one), _rank(other))
    hashes = condition.hashes.reshape(condition.hashes.shape[0], *(1,) * (rank - 1))
    return select(Term(hashes), one, other)


def _rank(value: Value) -> int:
    if isinstance(value, Address):
        return _rank(value.offset)
    return value.data.ndim if isinstance(value, Known) else value.hashes.ndim


def _size(value: Value) -> int:
    if isinstance(value, Address):
        return _size(value.offset)
    if isinstance(value, Known):
        return value.data.size
    parts = value.parts.words.size if value.parts else 0
    rest = _size(value.spoilt.rest) if value.spoilt else 0
    return value.hashes.size + parts + rest + (value.pairs.values.size if value.pairs else 0)


def known_if_constant(value: Value) -> Value:
    """Loaded integers that are 0 or 1 in every lane, as an earlier kernel stored them."""
    if not isinstance(value, Term):
        return value
    zero, one = (constant_words(np.full(1, n, dtype=np.int64)) for n in (0, 1))
    ones = value.hashes == one
    if bool((ones | (value.hashes == zero)).all()):
        return Known(ones.astype(np.int64))
    return value


def _moved(address: Value, by: Value) -> Address:
    if not isinstance(address, Address):
        raise Unprovable("an address that was loaded")
    offset = address.offset
    if isinstance(offset, Known) and isinstance(by, Known):
        return address.with_offset(Known(wrapped(offset.data + by.data, 64)))
    return address.with_offset(_symbolic_sum(offset, by))


def _symbolic_sum(offset: Known | Term, by: Value) -> Term:
    """Sums of the parts of an address in any order."""
    words = [as_words(offset), as_words(by)]
    return Term(combined(name_hash("address"), words, commutes=True))


def _check_assumption(condition: Value) -> None:
    """Raises:
    Unprovable: the compiler is told what is false, or what depends on data.
    """
    if not isinstance(condition, Known) or not bool(condition.data.all()):
        raise Unprovable("an assumption that does not hold")
