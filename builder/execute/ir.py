"""The typed form in which the executor holds a kernel's TTIR.

Values are numbered: a *slot* is an index into ``Function.types``; names of the text are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

TORCH_DTYPES: dict[str, torch.dtype] = {
    "i1": torch.bool,
    "i8": torch.int8,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "index": torch.int64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
    "f8E4M3FN": torch.float8_e4m3fn,
    "f8E5M2": torch.float8_e5m2,
    "f8E4M3FNUZ": torch.float8_e4m3fnuz,
    "f8E5M2FNUZ": torch.float8_e5m2fnuz,
}

BITS: dict[str, int] = {
    name: 1 if name == "i1" else dtype.itemsize * 8 for name, dtype in TORCH_DTYPES.items()
}


@dataclass(frozen=True)
class Type:
    """A scalar or block type.

    Attributes:
        element: ``i1``, ``i32``, ``f32``, ..., or ``ptr`` or ``desc``.
        shape: the block's shape, ``()`` for a scalar.
        pointee: what a ``ptr`` points to, or the block that a ``desc`` describes.
    """

    element: str
    shape: tuple[int, ...] = ()
    pointee: Type | None = None

    @property
    def is_pointer(self) -> bool:
        return self.element == "ptr"

    @property
    def is_float(self) -> bool:
        return self.element.startswith(("f", "bf"))

    @property
    def dtype(self) -> torch.dtype:
        """The torch type that holds an element.

        Raises:
            KeyError: torch has no such type.
        """
        return TORCH_DTYPES[self.element]

    @property
    def bits(self) -> int:
        return BITS[self.element]

    @property
    def itemsize(self) -> int:
        """Bytes of one element in memory."""
        return 8 if self.element == "ptr" else max(1, BITS[self.element] // 8)

    @property
    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    def with_element(self, element: str) -> Type:
        return Type(element, self.shape)


@dataclass(eq=False)
class Operation:
    """One operation.

    Attributes:
        name: dialect and name, ``arith.addi``.
        operands: slots read.
        results: slots written.
        attributes: attribute dictionary, ``key = word`` pairs, and ``words`` for bare words.
        regions: nested regions in the order of the text.
        successors: of a branch, pairs of block label and argument slots.
        line: line of the kernel's source file, where known.
        dead: slots that no later operation of the block reads.
    """

    name: str
    operands: tuple[int, ...]
    results: tuple[int, ...]
    attributes: dict[str, Any]
    regions: tuple[Region, ...] = ()
    successors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    line: int | None = None
    dead: tuple[int, ...] = ()
    handler: Any = None
    cache: Any = None


@dataclass(eq=False)
class Block:
    """Operations of which the last one says what comes next."""

    label: str
    arguments: tuple[int, ...]
    operations: list[Operation] = field(default_factory=list)


@dataclass(eq=False)
class Region:
    """Blocks nested in an operation; the first is entered."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def entry(self) -> Block:
        return self.blocks[0]

    def walk(self) -> Iterator[Operation]:
        """All operations of the region, nested ones too, in the order of the text."""
        for block in self.blocks:
            for operation in block.operations:
                yield operation
                for region in operation.regions:
                    yield from region.walk()


@dataclass(eq=False)
class Function:
    """A ``tt.func``.

    Attributes:
        types: the type of each slot.
    """

    name: str
    arguments: tuple[int, ...]
    body: Region
    types: list[Type]
    cache: Any = None

    def type_of(self, slot: int) -> Type:
        return self.types[slot]


@dataclass(eq=False)
class Module:
    """All functions of one kernel; ``entry`` is the public one."""

    entry: Function
    functions: dict[str, Function]


def find_dead(region: Region) -> None:
    """Note at each operation the slots of its own block that nothing later reads.

    Where blocks branch to each other a value may be read in another block, so none dies.
    """
    for block in region.blocks:
        if len(region.blocks) == 1:
            _find_dead_in(block)
        for operation in block.operations:
            for nested in operation.regions:
                find_dead(nested)


def _find_dead_in(block: Block) -> None:
    defined = set(block.arguments)
    made: dict[int, Operation] = {}
    last: dict[int, Operation] = {}
    for operation in block.operations:
        defined.update(operation.results)
        made.update(dict.fromkeys(operation.results, operation))
        for slot in (*_uses(operation), *operation.results):
            last[slot] = operation
            if operation.name == "llvm.intr.assume" and slot in made:  # its message shows them
                last.update(dict.fromkeys(made[slot].operands, operation))
    dead: dict[int, list[int]] = {}
    for slot, operation in last.items():
        if slot in defined:
            dead.setdefault(id(operation), []).append(slot)
    for operation in block.operations:
        operation.dead = tuple(sorted(dead.get(id(operation), ())))


def _uses(operation: Operation) -> Iterator[int]:
    yield from operation.operands
    for _, slots in operation.successors:
        yield from slots
    for region in operation.regions:
        for nested in region.walk():
            yield from nested.operands
            for _, slots in nested.successors:
                yield from slots
