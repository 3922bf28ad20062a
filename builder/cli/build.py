"""``torch2triton build``."""

from __future__ import annotations

from pathlib import Path

import click

from builder.capture.targets import resolve_targets
from builder.cli.files import license_option, programs_in
from builder.cli.options import (
    families_option,
    family_names,
    library_calls_option,
    limits_options,
    mode_option,
    style_option,
    targets_option,
    variant_names,
    variants_option,
    workers_option,
)
from builder.cli.output import Output, with_output
from builder.cli.run import run_build
from builder.config import MOST_ALIKE, BuildConfig, Limits
from builder.errors import UsageError

_EPILOG = """\b
Examples:
  torch2triton build --pairs 60 --out data/demo --seed 0
  torch2triton build --pairs 1000 --out /data/pairs --target cuda:90 --target hip:gfx942
  torch2triton build --pairs 20 --out data/norms --families layer_norm,rms_norm
  torch2triton build --pairs 500 --out data/many --variants all
  torch2triton build --pairs 20 --out data/training --mode training
  torch2triton build --pairs 200 --out data/mutants --from data/seeds --from my_module.py
"""


@click.command("build", epilog=_EPILOG)
@click.option("--pairs", type=click.IntRange(min=1), required=True, help="Verified pairs to write.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root seed.")
@targets_option
@variants_option
@families_option
@click.option(
    "--from",
    "parents",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Make mutants of these programs, files or folders, instead of programs of families; may "
    "be repeated.",
)
@license_option
@mode_option
@style_option
@library_calls_option
@click.option(
    "--most-alike",
    type=click.IntRange(min=1),
    default=MOST_ALIKE,
    show_default=True,
    help="Most pairs whose programs are one graph of operators, names, numbers and sizes aside.",
)
@workers_option
@limits_options
@with_output
def command(
    *,
    pairs: int,
    out: Path,
    seed: int,
    targets: tuple[str, ...],
    variants: tuple[str, ...],
    families: tuple[str, ...],
    parents: tuple[Path, ...],
    spdx: str | None,
    pair_mode: str,
    style: str,
    library_calls: str,
    most_alike: int,
    workers: int,
    limits: Limits,
    output: Output,
) -> int:
    """Make random programs, capture their Triton, verify each pair, write the data set.

    The data set is a function of the versions, the options and the seed.  An interrupted build goes
    on when the same command is run again.
    """
    from builder.pipeline.streams import MutantStream, SeedStream  # noqa: PLC0415 - --help stays fast

    if parents and families:
        raise UsageError("--from and --families name two sources of programs; leave one out")
    if spdx and not parents:
        raise UsageError("--license is of the files of --from; name some, or leave it out")

    config = BuildConfig(
        pairs=pairs,
        out=out,
        seed=seed,
        targets=tuple(target.name for target in resolve_targets(targets)),
        variants=variant_names(variants),
        families=family_names(families),
        mode=pair_mode,
        style=style,
        library_calls=library_calls,
        most_alike=most_alike,
        workers=workers,
        limits=limits,
    )
    stream = MutantStream(config, programs_in(parents, spdx)) if parents else SeedStream(config)
    return run_build(config, stream, output, total=pairs)
