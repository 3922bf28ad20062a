"""``torch2triton verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.options import limits_options, workers_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output
from builder.config import DRAWS
from builder.errors import OperationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.config import Limits

_EPILOG = """\b
Examples:
  torch2triton verify data/demo
  torch2triton verify data/demo/data/train-00000-of-00001.parquet --format json
"""


@click.command("verify", epilog=_EPILOG)
@click.argument("path", metavar="DIR|FILE.parquet", type=click.Path(path_type=Path))
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=DRAWS,
    show_default=True,
    help="Input draws to compare on.",
)
@workers_option
@limits_options
@with_output
def command(*, path: Path, draws: int, workers: int, limits: Limits, output: Output) -> int:
    """Verify the pairs of a data set again, from their text alone.

    Exit status 1 if any row fails.
    """
    from builder.dataset.read import read_rows  # noqa: PLC0415 - --help stays fast
    from builder.pipeline.reverify import reverify  # noqa: PLC0415

    rows = read_rows(path)
    if not rows:
        raise OperationFailed(f"{path} holds no pairs; there is nothing to verify")
    with output.progress(len(rows), "verifying", "pair") as bar:
        verdicts = reverify(rows, draws=draws, workers=workers, limits=limits, on_done=bar.update)
    failed = [verdict for verdict in verdicts if not verdict["verified"]]
    result = {
        "rows": len(rows),
        "verified": len(rows) - len(failed),
        "failed": [{key: verdict[key] for key in ("pair_id", "reason")} for verdict in failed],
    }
    output.result(result, _table(verdicts), quiet=[verdict["pair_id"] for verdict in failed])
    output.note(f"{result['verified']} of {result['rows']} pairs verified")
    return EXIT_FAILED if failed else EXIT_OK


def _table(verdicts: Sequence[Mapping[str, Any]]) -> Any:
    return render.table(
        ("pair", "entry point", "verdict", "error", "allowed", "reason"),
        [
            (
                verdict["pair_id"],
                verdict["entry_point"],
                "verified" if verdict["verified"] else "FAILED",
                _figure(verdict["max_error"]),
                _figure(verdict["tolerance"]),
                verdict["reason"] or "",
            )
            for verdict in verdicts
        ],
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
