"""``torch2triton bench verifier``."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.options import workers_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EPILOG = """\b
Examples:
  torch2triton bench verifier --data data/demo --mutants 500 --verifications 500
  torch2triton bench verifier --workers 2 --format json
"""


@click.command("verifier", epilog=_EPILOG)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Data set to take pairs from; without, one is built in a temporary folder.",
)
@click.option(
    "--pairs", type=click.IntRange(min=1), default=500, show_default=True, help="Pairs to use."
)
@click.option(
    "--mutants",
    type=click.IntRange(min=0),
    default=5000,
    show_default=True,
    help="Faults to plant, spread over the pairs and the kinds of fault.",
)
@click.option(
    "--verifications",
    type=click.IntRange(min=0),
    default=5000,
    show_default=True,
    help="Verifications of untouched pairs, each pair with several seeds.",
)
@workers_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of it all.")
@with_output
def command(
    *,
    data: Path | None,
    pairs: int,
    mutants: int,
    verifications: int,
    workers: int,
    seed: int,
    output: Output,
) -> int:
    """Plant faults in verified pairs and count those that verification finds.

    A fault that is not found is proven to be none, for all inputs, or a loss of precision that
    PyTorch has too, or listed.  Faults are judged without compiling for a target, which could only
    find more.  Untouched pairs are verified with several seeds, and compiled with the first; a
    failure is a false alarm.

    Exit status 1 if fewer than 99.5 % of the faults are found, or there is a false alarm.
    """
    from builder.bench.verifier import VerifierBench, measure, passes  # noqa: PLC0415 - fast --help
    from builder.dataset.read import read_rows  # noqa: PLC0415

    with _folder(data, pairs, workers, seed, output) as folder:
        rows = read_rows(folder)[:pairs]
    if len(rows) < pairs:
        output.warn(f"there are only {len(rows)} pairs")
    bench = VerifierBench(mutants, verifications, workers, seed)
    with _bars(output, bench.mutants, bench.verifications) as on_done:
        result = measure(bench, rows, on_done)
    output.result(result, _tables(result), quiet=_quiet(result))
    for reason in result["unjudged"]:
        output.warn(f"not judged: {reason}")
    return EXIT_OK if passes(result) and not result["unjudged"] else EXIT_FAILED


@contextlib.contextmanager
def _folder(
    data: Path | None, pairs: int, workers: int, seed: int, output: Output
) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    from builder.config import BuildConfig  # noqa: PLC0415 - --help stays fast
    from builder.pipeline.build import Progress, build  # noqa: PLC0415
    from builder.pipeline.streams import SeedStream  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="torch2triton-bench-") as folder:
        config = BuildConfig(pairs=pairs, out=Path(folder) / "data", seed=seed, workers=workers)
        with output.progress(pairs, "building", "pair") as bar:

            def show(progress: Progress) -> None:
                bar.update(min(progress.pairs, pairs) - bar.n)

            build(config, SeedStream(config), show)
        yield config.out


@contextlib.contextmanager
def _bars(output: Output, mutants: int, verifications: int) -> Iterator[Any]:
    totals = {"mutants": mutants, "verifications": verifications}
    done = dict.fromkeys(totals, 0)
    with contextlib.ExitStack() as stack:
        bars = {
            name: stack.enter_context(output.progress(total, name, name[:-1]))
            for name, total in totals.items()
        }

        def on_done(name: str, count: int, faults: list[str]) -> None:
            before, done[name] = done[name], done[name] + count
            bars[name].update(count)
            for fault in faults:
                output.note(fault)
            tenth = max(totals[name] // 10, 1)
            if bars[name].disable and done[name] // tenth > before // tenth:
                output.note(f"{name}: {done[name]} of {totals[name]}")

        yield on_done


def _quiet(result: Mapping[str, Any]) -> list[str]:
    return [f"{one['pair']} {one['function']}:{one['line']}" for one in result["survivors"]]


def _tables(result: Mapping[str, Any]) -> Any:
    from rich.console import Group  # noqa: PLC0415 - --help stays fast

    counts = ("mutants", "killed", "equivalent", "survived")
    parts = [
        render.table(
            ("kind of fault", *counts),
            [(name, *(one[key] for key in counts)) for name, one in result["categories"].items()],
        )
    ]
    if result["survivors"]:
        parts.append(
            render.table(
                ("survivor", "fault", "line", "was", "is"),
                [
                    (one["entry_point"], one["operator"], one["line"], one["original"],
                     one["mutated"])
                    for one in result["survivors"]
                ],
            )
        )  # fmt: skip
    named = ("pairs", "mutants", "killed", "equivalent", "killed_share",
             "killed_share_strict", "verifications",
             "false_alarms", "core_seconds_per_verification")  # fmt: skip
    parts.append(render.facts({name: result[name] for name in named}))
    return Group(*parts)
