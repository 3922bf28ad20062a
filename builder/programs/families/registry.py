"""Registration of families by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.programs.draft import Draft
from builder.programs.tables import load_tables

Drafter = Callable[..., Draft]
"""Takes the item's generator; a steered one also what earlier programs have used."""


@dataclass(frozen=True)
class Family:
    """One motif.

    Attributes:
        name: what users pass to ``--families``.
        level: difficulty, 1 to 4, see ``family``.
        draft: draws a program.
        share: how many times it occurs in each round of all families; 0 if only where it is named.
        is_steered: whether it draws a graph of operators, and is told which others have used; a
            family that does not draws one motif, which operators may be put around.
    """

    name: str
    level: int
    draft: Drafter
    share: int = 1
    is_steered: bool = False


FAMILIES: dict[str, Family] = {}


def family(level: int, share: int = 1, *, is_steered: bool = False) -> Callable[[Drafter], Drafter]:
    """Registers a drafter under its function's name.

    Args:
        level: 1 is one operator (a softmax), 2 a fusion of several (a bias, an activation and a
            scale), 3 a block (attention with its projections), 4 a small network of blocks.  A
            drafter whose programs differ in level sets ``draft.level`` where they do.
        share: how many times it occurs in each round of all families; 0 if only where it is named.
        is_steered: see ``Family``.

    Raises:
        ValueError: there is a family of this name.
    """

    def register(draft: Drafter) -> Drafter:
        name = draft.__name__
        if name in FAMILIES:
            raise ValueError(f"two families are called {name!r}")
        FAMILIES[name] = Family(name, level, draft, share, is_steered)
        return draft

    return register


def load_all() -> None:
    """Imports every module of this package and sorts the registry by name."""
    load_tables(FAMILIES, __name__.rpartition(".")[0])
