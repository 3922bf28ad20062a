"""Launch arguments to values and buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ExecutionError
from builder.execute.descriptors import opened
from builder.execute.memory import Buffer
from builder.execute.provenance import ArgumentUse, argument_uses
from builder.execute.races import Races
from builder.execute.seams import storage_key
from builder.execute.values import Pointer, Value

if TYPE_CHECKING:
    from builder.execute.ir import Type
    from builder.execute.lower import Program
    from builder.execute.sync import Order
    from builder.execute.tracking import Tracker


class Arguments:
    """The values of a launch's arguments.

    Args:
        program: the kernel.
        given: parameter name to argument.
        tracker: knows which memory is still unwritten.

    Raises:
        ExecutionError: ``argument``, an argument is no CPU tensor or number.
    """

    def __init__(self, program: Program, given: dict[str, Any], tracker: Tracker | None) -> None:
        self._program = program
        self._tracker = tracker
        self._by_storage: dict[int, Buffer] = {}
        self._uses: dict[int, ArgumentUse] = {}
        entry = program.module.entry
        uses = _argument_uses(program)
        self.values: list[Value] = []
        for slot, (name, path), use in zip(entry.arguments, program.parameters, uses, strict=True):
            argument = given[name]
            for number in path:
                argument = opened(argument)[number]
            self.values.append(self._value(name, argument, entry.type_of(slot), use))
        self.buffers = {buffer.number: buffer for buffer in self._by_storage.values()}

    def watch_races(self, order: Order | None) -> None:
        """Lay shadows over the buffers; ``order`` is what the kernel's atomics order."""
        for buffer in self.buffers.values():
            use = self._uses[buffer.number]
            if use.written or use.atomic:
                buffer.races = Races(buffer, use, order)

    def _value(self, name: str, argument: Any, kind: Type, use: ArgumentUse) -> Value:
        if kind.is_pointer:
            return self._pointer(name, argument, kind, use)
        if isinstance(argument, (bool, int, float)):
            return _scalar(argument, kind)
        raise ExecutionError(
            "argument",
            f"argument {name!r} is a {type(argument).__name__}; pass a CPU tensor or a number",
            kernel=self._program.name,
        )

    def _pointer(self, name: str, argument: Any, kind: Type, use: ArgumentUse) -> Pointer:
        if not isinstance(argument, torch.Tensor) or argument.device.type != "cpu":
            what = getattr(argument, "device", type(argument).__name__)
            raise ExecutionError(
                "argument",
                f"argument {name!r} is on {what}; kernels run on CPU tensors here",
                kernel=self._program.name,
            )
        assert kind.pointee is not None
        buffer = self._buffer(name, argument)
        self._uses[buffer.number] = self._uses.get(buffer.number, ArgumentUse()) | use
        whole = Pointer(buffer, argument.element_size(), int(argument.storage_offset()))
        return whole.retyped(kind.pointee.itemsize)

    def _buffer(self, name: str, tensor: torch.Tensor) -> Buffer:
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key not in self._by_storage:
            defined = self._tracker.defined(storage) if self._tracker is not None else None
            number = len(self._by_storage) + 1
            self._by_storage[key] = Buffer(number, name, storage, defined)
        return self._by_storage[key]


def _argument_uses(program: Program) -> list[ArgumentUse]:
    entry = program.module.entry
    if entry.cache is None:
        entry.cache = argument_uses(program.module)
    uses: list[ArgumentUse] = entry.cache
    return uses


def _scalar(value: float, kind: Type) -> torch.Tensor:
    """A number as the parameter's type holds it; integers wrap."""
    if kind.is_float:
        return torch.tensor([float(value)], dtype=torch.float64).to(kind.dtype)
    if kind.element == "i1":
        return torch.tensor([bool(value)])
    low = int(value) & ((1 << kind.bits) - 1)
    if low >> (kind.bits - 1):
        low -= 1 << kind.bits
    return torch.tensor([low], dtype=kind.dtype)
