"""The values of a group of program instances that run in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.execute.values import Value, narrow

if TYPE_CHECKING:
    import torch

    from builder.execute.ir import Function, Operation, Type
    from builder.execute.machine import Machine


class Frame:
    """Values by slot, for the instances numbered ``instances``.

    Args:
        machine: the running kernel.
        function: whose slots these are.
        instances: linear program ids, int64 of shape (P,).
        parent: the frame this one is a part of.
        rows: which of the parent's instances these are; None for all of them.
    """

    __slots__ = ("function", "instances", "machine", "parent", "rows", "values")

    def __init__(
        self,
        machine: Machine,
        function: Function,
        instances: torch.Tensor,
        parent: Frame | None = None,
        rows: torch.Tensor | None = None,
    ) -> None:
        self.machine = machine
        self.function = function
        self.instances = instances
        self.parent = parent
        self.rows = rows
        self.values: dict[int, Any] = {}

    @property
    def count(self) -> int:
        return self.instances.shape[0]

    def subset(self, rows: torch.Tensor) -> Frame:
        """A frame for some of the instances, which sees this one's values."""
        return Frame(self.machine, self.function, self.instances.index_select(0, rows), self, rows)

    def get(self, slot: int) -> Any:
        value = self.values.get(slot)
        if value is None:
            value = self._inherited(slot)
        return value

    def _inherited(self, slot: int) -> Value:
        if self.parent is None:
            raise KeyError(slot)
        value = self.parent.get(slot)
        if self.rows is not None:
            value = narrow(value, self.rows)
        self.values[slot] = value
        return value

    def kind(self, operation: Operation, number: int = 0) -> Type:
        """Type of an operand."""
        return self.function.types[operation.operands[number]]

    def result_kind(self, operation: Operation, number: int = 0) -> Type:
        return self.function.types[operation.results[number]]
