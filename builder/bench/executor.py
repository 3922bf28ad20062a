"""Times kernels on the executor and under Triton's interpreter, at equal results.

What a figure means: ``executor_s`` is the median of several forward passes of the Triton module
with every check of memory on, of a kernel that is lowered already, as in all but the first of the
runs that verify a pair; ``executor_cold_s`` is the median of first passes, Triton's front end
included.  ``interpreter_s`` is one forward pass; the interpreter has nothing to lower.  Every step
runs in a process of its own on one thread.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from builder.bench.kernels import KERNELS, BenchKernel
from builder.errors import OperationFailed, UsageError
from builder.pipeline.environment import worker_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEP_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Row:
    """What was measured of one kernel.

    Attributes:
        name: of ``BenchKernel``.
        kind: the kernel kind.
        executor_s: seconds a forward pass takes on the executor, the kernel being lowered.
        executor_cold_s: the same with the lowering.
        interpreter_s: seconds of a forward pass under ``TRITON_INTERPRET=1``.
        speedup: ``interpreter_s / executor_s``.
        cold_speedup: ``interpreter_s / executor_cold_s``.
        max_abs_diff: largest difference of an output element.
        allowed_diff: largest difference that the order of summation explains.
        equal: whether the outputs agree within that.
        in_mean: whether the geometric mean counts it.
        peak_memory_bytes: peak resident memory of the executor's process.
    """

    name: str
    kind: str
    executor_s: float
    executor_cold_s: float
    interpreter_s: float
    speedup: float
    cold_speedup: float
    max_abs_diff: float
    allowed_diff: float
    equal: bool
    in_mean: bool
    peak_memory_bytes: int


@dataclass(frozen=True)
class Report:
    """All rows, and the figures over them.

    Attributes:
        kernels: one row a kernel.
        geomean_speedup: geometric mean of the speedups of rows ``in_mean``, of all rows if none is.
        peak_memory_bytes: the largest of the rows.
    """

    kernels: tuple[Row, ...]
    geomean_speedup: float
    peak_memory_bytes: int

    @property
    def equal(self) -> bool:
        return all(row.equal for row in self.kernels)


def chosen_kernels(names: Sequence[str]) -> list[BenchKernel]:
    """The kernels of those names, all of them for none, in the order of the list.

    Raises:
        UsageError: there is no kernel of a name.
    """
    known = [kernel.name for kernel in KERNELS]
    for name in names:
        if name not in known:
            raise UsageError(f"no kernel is called {name!r}; choose from {', '.join(known)}")
    return [kernel for kernel in KERNELS if not names or kernel.name in names]


def measure(kernels: Sequence[BenchKernel], note: Callable[[str], None]) -> Report:
    """Run the kernels on both and compare.

    Args:
        kernels: what to run.
        note: told how things go.

    Raises:
        OperationFailed: a step fails.
    """
    rows = []
    for number, kernel in enumerate(kernels, 1):
        note(f"[{number}/{len(kernels)}] {kernel.name}")
        rows.append(_row(kernel, note))
    return summarise(rows)


def summarise(rows: Sequence[Row]) -> Report:
    """The figures over the rows, of which there is at least one."""
    counted = [row.speedup for row in rows if row.in_mean] or [row.speedup for row in rows]
    mean = statistics.geometric_mean(counted)
    return Report(tuple(rows), mean, max(row.peak_memory_bytes for row in rows))


def _row(kernel: BenchKernel, note: Callable[[str], None]) -> Row:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        _step("capture", kernel, folder, note)
        _step("executor", kernel, folder, note)
        _step("interpreter", kernel, folder, note, TRITON_INTERPRET="1")
        executor, interpreter = (
            json.loads((folder / f"{step}.json").read_text(encoding="utf-8"))
            for step in ("executor", "interpreter")
        )
        pairs = zip(_outputs(folder, "executor"), _outputs(folder, "interpreter"), strict=True)
        differences = [compared(ours, theirs, kernel.terms) for ours, theirs in pairs]
    worst = max(differences, key=lambda difference: difference[0] / max(difference[1], 1e-45))
    seconds = interpreter["seconds"]
    return Row(
        name=kernel.name,
        kind=kernel.kind,
        executor_s=executor["warm_seconds"],
        executor_cold_s=executor["seconds"],
        interpreter_s=seconds,
        speedup=seconds / executor["warm_seconds"],
        cold_speedup=seconds / executor["seconds"],
        max_abs_diff=worst[0],
        allowed_diff=worst[1],
        equal=all(found <= allowed for found, allowed in differences),
        in_mean=kernel.in_mean,
        peak_memory_bytes=executor["peak_memory_bytes"],
    )


def _outputs(folder: Path, step: str) -> list[torch.Tensor]:
    outputs: list[torch.Tensor] = torch.load(folder / f"{step}.pt", mmap=True, weights_only=True)
    return outputs


def compared(ours: torch.Tensor, theirs: torch.Tensor, terms: int) -> tuple[float, float]:
    """The largest difference of two outputs, and the largest there may be.

    Both sides make the same products and round each once, but may add in another order and call
    another library's elementary functions.  A sum of ``terms`` rounded terms has an error of about
    ``sqrt(terms) * eps`` times its size (Higham and Mary, "A new approach to probabilistic rounding
    error analysis", 2019); twice that for two sides, and 8 for the tail.  Integers are equal.

    Returns:
        ``(inf, allowed)`` where shapes or dtypes differ, or NaN or infinities lie elsewhere.
    """
    if not ours.is_floating_point():
        same = ours.shape == theirs.shape and bool(torch.equal(ours, theirs))
        return (0.0 if same else math.inf), 0.0
    finite = theirs[torch.isfinite(theirs)]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    allowed = 16 * math.sqrt(terms) * torch.finfo(theirs.dtype).eps * size
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return math.inf, allowed
    unequal = ~(ours == theirs) & ~(torch.isnan(ours) & torch.isnan(theirs))
    distance = (ours[unequal].double() - theirs[unequal].double()).abs()
    if not distance.numel():
        return 0.0, allowed
    worst = float(distance.max())
    return (worst if math.isfinite(worst) else math.inf), allowed


def _step(
    step: str, kernel: BenchKernel, folder: Path, note: Callable[[str], None], **environment: str
) -> None:
    """Run a step in a process of its own.

    Raises:
        OperationFailed: it fails.
    """
    command = [sys.executable, "-m", "builder.bench.executor_process", step, kernel.name]
    started = time.monotonic()
    done = subprocess.run(
        [*command, str(folder)],
        env=worker_environment(folder / "worker", overrides=environment),
        capture_output=True,
        text=True,
        timeout=_STEP_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise OperationFailed(f"{kernel.name}: the step {step} fails: {last}")
    note(f"  {step}: {time.monotonic() - started:.1f} s")


def as_data(report: Report) -> dict[str, object]:
    """The report as JSON has it."""
    return {
        "kernels": [asdict(row) for row in report.kernels],
        "geomean_speedup": report.geomean_speedup,
        "peak_memory_bytes": report.peak_memory_bytes,
    }
