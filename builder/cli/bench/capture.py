"""``torch2triton bench capture``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.options import workers_option
from builder.cli.output import EXIT_OK, Output, with_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_EPILOG = """\b
Examples:
  torch2triton bench capture
  torch2triton bench capture --only addmm --only nn.functional.conv2d
  torch2triton bench capture --backward-only --only layer_norm
  torch2triton bench capture --format json > capture.json
"""


@click.command("capture", epilog=_EPILOG)
@click.option("--only", "names", metavar="NAME", multiple=True, help="This entry; repeatable.")
@click.option("--list", "listing", is_flag=True, help="List the entries and capture none.")
@click.option("--scaled", is_flag=True, help="Scale samples up to 4,096 elements or more.")
@click.option("--target", default="cuda:90", show_default=True, help="What to capture for.")
@click.option(
    "--backward/--no-backward",
    default=True,
    show_default=True,
    help="Also training pairs, of the entries that autograd supports.",
)
@click.option("--backward-only", is_flag=True, help="Training pairs alone.")
@workers_option
@with_output
def command(
    *,
    names: tuple[str, ...],
    listing: bool,
    scaled: bool,
    target: str,
    backward: bool,
    backward_only: bool,
    workers: int,
    output: Output,
) -> int:
    """Capture, compile and verify PyTorch's own operator database.

    Every entry that takes float32 on the CPU, on its largest sample. What becomes Triton alone is
    compiled for every known target and verified. Where autograd supports it, so is the pair that
    computes gradients. Needs the package expecttest.
    """
    from builder.bench.capture import CaptureBench, chosen, keys, measure  # noqa: PLC0415
    from builder.capture.targets import resolve_targets  # noqa: PLC0415

    resolve_targets([target])
    entries = chosen(names)
    if listing:
        output.result({"entries": entries}, "\n".join(entries), quiet=entries)
        return EXIT_OK
    bench = CaptureBench(
        names,
        scaled,
        target,
        workers,
        forward=not backward_only,
        backward=backward or backward_only,
    )
    with _progress(output, len(keys(bench))) as on_done:
        result = measure(bench, on_done)
    output.result(result, _tables(result), quiet=[one["entry"] for one in result["failures"]])
    return EXIT_OK


@contextlib.contextmanager
def _progress(output: Output, total: int) -> Iterator[Callable[[], None]]:
    done = 0
    with output.progress(total, "capturing", "entry") as bar:

        def on_done() -> None:
            nonlocal done
            done += 1
            bar.update(1)
            if bar.disable and done % max(total // 10, 1) == 0:
                output.note(f"entries: {done} of {total}")

        yield on_done


def _tables(result: Mapping[str, Any]) -> Any:
    from rich.console import Group  # noqa: PLC0415 - --help stays fast

    failures = [(one["entry"], one["stage"], one["reason"][:160]) for one in result["failures"]]
    names = ("entries", "captured", "with_triton", "triton_only", "compiled_all_targets",
             "verified", "library_verified", "backward_entries", "backward_captured",
             "backward_verified", "core_seconds")  # fmt: skip
    return Group(
        render.table(("entry", "stage", "reason"), failures),
        render.table(("why", "entries"), list(result["failures_by"].items())),
        render.facts({name: result[name] for name in names}),
    )
