"""``torch2triton convert``."""

from __future__ import annotations

from pathlib import Path

import click

from builder.capture.targets import resolve_targets
from builder.cli.files import license_option, programs_in
from builder.cli.options import (
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
from builder.config import BuildConfig, Limits

_EPILOG = """\b
Examples:
  torch2triton convert my_module.py --out data/mine --license MIT
  torch2triton convert KernelBench/level1 KernelBench/level2 --out data/kernelbench

A file defines a class derived from nn.Module, get_inputs() and, where the class takes arguments,
get_init_inputs().  Of several classes the one called Model is taken, or else the last.
It imports torch, math and typing only, and traces whole; a program that wants evaluation mode (for
dropout, say) calls self.eval() last in __init__.  With --mode training the pair computes gradients,
too: of the parameters, and of the inputs that get_inputs returns with requires_grad.
"""


@click.command("convert", epilog=_EPILOG)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@license_option
@targets_option
@variants_option
@mode_option
@style_option
@library_calls_option
@workers_option
@limits_options
@with_output
def command(
    *,
    paths: tuple[Path, ...],
    out: Path,
    spdx: str | None,
    targets: tuple[str, ...],
    variants: tuple[str, ...],
    pair_mode: str,
    style: str,
    library_calls: str,
    workers: int,
    limits: Limits,
    output: Output,
) -> int:
    """Turn your own PyTorch modules into verified pairs.

    Each file gives, in each variant, one pair or one rejection that says what is wrong with it, and
    where.
    """
    from builder.pipeline.streams import FileStream  # noqa: PLC0415 - --help stays fast

    chosen = variant_names(variants)
    programs = programs_in(paths, spdx)
    config = BuildConfig(
        pairs=len(programs) * len(chosen),
        out=out,
        targets=tuple(target.name for target in resolve_targets(targets)),
        variants=chosen,
        mode=pair_mode,
        style=style,
        library_calls=library_calls,
        workers=workers,
        limits=limits,
    )
    return run_build(config, FileStream(config, programs), output, total=config.pairs)
