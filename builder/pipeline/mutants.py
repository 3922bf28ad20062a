"""Mutants of programs, each drawn in a process of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from builder.pipeline.messages import Job
from builder.pipeline.streams import parent_of
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.config import Limits
    from builder.programs.program import Program

_PRELOAD = ("torch", "builder.pipeline.stages", "builder.programs.mutate.draw")


def mutants(
    parents: Sequence[Program],
    count: int,
    root_seed: int,
    workers: int,
    limits: Limits,
    on_done: Callable[[], Any],
) -> list[dict[str, Any]]:
    """The first mutants of a root seed's stream, in its order.

    Args:
        parents: at least one.
        count: how many are drawn.
        root_seed: names the stream.
        workers: worker processes; the mutants do not depend on it.
        limits: of each draw.
        on_done: called after each.

    Returns:
        For each ``program``, the fields of one that passes the gates, or ``rejection``: ``source``,
        ``kind``, ``message`` and more.
    """
    found: dict[int, dict[str, Any]] = {}
    chosen = [parent_of(parents, root_seed, index) for index in range(count)]
    jobs = (
        Job(
            str(index),
            ("builder.pipeline.stages:mutate_file",),
            {
                "program": asdict(parent),
                "root_seed": root_seed,
                "index": index,
                "limits": asdict(limits),
            },
        )
        for index, parent in enumerate(chosen)
    )
    with Supervisor(min(workers, count), limits, _PRELOAD) as supervisor:
        for outcome in supervisor.run(jobs):
            index = int(outcome.key)
            refused = {"source": chosen[index].source} | (outcome.rejection or {})
            found[index] = outcome.value or {"rejection": refused}
            on_done()
    return [found[index] for index in range(count)]
