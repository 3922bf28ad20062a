"""``torch2triton bench rewrite``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.options import workers_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPILOG = """\b
Examples:
  torch2triton bench rewrite data/demo
  torch2triton bench rewrite data/demo --texts-only --format json
"""


@click.command("rewrite", epilog=_EPILOG)
@click.argument("data", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--pairs", type=click.IntRange(min=1), default=None, help="Pairs to use.")
@click.option("--texts-only", is_flag=True, help="Measure the data set's own texts only.")
@workers_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of it all.")
@with_output
def command(
    *, data: Path, pairs: int | None, texts_only: bool, workers: int, seed: int, output: Output
) -> int:
    """Measure how readable the Triton of the data set in DIR is.

    Each program is captured once more, its Triton verified as the compiler wrote it and as it is
    rewritten now, and this text is measured; with --texts-only that of the data set.

    Exit status 1 if a rewritten pair is not verified that was verified before, or a figure is
    beyond its limit.
    """
    from builder.bench.rewrite import RewriteBench, measure, passes  # noqa: PLC0415 - fast --help
    from builder.dataset.read import read_rows  # noqa: PLC0415

    rows = read_rows(data)[:pairs]
    bench = RewriteBench(workers, seed, again=not texts_only)
    with output.progress(0 if texts_only else len(rows), "programs", "program") as bar:
        result = measure(bench, rows, lambda: bar.update(1))
    output.result(
        result, _table(result), quiet=str(result["standalone" if texts_only else "verified_after"])
    )
    for reason in result["broken"]:
        output.warn(f"broken: {reason}")
    return EXIT_OK if passes(result) else EXIT_FAILED


def _table(result: Mapping[str, Any]) -> Any:
    plain = {key: value for key, value in result.items() if not isinstance(value, list)}
    listed = {key: len(value) for key, value in result.items() if isinstance(value, list)}
    return render.facts(plain | listed)
