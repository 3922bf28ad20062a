"""The mutant at an index of a stream."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.programs.mutate.mutator import mutate
from builder.programs.rng import item_rng

if TYPE_CHECKING:
    from builder.programs.program import Program


def draw_mutant(parent: Program, root_seed: int, index: int) -> Program:
    """The mutant of a program at an index of a root seed's stream.

    Args:
        parent: its code runs in this process.
        root_seed: names the stream.
        index: position in the stream, from 0.

    Raises:
        ProgramRejected: see ``mutate``.
    """
    filename = parent.source.removeprefix("file:")
    rng = item_rng(root_seed, index, f"mutant:{filename}")
    mutant = mutate(parent.python_code, parent.entry_point or None, filename, rng)
    digest = hashlib.sha256(parent.python_code.encode("utf-8", "surrogateescape")).hexdigest()
    return replace(
        parent,
        python_code=mutant.python_code,
        entry_point=mutant.entry_point,
        seed=index,
        dtypes=(),
        parent=f"{filename}@{digest[:16]}",
        edits=mutant.edits,
    )
