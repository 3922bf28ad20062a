"""``torch2triton bench programs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.options import families_option, family_names, workers_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPILOG = """\b
Examples:
  torch2triton bench programs --seeds 500
  torch2triton bench programs --seeds 200 --families layer_norm,rotary_embedding
  torch2triton bench programs --format json > programs.json
  torch2triton bench programs --html programs.html
"""


@click.command("programs", epilog=_EPILOG)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=10_000, show_default=True, help="Programs."
)
@click.option(
    "--recheck",
    type=click.IntRange(min=0),
    default=1_250,
    show_default=True,
    help="Of the first seeds, check what passes another way.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root seed.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the report with pictures to this file, too.",
)
@families_option
@workers_option
@with_output
def command(
    *,
    seeds: int,
    recheck: int,
    seed: int,
    html: Path | None,
    families: tuple[str, ...],
    workers: int,
    output: Output,
) -> int:
    """Measure how valid, different and realistic the programs are that seeds give.

    Each goes through the gates that come before capture. Its structure is its graph of ATen
    operators, without names, constants and sizes.

    Exit status 1 if a figure is beyond its limit.
    """
    from builder.bench.programs.bench import (  # noqa: PLC0415 - --help stays fast
        ProgramsBench,
        measure,
        missed,
    )
    from builder.bench.programs.pictures import page  # noqa: PLC0415

    if html is not None and not html.absolute().parent.is_dir():
        raise UsageError(f"--html: there is no folder {html.absolute().parent}; create it first")
    bench = ProgramsBench(seeds, recheck, workers, seed, family_names(families))
    with output.progress(seeds, "programs", "program") as bar:
        result = measure(bench, bar.update)
    if html is not None:
        html.write_text(page(result), encoding="utf-8")
    output.result(result, _table(result), quiet=str(result["accepted"]))
    beyond = missed(result)
    if beyond:
        output.error(f"beyond its limit: {'; '.join(beyond)}")
    return EXIT_FAILED if beyond else EXIT_OK


def _table(result: Mapping[str, Any]) -> Any:
    plain = {key: value for key, value in result.items() if not isinstance(value, (list, dict))}
    short = {
        key: ", ".join(f"{name} {count}" for name, count in list(result[key].items())[:6])
        for key in ("gates", "levels", "dtypes", "outputs", "input_elements", "core_seconds")
    }
    found = {key: value for key, value in result["rechecked"].items() if key != "faults"}
    short["rechecked"] = ", ".join(f"{name} {count}" for name, count in found.items())
    return render.facts(plain | short)
