"""``torch2triton inspect``: pairs on the screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table

from builder.cli import render
from builder.cli.output import Output, with_output
from builder.dataset.read import read_rows
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

#: Columns of a terminal from which program and Triton stand side by side.
SIDE_BY_SIDE_WIDTH = 120

_FACTS = (
    ("pair", ("pair_id", "source", "level", "license")),
    ("task", ("mode", "stochastic", "shape_generic", "dtypes", "target", "variant")),
    ("kernels", ("kernel_names", "kernel_kinds", "triton_only", "fallback_ops")),
    ("verdict", ("verified", "input_sets", "error", "floor", "deterministic", "verifier_version")),
    ("inputs", ("input_shapes", "refused_shapes", "unrun_shapes", "static_reason")),
    ("compiles for", ("compiled_targets",)),
    ("on the target", ("registers", "shared_memory", "spills")),
    ("made with", ("builder_version", "torch_version", "triton_version")),
)

_EPILOG = """\b
Examples:
  torch2triton inspect data/demo
  torch2triton inspect data/demo --row 3
"""


@click.command("inspect", epilog=_EPILOG)
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--row", type=int, metavar="K", help="Show the pair in row K, counted from 0.")
@click.option("--pair", metavar="ID", help="Show the pair whose pair_id begins with ID.")
@with_output
def command(path: Path, row: int | None, pair: str | None, *, output: Output) -> None:
    """Show the pairs of DIR (or of a .parquet file), or one with its code and verdict."""
    if row is not None and pair is not None:
        raise UsageError("--row and --pair exclude each other; give one of them")
    rows = read_rows(path)
    if row is None and pair is None:
        _list(rows, path, output)
        return
    found = rows[_find(rows, row, pair, path)]
    output.result(found, human=_view(found), quiet=_identity(found))


def _find(rows: Sequence[Mapping[str, Any]], row: int | None, pair: str | None, path: Path) -> int:
    """Index of the row that was asked for."""
    if not rows:
        raise UsageError(f"{path} has no pairs")
    if pair is None:
        if row is None or not 0 <= row < len(rows):
            raise UsageError(f"there is no row {row}; rows of {path} are 0 to {len(rows) - 1}")
        return row
    matches = [n for n, r in enumerate(rows) if pair and _identity(r).startswith(pair)]
    if not matches:
        raise UsageError(
            f"no pair {pair!r} among the {len(rows)} of {path}; "
            f"`torch2triton inspect {path}` lists them"
        )
    if len({_identity(rows[n]) for n in matches}) > 1:
        raise UsageError(f"{len(matches)} pairs begin with {pair!r}; give more of the ID")
    return matches[0]


def _identity(row: Mapping[str, Any]) -> str:
    return str(row.get("pair_id") or row.get("uuid") or "")


def _list(rows: Sequence[Mapping[str, Any]], path: Path, output: Output) -> None:
    pairs = [_brief(number, row) for number, row in enumerate(rows)]
    titles = ("row", "pair", "family", "kernel kinds", "dtypes", "python lines", "triton lines")
    output.result(
        {"path": str(path), "pairs": pairs},
        human=render.table(titles, [list(pair.values()) for pair in pairs]),
        quiet=[pair["pair_id"] for pair in pairs],
    )


def _brief(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "row": number,
        "pair_id": _identity(row),
        "family": row.get("family") or row.get("source"),
        "kernel_kinds": sorted(set(row.get("kernel_kinds") or ())),
        "dtypes": row.get("dtypes") or [],
        "python_lines": len(row["python_code"].splitlines()),
        "triton_lines": len(row["triton_code"].splitlines()),
    }


def _view(row: Mapping[str, Any]) -> RenderableType:
    """Facts, then program and Triton: highlighted on a terminal, plain text elsewhere."""
    codes = {f"{name}_code": render.printable(row[f"{name}_code"]) for name in ("python", "triton")}
    facts = render.facts(_facts(row))
    if not sys.stdout.isatty():
        return "\n".join([render.plain(facts), *(f"# {n}\n\n{c}" for n, c in codes.items())])
    highlighted = {
        name: Syntax(code.rstrip(), "python", theme="ansi_dark", line_numbers=True, word_wrap=True)
        for name, code in codes.items()
    }
    if render.console().width < SIDE_BY_SIDE_WIDTH:
        parts = [part for name, code in highlighted.items() for part in (Rule(name), code)]
        return Group(facts, *parts)
    columns = Table(box=None, expand=True, pad_edge=False)
    for name in highlighted:
        columns.add_column(name, ratio=1)
    columns.add_row(*highlighted.values())
    return Group(facts, "", columns)


def _facts(row: Mapping[str, Any]) -> dict[str, str]:
    facts = {}
    for title, names in _FACTS:
        known = {name: row[name] for name in names if row.get(name) not in (None, [])}
        if known:
            facts[title] = render.cell({n.replace("_", " "): v for n, v in known.items()})
    return facts
