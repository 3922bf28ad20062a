"""What a verification has found so far, which becomes its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.verify.exactness import Exactness
from builder.verify.norm import rounded_up
from builder.verify.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

Shapes = tuple[tuple[int, ...], ...]
"""Of the tensors of an input set."""

OTHER_SHAPES = 3
"""Shapes beside that of ``get_inputs`` on which a module that takes any has been compared."""


@dataclass
class Findings:
    """What is known so far; becomes the verdict."""

    draws: int = 0
    replaced: int = 0
    error: float = 0.0
    floor: float = 0.0
    tolerance: float = 0.0
    deterministic: bool = True
    launches: list[Any] = field(default_factory=list)
    other_launches: list[Any] = field(default_factory=list)
    large_launches: list[Any] = field(default_factory=list)
    num_kernels: int = 0
    shapes: list[Shapes] = field(default_factory=list)
    refused: list[Shapes] = field(default_factory=list)
    unrun: list[Shapes] = field(default_factory=list)
    generic: bool = False
    resources: dict[str, dict[str, int]] = field(default_factory=dict)
    exactness: Exactness = field(default_factory=Exactness)

    def verdict(self, kind: str | None = None, reason: str | None = None) -> Verdict:
        names = dict.fromkeys(launch.kernel.__name__ for launch in self.launches)
        return Verdict(
            verified=kind is None,
            kind=kind,
            reason=reason,
            draws=self.draws,
            replaced_draws=self.replaced,
            max_error=rounded_up(self.error),
            floor=self.floor,
            tolerance=rounded_up(self.tolerance),
            deterministic=self.deterministic,
            compiled_targets=tuple(self.resources),
            resources=self.resources,
            kernel_names=tuple(names),
            num_kernels=self.num_kernels,
            input_shapes=tuple(self.shapes),
            shape_generic=self.generic and serves_any_size(self.shapes),
            refused_shapes=tuple(self.refused),
            unrun_shapes=tuple(self.unrun),
        )


def serves_any_size(shapes: Sequence[Shapes]) -> bool:
    """Whether input sets show that a module takes any size: see ``Verdict.shape_generic``."""
    others = set(shapes) - {shapes[0]} if shapes else set()
    odd = (
        size % 2 == 1 and size > 1 and size != first
        for shape in others
        for tensor, declared in zip(shape, shapes[0], strict=True)
        for size, first in zip(tensor, declared, strict=True)
    )
    return len(others) >= OTHER_SHAPES and any(odd)
