"""Draws many programs and reports what they are."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.bench.programs.diversity import (
    comparable,
    divergence,
    growth,
    trace_counts,
    trigram_entropy,
    vendi,
)
from builder.config import Limits
from builder.errors import OperationFailed
from builder.pipeline.build import PRELOAD
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.supervisor import Supervisor
from builder.programs.synthesise import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LEAST = {
    "yield": 0.7,
    "distinct_share": 0.85,
    "operators": 150,
    "operator_pairs": 3_000,
    "polymorphic_share": 0.6,
    "programs_per_second_per_core": 25.0,
}
MOST = {"largest_family_share": 0.08, "trace_divergence": 0.25}
"""What the figures are meant to be."""

_STEP = "builder.bench.programs.steps:examine"
_BATCH = BLOCK  # programs of one block are drawn one after another
_LIMITS = Limits(deadline_s=600.0, memory_bytes=6 << 30)
_VENDI_SAMPLE = 1_000
_CURVE = 1_000
_FAULTS = ("not finite", "constant", "insensitive")


@dataclass(frozen=True)
class ProgramsBench:
    """What to measure.

    Attributes:
        seeds: programs to draw.
        rechecked: of the first seeds, what passes is checked another way.
        workers: worker processes.
        seed: root seed.
        families: to draw from; empty for all.
    """

    seeds: int
    rechecked: int
    workers: int
    seed: int = 0
    families: tuple[str, ...] = ()


@dataclass
class _Tally:
    """What is known so far."""

    batches: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def programs(self) -> list[dict[str, Any]]:
        return [one for start in sorted(self.batches) for one in self.batches[start]]


def measure(bench: ProgramsBench, on_done: Callable[[int], Any]) -> dict[str, Any]:
    """Draws programs and takes them through the gates that come before capture.

    Args:
        bench: what to measure.
        on_done: called with how many more seeds are done.

    Returns:
        ``seeds``, ``accepted``, ``yield``, ``distinct_share``, ``operators``, ``operator_pairs``,
        ``largest_family_share``, ``trace_divergence``, ``polymorphic_share``,
        ``programs_per_second_per_core``, ``gates`` (rejections by kind), and what else describes
        the programs.

    Raises:
        OperationFailed: the workers cannot start, or one fails.
    """
    tally = _Tally()
    workers = min(bench.workers, -(-bench.seeds // _BATCH))
    with Supervisor(workers, _LIMITS, (*PRELOAD, _STEP.partition(":")[0])) as supervisor:
        for outcome in supervisor.run(_jobs(bench)):
            on_done(_take(outcome, tally))
    return _report(tally)


def missed(result: Mapping[str, Any]) -> list[str]:
    """The figures that are beyond their limits, with these."""
    beyond = [
        f"{name} {result[name]}, at least {least}"
        for name, least in LEAST.items()
        if result[name] < least
    ]
    beyond += [
        f"{name} {result[name]}, at most {most}"
        for name, most in MOST.items()
        if result[name] > most
    ]
    faults = {kind: result["rechecked"][kind] for kind in _FAULTS}
    return beyond + [f"{kind} {count}, none" for kind, count in faults.items() if count]


def _jobs(bench: ProgramsBench) -> Iterator[Job]:
    for start in range(0, bench.seeds, _BATCH):
        payload = {
            "root_seed": bench.seed,
            "start": start,
            "stop": min(start + _BATCH, bench.seeds),
            "families": list(bench.families),
            "rechecked": bench.rechecked,
        }
        yield Job(str(start), (_STEP,), payload)


def _take(outcome: Outcome, tally: _Tally) -> int:
    if outcome.value is None:
        rejection = outcome.rejection or {}
        reason = f"{rejection.get('kind')}: {rejection.get('message')}"
        raise OperationFailed(f"the programs from {outcome.key} on could not be examined: {reason}")
    tally.batches[int(outcome.key)] = outcome.value["programs"]
    for stage, spent in outcome.value["seconds"].items():
        tally.seconds[stage] = tally.seconds.get(stage, 0.0) + spent
    return len(outcome.value["programs"])


def _report(tally: _Tally) -> dict[str, Any]:
    programs = tally.programs
    accepted = [one for one in programs if one["kind"] is None]
    if not accepted:
        raise OperationFailed("no program passes the gates; see `torch2triton build` for why")
    seconds = tally.seconds["draw"] + tally.seconds["gates"]
    return {
        "seeds": len(programs),
        "accepted": len(accepted),
        "yield": round(len(accepted) / len(programs), 4),
        **_variety(accepted),
        **_kinds(accepted),
        "programs_per_second_per_core": round(len(accepted) / seconds, 2) if seconds else 0.0,
        "core_seconds": {stage: round(spent, 1) for stage, spent in sorted(tally.seconds.items())},
        "gates": _counted(one["kind"] for one in programs if one["kind"]),
        "rejected": [
            f"{one['source']}: {one['kind']}: {one['message']}" for one in programs if one["kind"]
        ],
        "rechecked": _rechecked(accepted),
    }


def _variety(accepted: list[dict[str, Any]]) -> dict[str, Any]:
    traces = trace_counts()
    calls = Counter(name for one in accepted for name in one["calls"])
    prints = [one["fingerprint"] for one in accepted]
    pairs = [[(first, second) for first, second in one["pairs"]] for one in accepted]
    return {
        "distinct_share": round(len({*prints}) / len(prints), 4),
        "distinct_growth": growth(prints, _CURVE),
        "operators": len(calls),
        "operator_pairs": len({pair for one in pairs for pair in one}),
        "trace_divergence": round(divergence(comparable(calls, traces), traces), 4),
        "trigram_entropy": round(trigram_entropy(one["calls"] for one in accepted), 2),
        "vendi_score": round(vendi(pairs[:_VENDI_SAMPLE]), 1),
        "calls": {
            "median": statistics.median(len(one["calls"]) for one in accepted),
            "most": max(len(one["calls"]) for one in accepted),
        },
    }


def _kinds(accepted: list[dict[str, Any]]) -> dict[str, Any]:
    sources = _counted(one["source"] for one in accepted)
    elements = sorted(one["elements"] for one in accepted)
    return {
        "families": sources,
        "largest_family_share": round(max(sources.values()) / len(accepted), 4),
        "polymorphic_share": round(sum(one["polymorphic"] for one in accepted) / len(accepted), 4),
        "levels": _counted(str(one["level"]) for one in accepted),
        "dtypes": _counted(dtype for one in accepted for dtype in one["dtypes"]),
        "outputs": _counted(str(one["outputs"]) for one in accepted),
        "input_elements": {
            "p10": elements[len(elements) // 10],
            "p50": elements[len(elements) // 2],
            "p90": elements[len(elements) * 9 // 10],
        },
    }


def _rechecked(accepted: list[dict[str, Any]]) -> dict[str, Any]:
    checked = [one for one in accepted if "faults" in one]
    found = [(one["source"], fault) for one in checked for fault in one["faults"]]
    return {
        "programs": len(checked),
        **{kind: sum(fault.startswith(kind) for _, fault in found) for kind in _FAULTS},
        "faults": [f"{source}: {fault}" for source, fault in found],
    }


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
