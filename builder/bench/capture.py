"""How much of PyTorch becomes verified Triton: its own operator database, entry by entry."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.bench import operators
from builder.config import DRAWS, Limits
from builder.errors import UsageError
from builder.pipeline.build import PRELOAD
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_STEPS = "builder.bench.capture_steps"
_EXAMINE = f"{_STEPS}:examine"
_LIMITS = Limits(deadline_s=240.0, memory_bytes=6 << 30)
_FLAGS = ("captured", "with_triton", "triton_only", "compiled_all_targets", "verified")


@dataclass(frozen=True)
class CaptureBench:
    """What to measure.

    Attributes:
        names: of entries; all of them if there are none.
        scaled: samples scaled up to thousands of elements.
        target: what to capture for.
        workers: worker processes.
        draws: input sets of a verification.
    """

    names: tuple[str, ...] = ()
    scaled: bool = False
    target: str = "cuda:90"
    workers: int = 2
    draws: int = DRAWS


def chosen(names: Sequence[str]) -> list[str]:
    """The entries to measure, in the database's order.

    Raises:
        UsageError: a name is none of its entries.
        OperationFailed: the database cannot be imported.
    """
    every = [entry.name for entry in operators.listed()]
    unknown = sorted(set(names) - set(every))
    if unknown:
        raise UsageError(f"no such entry: {', '.join(unknown)}; see --list")
    return [name for name in every if not names or name in names]


def measure(bench: CaptureBench, on_done: Callable[[], Any]) -> dict[str, Any]:
    """Captures, compiles and verifies the entries.

    Args:
        bench: what to measure.
        on_done: called after each entry.

    Returns:
        ``entries``; ``left_out``, the names of those whose scaled sample eager refuses; how many
        were ``captured``, ``with_triton``, ``triton_only``, ``compiled_all_targets`` and
        ``verified``; the median ``core_seconds`` of a capture; and ``failures``: entry, stage and
        reason of each that is not verified.
    """
    names = chosen(bench.names)
    found: dict[str, dict[str, Any]] = {}
    with Supervisor(bench.workers, _LIMITS, (*PRELOAD, _STEPS)) as supervisor:
        for outcome in supervisor.run(_jobs(bench, names)):
            found[outcome.key] = _result(outcome)
            on_done()
    return report(found[name] | {"entry": name} for name in names)


def report(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The figures of ``measure``."""
    every = list(results)
    rows = [row for row in every if row["valid"]]
    seconds = [row["capture_core_s"] for row in rows if row["captured"]]
    counts = {flag: sum(bool(row[flag]) for row in rows) for flag in _FLAGS}
    failures = [
        {"entry": row["entry"], "stage": row["stage"], "reason": row["reason"]}
        for row in rows
        if not row["verified"]
    ]
    return {
        "entries": len(rows),
        "left_out": [row["entry"] for row in every if not row["valid"]],
        **counts,
        "core_seconds": round(statistics.median(seconds), 4) if seconds else None,
        "failures": failures,
        "failures_by": dict(Counter(_kind(row) for row in failures).most_common()),
    }


def _kind(failure: dict[str, Any]) -> str:
    return f"{failure['stage']}: {failure['reason'].partition(':')[0]}"


def _jobs(bench: CaptureBench, names: Sequence[str]) -> Iterable[Job]:
    for name in names:
        payload = {
            "name": name,
            "scaled": bench.scaled,
            "target": bench.target,
            "draws": bench.draws,
        }
        yield Job(name, (_EXAMINE,), payload)


def _result(outcome: Outcome) -> dict[str, Any]:
    if outcome.value is not None:
        return outcome.value
    rejection = outcome.rejection or {}
    reason = f"{rejection.get('kind')}: {rejection.get('message')}"
    flags = dict.fromkeys(_FLAGS, False)
    return {**flags, "valid": True, "stage": "worker", "reason": reason, "capture_core_s": 0.0}
