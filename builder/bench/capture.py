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

_STEPS = ("builder.bench.capture_steps", "builder.bench.backward_steps")
_EXAMINE = f"{_STEPS[0]}:examine"
_EXAMINE_BACKWARD = f"{_STEPS[1]}:examine_backward"
_BACKWARD = "backward "
_LIMITS = Limits(deadline_s=240.0, memory_bytes=6 << 30)
_FLAGS = (
    "captured",
    "with_triton",
    "triton_only",
    "compiled_all_targets",
    "verified",
    "library_verified",
)


@dataclass(frozen=True)
class CaptureBench:
    """What to measure.

    Attributes:
        names: of entries; all of them if there are none.
        scaled: samples scaled up to thousands of elements.
        target: what to capture for.
        workers: worker processes.
        draws: input sets of a verification.
        forward: whether to measure what computes outputs.
        backward: whether to measure training pairs, of the entries that autograd supports.
    """

    names: tuple[str, ...] = ()
    scaled: bool = False
    target: str = "cuda:90"
    workers: int = 2
    draws: int = DRAWS
    forward: bool = True
    backward: bool = True


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
        were ``captured``, ``with_triton``, ``triton_only``, ``compiled_all_targets``,
        ``verified``, and ``library_verified``, those that are not Triton only and agree with their
        library calls kept; ``backward_entries``, those that autograd supports, with how many of
        their training pairs were ``backward_captured`` and ``backward_verified``; the median
        ``core_seconds`` of a capture without gradients; and ``failures``: entry, stage and reason
        of each that is not verified, the stages of training pairs beginning with ``backward``.
    """
    found: dict[str, dict[str, Any]] = {}
    names = keys(bench)
    with Supervisor(bench.workers, _LIMITS, (*PRELOAD, *_STEPS)) as supervisor:
        for outcome in supervisor.run(_job(bench, key) for key in names):
            found[outcome.key] = _result(outcome)
            on_done()
    entries = [found[key] | {"entry": key} for key in names if not key.startswith(_BACKWARD)]
    trained = [key for key in names if key.startswith(_BACKWARD)]
    pairs = [found[key] | {"entry": key.removeprefix(_BACKWARD)} for key in trained]
    return report(entries, pairs)


def keys(bench: CaptureBench) -> list[str]:
    """The jobs of a measurement: names of entries, then those of training pairs.

    Raises:
        UsageError: nothing is to be measured.
    """
    names = chosen(bench.names)
    able = {entry.name for entry in operators.listed() if entry.has_gradient}
    trained = [f"{_BACKWARD}{name}" for name in names if name in able]
    found = [*(names if bench.forward else ()), *(trained if bench.backward else ())]
    if not found:
        raise UsageError("nothing to measure; autograd supports none of these entries")
    return found


def report(
    results: Iterable[dict[str, Any]], pairs: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The figures of ``measure``.

    Args:
        results: of entries.
        pairs: of their training pairs.
    """
    every = list(results)
    trained = list(pairs)
    rows = [row for row in every if row["valid"]]
    seconds = [row["capture_core_s"] for row in rows if row["captured"]]
    counts = {flag: sum(bool(row[flag]) for row in rows) for flag in _FLAGS}
    failures = [
        {"entry": row["entry"], "stage": row["stage"], "reason": row["reason"]}
        for row in (*rows, *trained)
        if not row["verified"]
    ]
    return {
        "entries": len(rows),
        "left_out": [row["entry"] for row in every if not row["valid"]],
        **counts,
        "backward_entries": len(trained),
        "backward_captured": sum(bool(row["captured"]) for row in trained),
        "backward_verified": sum(bool(row["verified"]) for row in trained),
        "core_seconds": round(statistics.median(seconds), 4) if seconds else None,
        "failures": failures,
        "failures_by": dict(Counter(_kind(row) for row in failures).most_common()),
    }


def _kind(failure: dict[str, Any]) -> str:
    return f"{failure['stage']}: {failure['reason'].partition(':')[0]}"


def _job(bench: CaptureBench, key: str) -> Job:
    payload = {
        "name": key.removeprefix(_BACKWARD),
        "scaled": bench.scaled,
        "target": bench.target,
        "draws": bench.draws,
    }
    return Job(key, (_EXAMINE_BACKWARD if key.startswith(_BACKWARD) else _EXAMINE,), payload)


def _result(outcome: Outcome) -> dict[str, Any]:
    if outcome.value is not None:
        return outcome.value
    rejection = outcome.rejection or {}
    reason = f"{rejection.get('kind')}: {rejection.get('message')}"
    flags = dict.fromkeys(_FLAGS, False)
    stage = f"{_BACKWARD if outcome.key.startswith(_BACKWARD) else ''}worker"
    return {**flags, "valid": True, "stage": stage, "reason": reason, "capture_core_s": 0.0}
