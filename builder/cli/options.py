"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import click

from builder.capture.targets import TARGETS
from builder.capture.variants import VARIANTS, resolve_variants
from builder.config import LIBRARY_CALLS, MODES, STYLES, Limits
from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DEFAULTS = Limits()


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Names given in several options, commas or both; sorted, each once."""
    parts = (part.strip() for value in values for part in value.split(","))
    return tuple(sorted({part for part in parts if part}))


targets_option = click.option(
    "--target",
    "targets",
    multiple=True,
    default=("cuda:90",),
    show_default=True,
    metavar="NAME",
    help=f"GPU that every kernel must compile for; may be repeated, the first is the one code is "
    f"generated for. One of {', '.join(sorted(TARGETS))}.",
)

variants_option = click.option(
    "--variants",
    multiple=True,
    default=("default",),
    show_default=True,
    metavar="NAME[,NAME]|all",
    help=f"Compiler configurations to capture each program in; one that gives the kernels of one "
    f"before it is left out. Of {', '.join(VARIANTS)}.",
)


def variant_names(values: Iterable[str]) -> tuple[str, ...]:
    """Names of variants given in several options, commas or both, in the order given.

    Raises:
        UsageError: one that the table has not, or none.
    """
    parts = [part.strip() for value in values for part in value.split(",")]
    return tuple(variant.name for variant in resolve_variants(filter(None, parts)))


families_option = click.option(
    "--families",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Families to draw programs from; by default all.",
)


def family_names(values: Iterable[str]) -> tuple[str, ...]:
    """Names of families given in several options, commas or both; sorted, each once.

    Raises:
        UsageError: one that does not exist, or options without a name.
    """
    from builder.programs.synthesise import check_families  # noqa: PLC0415 - --help stays fast

    chosen = names(values)
    if values and not chosen:
        raise UsageError("--families names no family; leave it out for all of them")
    check_families(chosen)
    return chosen


mode_option = click.option(
    "--mode",
    "pair_mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="forward: pairs that compute outputs. training: outputs and gradients, of the parameters "
    "and of the inputs that get_inputs returns with requires_grad.",
)

style_option = click.option(
    "--style",
    type=click.Choice(STYLES),
    default=STYLES[0],
    show_default=True,
    help="readable: Triton with docstrings and comments. compact: without.",
)

library_calls_option = click.option(
    "--library-calls",
    type=click.Choice(LIBRARY_CALLS),
    default=LIBRARY_CALLS[0],
    show_default=True,
    help="reject: pairs of Triton alone. keep: a pair may also call PyTorch's operators for which "
    "there is no Triton, such as torch.linalg.inv; the column fallback_ops names them.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1, max=256),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one a core",
    help="Supervised worker processes; results do not depend on it.",
)


def limits_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--deadline`` and ``--memory``; the command takes ``limits``."""

    @click.option(
        "--deadline",
        type=click.FloatRange(min=1),
        default=_DEFAULTS.deadline_s,
        show_default=True,
        metavar="SECONDS",
        help="Longest a step of one item may take.",
    )
    @click.option(
        "--memory",
        type=click.FloatRange(min=0.5),
        default=_DEFAULTS.memory_bytes / 2**30,
        show_default=True,
        metavar="GIB",
        help="Most memory a step of one item may use.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, deadline: float, memory: float, **kwargs: Any) -> Any:
        limits = Limits(deadline_s=deadline, memory_bytes=int(memory * 2**30))
        return function(*args, limits=limits, **kwargs)

    return wrapper
