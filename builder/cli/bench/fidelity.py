"""``torch2triton bench fidelity``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from builder.capture.variants import DEFAULT, VARIANTS
from builder.cli import render
from builder.cli.options import mode_option
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output
from builder.config import MODES
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

REACHED = 0.99
"""The share of kernels that a described GPU should give byte for byte."""

_EPILOG = """\b
Examples:
  torch2triton bench fidelity
  torch2triton bench fidelity --variant tiles --mode training
  torch2triton bench fidelity --any-size
  torch2triton bench fidelity --programs 500 --format json > fidelity.json
"""


@click.command("fidelity", epilog=_EPILOG)
@click.option(
    "--programs", type=click.IntRange(min=1), default=100, show_default=True, help="How many."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of them.")
@click.option(
    "--variant",
    type=click.Choice(tuple(VARIANTS)),
    default=DEFAULT.name,
    show_default=True,
    metavar="NAME",
    help="Inductor's configuration.",
)
@click.option(
    "--any-size", is_flag=True, help="Sizes that shape variants change are arguments of kernels."
)
@mode_option
@with_output
def command(
    *, programs: int, seed: int, variant: str, any_size: bool, pair_mode: str, output: Output
) -> int:
    """Compare kernels captured for a described GPU with those of a real one of its kind.

    Needs a GPU. With --mode training every floating input gets a gradient. Exit status 1 if fewer
    than 99 % of the kernels are the same byte for byte.
    """
    from builder.bench.fidelity import FidelityBench, measure  # noqa: PLC0415

    if any_size and pair_mode != MODES[0]:
        raise UsageError("gradients are captured for one size; leave --any-size or --mode out")
    bench = FidelityBench(programs, seed, variant, pair_mode, any_size)
    with output.progress(programs, "capturing", "program") as bar:
        result = measure(bench, lambda: bar.update(1))
    different = [f"{one['program']} {one['kernel']}" for one in result["differences"]]
    output.result(result, _tables(result), quiet=different)
    return EXIT_OK if (result["share"] or 0.0) >= REACHED else EXIT_FAILED


def _tables(result: Mapping[str, Any]) -> Any:
    from rich.console import Group  # noqa: PLC0415 - --help stays fast

    rows = [(one["program"], one["kernel"], one["where"]) for one in result["differences"]]
    names = ("device", "target", "torch", "triton", "programs", "kernels", "identical", "share")
    return Group(
        render.table(("program", "kernel", "where"), rows),
        render.facts({name: result[name] for name in names}),
    )
