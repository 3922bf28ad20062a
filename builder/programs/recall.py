"""A program whose inputs are drawn once, for checks that look at them many times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from builder.programs.load import LoadedProgram
from builder.programs.tree import tensors

_KEPT = 1 << 22
"""Elements of an input set up to which it is kept."""


@dataclass(frozen=True)
class RecallingProgram(LoadedProgram):
    """A program that gives the same tensors whenever it is asked for the same inputs.

    Whoever takes them must not write to them.

    Attributes:
        known: the inputs by seed and variant.
    """

    known: dict[tuple[int, int | None], list[Any]] = field(default_factory=dict)

    def make_inputs(self, seed: int, variant: int | None = None) -> list[Any]:
        """As ``LoadedProgram.make_inputs``."""
        if (seed, variant) in self.known:
            return self.known[seed, variant]
        inputs = self.fresh_inputs(seed, variant)
        if sum(tensor.numel() for tensor in tensors(inputs)) <= _KEPT:
            self.known[seed, variant] = inputs
        return inputs

    def fresh_inputs(self, seed: int, variant: int | None = None) -> list[Any]:
        """Inputs that are drawn now."""
        return super().make_inputs(seed, variant)


def recalling(loaded: LoadedProgram) -> RecallingProgram:
    """The program, its inputs drawn once."""
    return RecallingProgram(
        loaded.entry_point, loaded.namespace, loaded.python_code, loaded.filename
    )
