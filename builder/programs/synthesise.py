"""Programs from seeds: a pure function of (root seed, index, families)."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.programs.configured import SHARE as CONFIGURED
from builder.programs.configured import configure
from builder.programs.families import FAMILIES
from builder.programs.layouts import SHARE as LAYOUTS
from builder.programs.layouts import vary_layout
from builder.programs.program import Program
from builder.programs.render import render
from builder.programs.rng import item_rng
from builder.programs.splice import SHARE as SPLICED
from builder.programs.splice import spliced
from builder.programs.surroundings import SHARE as SURROUNDED
from builder.programs.surroundings import surround
from builder.programs.tiers import LARGE_SHARE, enlarge

if TYPE_CHECKING:
    from builder.programs.draft import Draft

Uses = Counter[tuple[str, ...]]
BLOCK = 128
RUN = 8
"""Of a stream's blocks of indices, and of a family's programs in one: of so many, each knows what
those before it have used, which costs that these are drawn first, if the process has not yet.
"""

_NODES = 3
_SECONDS = 24
"""Motifs to draw until one may follow another."""
_MOST_KNOWN = 256
_KNOWN: dict[tuple[str, int, tuple[int, ...]], Uses] = {}
"""What programs of a family have used, by family, root seed and their indices; saves drawing them
again where one process draws a whole block.
"""


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


def nodes_of(program: Program) -> int:
    """How many of a program's own results the gates are to look at.

    Of a graph of operators, each should matter. Motifs have some that cancel by design: the maximum
    that a softmax takes away.
    """
    family = FAMILIES.get(program.source.removeprefix("family:"))
    return _NODES if family is not None and family.is_steered else 0


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
    name = family_at(root_seed, index, families)
    earlier: tuple[int, ...] = ()
    if FAMILIES[name].is_steered:
        block = range(index - index % BLOCK, index)
        same = [i for i in block if family_at(root_seed, i, families) == name]
        earlier = tuple(same[len(same) - len(same) % RUN :])
    program = draw_program(name, root_seed, index, mode, earlier)
    return replace(program, seed=index)


def family_at(root_seed: int, index: int, families: tuple[str, ...] = ()) -> str:
    """The family that the program at ``index`` of a stream is drawn from, see ``synthesise``."""
    shares = _round(tuple(families))
    block, position = divmod(index, len(shares))
    return _order(root_seed, block, shares)[position]


@lru_cache(maxsize=16)
def _round(families: tuple[str, ...]) -> tuple[str, ...]:
    """The families of one round, each as often as its share says."""
    check_families(families)
    chosen = tuple(sorted(set(families))) or family_names()
    return _shares(chosen, is_named=bool(families))


def _shares(chosen: tuple[str, ...], *, is_named: bool) -> tuple[str, ...]:
    """The families of one round."""
    counts = {name: FAMILIES[name].share or int(is_named) for name in chosen}
    return tuple(name for name, count in counts.items() for _ in range(count))


def draw_program(
    name: str, root_seed: int, index: int, mode: str = "forward", earlier: tuple[int, ...] = ()
) -> Program:
    """A program of one family, whatever family the stream has at ``index``.

    Args:
        name: of the family.
        root_seed: names the stream.
        index: position in the stream.
        mode: see ``synthesise``.
        earlier: indices of the family's programs before it in its block, which a graph of
            operators takes account of.
    """
    family = FAMILIES[name]
    drawn = _draft(name, root_seed, index, earlier)
    if not family.is_steered:
        drawn = _with_more(drawn, name, root_seed, index)
    is_large = False
    if drawn.varied and mode == "forward":
        rng = item_rng(root_seed, index, f"tier:{name}")
        is_large = rng.random() < LARGE_SHARE and enlarge(rng, drawn)
    rng = item_rng(root_seed, index, f"layout:{name}")
    if not is_large and rng.random() < LAYOUTS:
        vary_layout(rng, drawn)
    rng = item_rng(root_seed, index, f"configuration:{name}")
    if rng.random() < CONFIGURED:
        configure(rng, drawn)
    dtypes = {item.dtype for item in drawn.inputs} | ({drawn.dtype} if drawn.init_lines else set())
    return Program(
        python_code=render(drawn, differentiated=mode == "training"),
        entry_point=drawn.class_name,
        source=f"family:{name}",
        seed=index,
        level=drawn.level or family.level,
        dtypes=tuple(sorted(dtypes)),
    )


def _with_more(drawn: Draft, name: str, root_seed: int, index: int) -> Draft:
    """A motif with a second behind it, or with operators before and after it."""
    rng = item_rng(root_seed, index, f"splice:{name}")
    if rng.random() < SPLICED:
        motifs = [family for family in FAMILIES.values() if not family.is_steered]
        draws = (rng.choice(motifs).draft(rng) for _ in range(_SECONDS))
        joined = spliced(drawn, draws)
        if joined is not None:
            return joined
    rng = item_rng(root_seed, index, f"surroundings:{name}")
    if rng.random() < SURROUNDED and surround(rng, drawn):
        drawn.level = max(drawn.level or FAMILIES[name].level, 2)
    return drawn


def _draft(name: str, root_seed: int, index: int, earlier: tuple[int, ...]) -> Draft:
    family, rng = FAMILIES[name], item_rng(root_seed, index, f"program:{name}")
    if not family.is_steered:
        return family.draft(rng)
    before = _used(name, root_seed, earlier)
    draft = family.draft(rng, before)
    own = Counter(draft.uses)
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[name, root_seed, (*earlier, index)] = before + own
    return draft


def _used(name: str, root_seed: int, indices: tuple[int, ...]) -> Uses:
    """How often a family's programs use what (see ``steering``); draws those not yet known."""
    key = (name, root_seed, indices)
    if indices and key not in _KNOWN:
        _draft(name, root_seed, indices[-1], indices[:-1])
    return _KNOWN[key] if indices else Counter()


@lru_cache(maxsize=256)
def _order(root_seed: int, block: int, families: tuple[str, ...]) -> tuple[str, ...]:
    order = list(families)
    item_rng(root_seed, block, "family order").shuffle(order)
    return tuple(order)
