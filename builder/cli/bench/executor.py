"""``torch2triton bench executor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from builder.cli import render
from builder.cli.output import EXIT_FAILED, EXIT_OK, Output, with_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.bench.executor import Report
    from builder.bench.kernels import BenchKernel

_EPILOG = """\b
Examples:
  torch2triton bench executor
  torch2triton bench executor --only matmul --only attention
  torch2triton bench executor --format json > executor.json
"""


@click.command("executor", epilog=_EPILOG)
@click.option("--only", "names", metavar="NAME", multiple=True, help="Run this kernel; repeatable.")
@click.option("--list", "listing", is_flag=True, help="List the kernels and run none.")
@with_output
def command(*, names: tuple[str, ...], listing: bool, output: Output) -> int:
    """Time kernels on the executor and under Triton's interpreter.

    Both run the same Triton text on equal inputs, on one thread; the interpreter takes many minutes
    over all kernels. Exit status 1 if any results differ.
    """
    from builder.bench.executor import as_data, chosen_kernels, measure  # noqa: PLC0415

    kernels = chosen_kernels(names)
    if listing:
        _list(kernels, output)
        return EXIT_OK
    report = measure(kernels, output.note)
    lines = [f"{row.name} {row.speedup:.0f}" for row in report.kernels]
    output.result(as_data(report), _table(report), quiet=lines)
    output.note(
        f"geometric mean of {sum(row.in_mean for row in report.kernels)} kernels: "
        f"{report.geomean_speedup:.0f} times faster; "
        f"peak memory {report.peak_memory_bytes / 1e9:.2f} GB"
    )
    for row in report.kernels:
        if not row.equal:
            output.warn(f"{row.name}: the results differ by {row.max_abs_diff:.1e}")
    return EXIT_OK if report.equal else EXIT_FAILED


def _list(kernels: Sequence[BenchKernel], output: Output) -> None:
    rows = [(kernel.name, kernel.kind) for kernel in kernels]
    data = {"kernels": [{"name": name, "kind": kind} for name, kind in rows]}
    output.result(data, render.table(("name", "kind"), rows), quiet=[name for name, _ in rows])


def _table(report: Report) -> Any:
    header = ("kernel", "kind", "executor", "cold", "interpreter", "speedup", "difference", "equal")
    return render.table(
        header,
        [
            (
                row.name,
                row.kind,
                f"{row.executor_s * 1e3:.1f} ms",
                f"{row.executor_cold_s * 1e3:.1f} ms",
                f"{row.interpreter_s:.2f} s",
                f"{row.speedup:.0f}",
                f"{row.max_abs_diff:.1e}",
                "yes" if row.equal else "NO",
            )
            for row in report.kernels
        ],
    )
