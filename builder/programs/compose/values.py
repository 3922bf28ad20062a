"""Values of a graph under construction, and the sizes that they have.

A graph is built while it runs: each value is a small *probe* tensor, another one for other inputs,
and has a shape in every input set that the program will declare, found by running without data
where it is no matter of broadcasting.  So types and ranges are facts, not rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

META = torch.device("meta")


@dataclass(eq=False)
class Value:
    """One value.

    Attributes:
        probe: small and real.
        twin: the same for other inputs.
        shapes: in each input set, that of ``get_inputs`` first.
        name: of an input or an attribute; what operators give is named in the end, when it is known
            what else needs a name.
    """

    probe: torch.Tensor
    twin: torch.Tensor
    shapes: tuple[tuple[int, ...], ...]
    name: str = ""

    @property
    def dtype(self) -> torch.dtype:
        return self.probe.dtype

    @property
    def is_float(self) -> bool:
        return self.probe.is_floating_point()

    @property
    def rank(self) -> int:
        return self.probe.dim()

    def column(self, dim: int) -> tuple[int, ...]:
        """The sizes of a dimension: of the probe, then of each input set; none if it has not."""
        if not -self.rank <= dim < self.rank:
            return ()
        return (self.probe.shape[dim], *(shape[dim] for shape in self.shapes))

    def empty(self, place: int) -> torch.Tensor:
        """A tensor without data of the shape in an input set."""
        return torch.empty(self.shapes[place], dtype=self.dtype, device=META)

    def is_fixed(self, dim: int) -> bool:
        """Whether there is such a dimension, and it has one size in all input sets."""
        return len(set(self.column(dim)[1:])) == 1


@dataclass
class Sizes:
    """The named sizes of a program.

    Attributes:
        columns: by role, the size of the probe, then of each input set.
    """

    columns: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def shapes(self, dims: str) -> list[tuple[int, ...]]:
        """The shapes of ``dims``, which are roles or numbers: of the probe, then of each set."""
        parts = dims.split()
        count = len(next(iter(self.columns.values())))
        return [
            tuple(int(p) if p.isdigit() else self.columns[p][place] for p in parts)
            for place in range(count)
        ]

    def role(self, column: tuple[int, ...]) -> str | None:
        """The role of these sizes."""
        return next((role for role, sizes in self.columns.items() if sizes == column), None)

    def dims(self, value: Value) -> str | None:
        """The roles of a value's dimensions, if all have one."""
        roles = [self.role(value.column(dim)) for dim in range(value.rank)]
        if not all(roles):
            return None
        return " ".join(filter(None, roles))


def substituted(text: str, numbers: Mapping[str, int]) -> str:
    """A template with its roles, ``$hidden``, replaced by numbers."""
    for role in sorted(numbers, key=len, reverse=True):
        text = text.replace(f"${role}", str(numbers[role]))
    return text
