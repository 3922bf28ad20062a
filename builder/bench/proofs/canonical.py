"""A kernel's TTIR without what does not matter: names, places, hints, assertions, dead values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.execute.ir import Function, Module, Operation, Region

_HINTS = frozenset({"evictionPolicy", "cacheModifier", "cache", "evict"})
_DROPPED = frozenset({"tt.assert", "tt.print"})
_PURE = ("arith.", "math.", "tt.")
_EFFECTS = frozenset(
    {
        "tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.return", "tt.reduce.return",
        "tt.scan.return", "tt.call", "tt.descriptor_store", "tt.elementwise_inline_asm",
    }
)  # fmt: skip


def canonical(module: Module) -> str:
    """A text that two modules share only if they are the same operations on the same values.

    Device assertions exist in debugging builds alone, so they and what only they use are left out.
    """
    functions = sorted(module.functions.items())
    parts = [_Printer(function).text(name, module) for name, function in functions]
    return "\n".join(parts)


class _Printer:
    def __init__(self, function: Function) -> None:
        self._function = function
        self._numbers: dict[int, int] = {}
        self._live = _live(function.body)

    def text(self, name: str, module: Module) -> str:
        shown = "entry" if self._function is module.entry else name
        arguments = [self._defined(slot) for slot in self._function.arguments]
        return f"{shown}{arguments}{self._region(self._function.body)}"

    def _defined(self, slot: int) -> str:
        number = self._numbers.setdefault(slot, len(self._numbers))
        return f"%{number}:{self._function.types[slot]}"

    def _used(self, slots: tuple[int, ...]) -> list[int]:
        return [self._numbers.setdefault(slot, len(self._numbers)) for slot in slots]

    def _region(self, region: Region) -> str:
        lines: list[str] = []
        for block in region.blocks:
            lines.append(f"^{block.label}{[self._defined(slot) for slot in block.arguments]}")
            lines += [
                self._operation(op)
                for op in block.operations
                if op.name not in _DROPPED and _kept(op, self._live)
            ]
        return "{" + "\n".join(lines) + "}"

    def _operation(self, op: Operation) -> str:
        attributes = {k: v for k, v in op.attributes.items() if k not in _HINTS}
        used = self._used(op.operands)
        successors = [(label, self._used(slots)) for label, slots in op.successors]
        results = [self._defined(slot) for slot in op.results]
        regions = [self._region(region) for region in op.regions]
        facts: tuple[Any, ...] = (sorted(attributes.items()), used, successors)
        return f"{results}={op.name}{facts}{regions}"


def _kept(op: Operation, live: set[int]) -> bool:
    is_pure = op.name.startswith(_PURE) and op.name not in _EFFECTS and not op.regions
    return not is_pure or not op.results or bool(live & set(op.results))


def _live(region: Region) -> set[int]:
    """Slots that anything with an effect depends on."""
    operations = [op for op in region.walk() if op.name not in _DROPPED]
    live: set[int] = set()
    while True:
        before = len(live)
        for op in reversed(operations):
            if _kept(op, live):
                live.update(op.operands)
                live.update(slot for _, slots in op.successors for slot in slots)
        if len(live) == before:
            return live
