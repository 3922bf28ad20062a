"""Which arguments a kernel may read and write through, found without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.execute.ir import Function, Module, Operation

_READS = ("tt.load",)
_WRITES = ("tt.store",)
_ATOMICS = ("tt.atomic_rmw", "tt.atomic_cas")


@dataclass(frozen=True)
class ArgumentUse:
    """How the entry function uses what an argument points to.

    Attributes:
        read: by plain loads.
        written: by plain stores.
        atomic: by atomics.
        itemsize: bytes of the smallest element accessed.
    """

    read: bool = False
    written: bool = False
    atomic: bool = False
    itemsize: int = 8

    def __or__(self, other: ArgumentUse) -> ArgumentUse:
        return ArgumentUse(
            self.read or other.read,
            self.written or other.written,
            self.atomic or other.atomic,
            min(self.itemsize, other.itemsize),
        )


class _Classes:
    """Slots that may hold pointers into the same buffer (union-find)."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def find(self, slot: int) -> int:
        while (above := self._above.get(slot, slot)) != slot:
            slot = above
        return slot

    def unite(self, first: int, second: int) -> None:
        self._above[self.find(first)] = self.find(second)


def argument_uses(module: Module) -> list[ArgumentUse]:
    """For each argument of the entry function, its use; the same for all where one cannot tell."""
    entry = module.entry
    if len(module.functions) > 1 or _makes_pointers(entry):
        everything = ArgumentUse(read=True, written=True, atomic=True, itemsize=1)
        return [everything] * len(entry.arguments)
    classes = _Classes()
    for op in entry.body.walk():
        _unite_pointers(entry, op, classes)
    uses: dict[int, ArgumentUse] = {}
    for op in entry.body.walk():
        use = _use(entry, op)
        if use is not None:
            root = classes.find(op.operands[0])
            uses[root] = uses.get(root, ArgumentUse()) | use
    return [uses.get(classes.find(slot), ArgumentUse()) for slot in entry.arguments]


def _makes_pointers(function: Function) -> bool:
    return any(
        op.name == "tt.int_to_ptr"
        or (op.name == "tt.load" and function.type_of(op.results[0]).is_pointer)
        for op in function.body.walk()
    )


def _unite_pointers(function: Function, op: Operation, classes: _Classes) -> None:
    slots = [*op.operands, *op.results]
    for _, passed in op.successors:
        slots.extend(passed)
    for region in op.regions:
        for block in region.blocks:
            slots.extend(block.arguments)
            if block.operations:
                slots.extend(block.operations[-1].operands)
    if op.successors:
        slots.extend(slot for block in function.body.blocks[1:] for slot in block.arguments)
    pointers = [slot for slot in slots if function.type_of(slot).is_pointer]
    for slot in pointers[1:]:
        classes.unite(pointers[0], slot)


def _use(function: Function, op: Operation) -> ArgumentUse | None:
    if op.name not in (*_READS, *_WRITES, *_ATOMICS):
        return None
    pointee = function.type_of(op.operands[0]).pointee
    return ArgumentUse(
        read=op.name in _READS,
        written=op.name in _WRITES,
        atomic=op.name in _ATOMICS,
        itemsize=pointee.itemsize if pointee is not None else 1,
    )
