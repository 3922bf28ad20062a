"""``torch2triton convert``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.capture.targets import resolve_targets
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
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.programs.program import Program

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


def _files(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """Name and path of each Python file, folders searched, in the order given, then by name."""
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.py")):
                if file.name != "__init__.py":
                    found.setdefault(file.resolve(), file.relative_to(path).as_posix())
        elif path.suffix != ".py":
            raise UsageError(f"{path} is no Python file; name .py files, or folders that hold some")
        else:
            found.setdefault(path.resolve(), path.name)
    if not found:
        raise UsageError("no Python file there; name .py files, or folders that hold some")
    return [(name, path) for path, name in found.items()]


def _program(name: str, path: Path, spdx: str) -> Program:
    from builder.programs.program import Program  # noqa: PLC0415 - --help stays fast

    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return Program(python_code=text, entry_point="", source=f"file:{name}", seed=None, license=spdx)


def _spdx(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.+() -]+", value):
        raise click.BadParameter("give an SPDX identifier such as MIT or Apache-2.0")
    return value


@click.command("convert", epilog=_EPILOG)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@click.option(
    "--license",
    "spdx",
    default="NOASSERTION",
    show_default=True,
    metavar="SPDX",
    callback=_spdx,
    help="Licence of the files, recorded in each row.",
)
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
    spdx: str,
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
    from builder.pipeline.build import FileStream  # noqa: PLC0415 - --help stays fast

    chosen = variant_names(variants)
    programs = [_program(name, path, spdx) for name, path in _files(paths)]
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
