"""``torch2triton mutate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli.files import license_option, programs_in
from builder.cli.options import limits_options, workers_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.config import Limits

_EPILOG = """\b
Examples:
  torch2triton mutate data/seeds --count 100 --out mutants
  torch2triton mutate my_module.py --count 10 --out mutants --seed 3

Each mutant is a file of its own; mutants.jsonl tells of each its parent and what was done.
A file is a program as convert takes them, whose forward decides nothing by the value of a tensor.
"""


@click.command("mutate", epilog=_EPILOG)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--count", type=click.IntRange(min=1), required=True, help="Mutants to draw.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root seed.")
@license_option
@workers_option
@limits_options
@with_output
def command(
    *,
    paths: tuple[Path, ...],
    count: int,
    out: Path,
    seed: int,
    spdx: str | None,
    workers: int,
    limits: Limits,
    output: Output,
) -> int:
    """Draw edited versions of programs, and write those that pass the gates.

    An edit swaps, inserts or leaves out an operator, changes a number, a dimension, a type or a
    layout, adds a residual or a mask, or splices a motif.
    """
    from builder.pipeline.mutants import mutants  # noqa: PLC0415 - --help stays fast

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; name another for --out")
    parents = programs_in(paths, spdx)
    with output.progress(count, "mutating", "mutant") as bar:
        found = mutants(parents, count, seed, workers, limits, bar.update)
    made = [item["program"] for item in found if "program" in item]
    _write(out, made)
    refused = [item["rejection"] for item in found if "rejection" in item]
    for rejection in refused:
        output.note(f"{rejection['source']}: {rejection['kind']}: {rejection['message']}")
    result = {"mutants": len(made), "rejections": len(refused), "out": str(out)}
    output.result(result, quiet=str(out))
    return EXIT_OK if made else EXIT_FAILED


def _write(out: Path, made: list[dict[str, Any]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for program in made:
        name = f"{program['seed']:06d}_{program['entry_point']}.py"
        (out / name).write_text(program["python_code"], encoding="utf-8")
        told = {key: program[key] for key in ("parent", "edits", "license", "seed")}
        lines.append(json.dumps({"file": name} | told))
    (out / "mutants.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
