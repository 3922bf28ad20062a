"""Programs from seeds: a pure function of (root seed, index, families)."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import lru_cache

from builder.errors import UsageError
from builder.programs.families import FAMILIES
from builder.programs.layouts import SHARE as LAYOUTS
from builder.programs.layouts import vary_layout
from builder.programs.program import Program
from builder.programs.render import render
from builder.programs.rng import item_rng
from builder.programs.surroundings import SHARE as SURROUNDED
from builder.programs.surroundings import surround
from builder.programs.tiers import LARGE_SHARE, enlarge


def family_names() -> tuple[str, ...]:
    """All families, sorted."""
    return tuple(FAMILIES)


def check_families(names: tuple[str, ...]) -> None:
    """Raises UsageError if one of ``names`` is no family; the message names the valid ones."""
    for name in names:
        if name not in FAMILIES:
            close = difflib.get_close_matches(name, FAMILIES, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(
                f"there is no family {name!r}; {hint}choose from: {', '.join(FAMILIES)}"
            )


def synthesise(
    root_seed: int, index: int, families: tuple[str, ...] = (), mode: str = "forward"
) -> Program:
    """The program at ``index`` of a root seed's stream.

    Args:
        root_seed: names the stream.
        index: position in the stream, from 0.
        families: the families to draw from; empty for all that have a share.  In each round of
            them a family occurs as often as its share says, and once if it has none.
        mode: in ``training`` the floating inputs require gradients.

    Raises:
        UsageError: a family that does not exist.
    """
    program = draw_program(family_at(root_seed, index, families), root_seed, index, mode)
    return replace(program, seed=index)


def family_at(root_seed: int, index: int, families: tuple[str, ...] = ()) -> str:
    """The family that the program at ``index`` of a stream is drawn from, see ``synthesise``."""
    check_families(families)
    chosen = tuple(sorted(set(families))) or family_names()
    shares = _shares(chosen, is_named=bool(families))
    block, position = divmod(index, len(shares))
    return _order(root_seed, block, shares)[position]


def _shares(chosen: tuple[str, ...], *, is_named: bool) -> tuple[str, ...]:
    """The families of one round."""
    counts = {name: FAMILIES[name].share or int(is_named) for name in chosen}
    return tuple(name for name, count in counts.items() for _ in range(count))


def draw_program(name: str, root_seed: int, index: int, mode: str = "forward") -> Program:
    """A program of one family, whatever family the stream has at ``index``."""
    family = FAMILIES[name]
    drawn = family.draft(item_rng(root_seed, index, f"program:{name}"))
    rng = item_rng(root_seed, index, f"surroundings:{name}")
    if family.is_motif and rng.random() < SURROUNDED and surround(rng, drawn):
        drawn.level = max(drawn.level or family.level, 2)
    is_large = False
    if drawn.varied and mode == "forward":
        rng = item_rng(root_seed, index, f"tier:{name}")
        is_large = rng.random() < LARGE_SHARE and enlarge(rng, drawn)
    rng = item_rng(root_seed, index, f"layout:{name}")
    if not is_large and rng.random() < LAYOUTS:
        vary_layout(rng, drawn)
    dtypes = {item.dtype for item in drawn.inputs} | ({drawn.dtype} if drawn.init_lines else set())
    return Program(
        python_code=render(drawn, differentiated=mode == "training"),
        entry_point=drawn.class_name,
        source=f"family:{name}",
        seed=index,
        level=drawn.level or family.level,
        dtypes=tuple(sorted(dtypes)),
    )


@lru_cache(maxsize=256)
def _order(root_seed: int, block: int, families: tuple[str, ...]) -> tuple[str, ...]:
    order = list(families)
    item_rng(root_seed, block, "family order").shuffle(order)
    return tuple(order)
