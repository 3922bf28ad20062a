"""Configuration: frozen dataclasses, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DRAWS = 6
"""Input sets that a pair is compared on: one of each distribution that verification knows."""


MODES = ("forward", "training")
"""What a pair computes: outputs, or outputs and gradients."""

STYLES = ("readable", "compact")
"""How Triton files are written: with docstrings and comments, or with names alone."""


LIBRARY_CALLS = ("reject", "keep")
"""What becomes of a program that needs an operator for which there is no Triton."""


MOST_ALIKE = 8
"""Pairs of a build whose programs are one graph of operators, names, numbers and sizes aside."""


@dataclass(frozen=True)
class Limits:
    """Limits on one supervised step of one item.

    Attributes:
        deadline_s: wall-clock seconds before the step's process group is killed.
        memory_bytes: resident bytes, summed over the step's processes, before it is killed.
        work_bytes: bytes of tensors one program may hold; above it is ``too_large``.
        work_flops: floating-point operations of one forward; above it is ``too_large``.
    """

    deadline_s: float = 60.0
    memory_bytes: int = 4 << 30
    work_bytes: int = 256 << 20
    work_flops: int = 8_000_000_000


@dataclass(frozen=True)
class BuildConfig:
    """One build.  A data set is a function of this and of the versions, ``workers`` aside."""

    pairs: int
    out: Path
    seed: int = 0
    targets: tuple[str, ...] = ("cuda:90",)
    variants: tuple[str, ...] = ("default",)
    families: tuple[str, ...] = ()
    workers: int = 2
    draws: int = DRAWS
    mode: str = MODES[0]
    style: str = STYLES[0]
    library_calls: str = LIBRARY_CALLS[0]
    most_alike: int | None = MOST_ALIKE
    limits: Limits = field(default_factory=Limits)
