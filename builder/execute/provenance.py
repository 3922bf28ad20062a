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


Slot = tuple[str, int]
"""A function's name and a slot of it."""


class _Classes:
    """Slots that may hold pointers into the same buffer (union-find)."""

    def __init__(self) -> None:
        self._above: dict[Slot, Slot] = {}

    def find(self, slot: Slot) -> Slot:
        while (above := self._above.get(slot, slot)) != slot:
            slot = above
        return slot

    def unite(self, slots: list[Slot]) -> None:
        for slot in slots[1:]:
            self._above[self.find(slot)] = self.find(slots[0])


def argument_uses(module: Module) -> list[ArgumentUse]:
    """For each argument of the entry function, its use; the same for all where one cannot tell."""
    entry = module.entry
    functions = list(module.functions.values())
    if any(_makes_pointers(function) for function in functions):
        everything = ArgumentUse(read=True, written=True, atomic=True, itemsize=1)
        return [everything] * len(entry.arguments)
    classes = _Classes()
    for function in functions:
        for op in function.body.walk():
            classes.unite(_pointers(function, _together(function, op)))
            if op.name == "tt.call":
                _unite_call(function, op, module, classes)
    uses: dict[Slot, ArgumentUse] = {}
    for function in functions:
        for op in function.body.walk():
            use = _use(function, op)
            if use is not None:
                root = classes.find((function.name, op.operands[0]))
                uses[root] = uses.get(root, ArgumentUse()) | use
    return [uses.get(classes.find((entry.name, slot)), ArgumentUse()) for slot in entry.arguments]


def _makes_pointers(function: Function) -> bool:
    return any(
        op.name == "tt.int_to_ptr"
        or (op.name == "tt.load" and function.type_of(op.results[0]).is_pointer)
        for op in function.body.walk()
    )


def _pointers(function: Function, slots: list[int]) -> list[Slot]:
    return [(function.name, slot) for slot in slots if function.type_of(slot).is_pointer]


def _together(function: Function, op: Operation) -> list[int]:
    """Slots between which an operation may pass pointers on."""
    slots = [*op.operands, *op.results] if op.name != "tt.call" else []
    for _, passed in op.successors:
        slots.extend(passed)
    for region in op.regions:
        for block in region.blocks:
            slots.extend(block.arguments)
            if block.operations:
                slots.extend(block.operations[-1].operands)
    if op.successors:
        slots.extend(slot for block in function.body.blocks[1:] for slot in block.arguments)
    return slots


def _unite_call(function: Function, op: Operation, module: Module, classes: _Classes) -> None:
    callee = module.functions[op.attributes["callee"]]
    for given, argument in zip(op.operands, callee.arguments, strict=True):
        classes.unite(_pointers(function, [given]) + _pointers(callee, [argument]))
    returned = [
        slot for inner in callee.body.walk() if inner.name == "tt.return" for slot in inner.operands
    ]
    classes.unite(_pointers(function, list(op.results)) + _pointers(callee, returned))


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
