"""Who verifies the verifier: plants faults in verified pairs and counts which are found.

Every fault that verification does not find is either proven to be none (``proofs.equivalence``),
or no loss of precision (``mutants.errors``: at most twice the original's error, or on every input
set at most twice PyTorch's own, sampled as verification samples it, which is right by the rule of
comparison; the latter are counted apart, and ``killed_share_strict`` takes them for faults), or
listed. Untouched pairs are verified again and again with other seeds; each failure is a false
alarm.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.bench.mutants.choose import Chooser, Mutant, partner
from builder.bench.verifier_steps import (
    EQUIVALENT,
    INVALID,
    KILLED,
    PRECISION_OF_EAGER,
    SURVIVED,
)
from builder.config import DRAWS, MODES, Limits
from builder.errors import OperationFailed
from builder.pipeline.build import PRELOAD
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

GOAL = 0.995
"""Share of the mutants that are not equivalent which verification must find."""

_STEPS = "builder.bench.verifier_steps"
_JUDGE = f"{_STEPS}:judge_mutants"
_VERIFY = f"{_STEPS}:verify_untouched"
_SPARE = 4
# Memory that a mutant's process shares with the one it was forked from counts twice.
_LIMITS = Limits(deadline_s=3600.0, memory_bytes=16 << 30)
_PARTS = ("executor", "comparison", "rest", "reference", "compilation")


@dataclass(frozen=True)
class VerifierBench:
    """What to measure.

    Attributes:
        mutants: faults to plant, spread evenly over the pairs.
        verifications: of untouched pairs, spread evenly over the pairs.
        workers: worker processes.
        seed: decides mutants and draws.
        draws: input sets of a verification.
    """

    mutants: int
    verifications: int
    workers: int
    seed: int
    draws: int = DRAWS


@dataclass
class _Tally:
    """What is known so far."""

    planned: dict[str, list[Mutant]] = field(default_factory=dict)
    judged: list[tuple[int, Mutant, dict[str, Any]]] = field(default_factory=list)
    verified: list[dict[str, Any]] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)


def measure(
    bench: VerifierBench, rows: Sequence[Row], on_done: Callable[[str, int, list[str]], Any]
) -> dict[str, Any]:
    """Judges mutants and untouched pairs.

    Args:
        bench: what to measure.
        rows: verified pairs; those that call a library are left out.
        on_done: called with ``mutants`` or ``verifications``, how many more are done, and what
            should not have been: survivors and false alarms.

    Returns:
        ``pairs``, ``mutants``, ``killed``, ``equivalent``, ``killed_share``,
        ``killed_share_strict``, ``equivalent_by``, ``killed_by``, ``survivors``, ``operators``,
        ``categories``, ``verifications``, ``false_alarms``, ``false_alarm_reasons``,
        ``core_seconds_per_verification``, the median of executor and comparison, and
        ``core_seconds``, that of each part: ``rest`` is loading, static checks and input sets.

    Raises:
        OperationFailed: there are no pairs, or the workers cannot start.
    """
    rows = [row for row in rows if not row.get("fallback_ops")]
    if not rows:
        raise OperationFailed("the data set holds no pairs; build one first")
    tally = _Tally()
    shares = _shares(bench.mutants, len(rows))
    with Supervisor(min(bench.workers, len(rows)), _LIMITS, (*PRELOAD, _STEPS)) as supervisor:
        for outcome in supervisor.run(_mutant_jobs(bench, rows, shares, tally)):
            known = len(tally.judged)
            count = _record(outcome, tally)
            on_done("mutants", count, _survivors(rows, tally.judged[known:]))
        for outcome in supervisor.run(_untouched_jobs(bench, rows)):
            found = _verification(outcome, rows)
            tally.verified.append(found)
            on_done("verifications", 1, [] if found["passes"] else [_alarm(found)])
    return _report(rows, tally)


def passes(result: Mapping[str, Any]) -> bool:
    """Whether verification is as good as it claims."""
    faults = result["mutants"] - result["equivalent"]
    return result["killed"] >= GOAL * faults and not result["false_alarms"]


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (index < total % parts) for index in range(parts)]


# -- mutants -----------------------------------------------------------------------------------


def _mutant_jobs(
    bench: VerifierBench, rows: Sequence[Row], shares: Sequence[int], tally: _Tally
) -> Iterator[Job]:
    chooser = Chooser(bench.seed)
    missing = 0
    for index, row in enumerate(rows):
        wanted = shares[index] + missing
        mutants = chooser.draw(row, wanted + _SPARE, partner(rows, index)) if wanted else []
        missing = max(wanted - len(mutants), 0)
        if not mutants:
            continue
        tally.planned[str(index)] = mutants
        texts = [{"text": mutant.text, "category": mutant.category} for mutant in mutants]
        payload = _texts(row) | {
            "draws": bench.draws,
            "seed": bench.seed,
            "wanted": wanted,
            "mutants": texts,
        }
        yield Job(str(index), (_JUDGE,), payload)


def _texts(row: Row) -> dict[str, Any]:
    texts = {key: row[key] for key in ("python_code", "triton_code", "entry_point")}
    return texts | {
        "mode": row.get("mode") or MODES[0],
        "generic": bool(row.get("shape_generic")),
        "unrun": bool(row.get("unrun_shapes")),
    }


def _record(outcome: Outcome, tally: _Tally) -> int:
    """Enters a pair's results; how many mutants were judged."""
    if outcome.value is None:
        rejection = outcome.rejection or {}
        kind, message = rejection.get("kind"), str(rejection.get("message"))
        if kind == "memory":
            message, _, _ = message.partition("; ")  # what follows is advice on build's options
        reason = f"{kind}: {message}"
        tally.unjudged.append(f"pair {outcome.key}: {reason}")
        return 0
    valid = [
        (int(outcome.key), mutant, found)
        for mutant, found in zip(tally.planned[outcome.key], outcome.value["results"], strict=False)
        if found["outcome"] != INVALID
    ]
    tally.judged += valid
    return len(valid)


def _survivors(
    rows: Sequence[Row], judged: Sequence[tuple[int, Mutant, dict[str, Any]]]
) -> list[str]:
    return [
        f"survivor: {rows[index]['entry_point']} {mutant.operator}, line {mutant.line}"
        for index, mutant, found in judged
        if found["outcome"] == SURVIVED
    ]


# -- untouched pairs ---------------------------------------------------------------------------


def _untouched_jobs(bench: VerifierBench, rows: Sequence[Row]) -> Iterator[Job]:
    for number in range(bench.verifications):
        index, rounds = number % len(rows), number // len(rows)
        row = rows[index]
        targets = list(row.get("compiled_targets") or ("cuda:90",)) if rounds == 0 else []
        payload = _texts(row) | {
            "draws": bench.draws,
            "seed": bench.seed + rounds,
            "targets": targets,
        }
        yield Job(f"{index}/{rounds}", (_VERIFY,), payload)


def _verification(outcome: Outcome, rows: Sequence[Row]) -> dict[str, Any]:
    index, _, rounds = outcome.key.partition("/")
    found: dict[str, Any] = {"pair": _pair(rows, int(index)), "round": int(rounds)}
    if outcome.value is not None:
        return found | outcome.value
    rejection = outcome.rejection or {}
    reason = f"{rejection.get('kind')}: {rejection.get('message')}"
    return found | {"passes": False, "reason": reason, "costs": None}


def _alarm(found: Mapping[str, Any]) -> str:
    pair = found["pair"]
    return f"false alarm: {pair['pair']} {pair['entry_point']}: {found['reason']}"


def _pair(rows: Sequence[Row], index: int) -> dict[str, Any]:
    row = rows[index]
    return {"pair": row.get("pair_id") or index, "entry_point": row["entry_point"]}


# -- figures -----------------------------------------------------------------------------------


def _report(rows: Sequence[Row], tally: _Tally) -> dict[str, Any]:
    judged = sorted(tally.judged, key=lambda item: item[0])
    outcomes = Counter(found["outcome"] for _, _, found in judged)
    alarms = [found for found in tally.verified if not found["passes"]]
    kinds = Counter(found["kind"] for _, _, found in judged if found["outcome"] == KILLED)
    proofs = Counter(found["proof"] for _, _, found in judged if found["outcome"] == EQUIVALENT)
    return {
        "pairs": len(rows),
        "mutants": len(judged),
        "killed": outcomes[KILLED],
        "equivalent": outcomes[EQUIVALENT],
        "killed_share": _share(outcomes),
        "killed_share_strict": _share(outcomes + _allowed(judged)),
        "equivalent_by": dict(proofs.most_common()),
        "killed_by": dict(kinds.most_common()),
        "survivors": [_survivor(rows, *item) for item in judged if item[2]["outcome"] == SURVIVED],
        "unjudged": tally.unjudged,
        "operators": _counts(judged, "operator"),
        "categories": _counts(judged, "category"),
        "verifications": len(tally.verified),
        "false_alarms": len(alarms),
        "false_alarm_reasons": [
            found["pair"] | {"round": found["round"], "reason": found["reason"]} for found in alarms
        ],
        **_costs(tally.verified),
    }


def _share(outcomes: Mapping[str, int]) -> float | None:
    """The share of the faults that were killed."""
    faults = outcomes[KILLED] + outcomes[SURVIVED]
    return outcomes[KILLED] / faults if faults else None


def _allowed(judged: Sequence[tuple[int, Mutant, Mapping[str, Any]]]) -> Counter[str]:
    """What became of the mutants that are no faults because eager is as far off."""
    return Counter(
        KILLED if found["kind"] else SURVIVED
        for _, _, found in judged
        if found["proof"] == PRECISION_OF_EAGER
    )


def _survivor(
    rows: Sequence[Row], index: int, mutant: Mutant, found: Mapping[str, Any]
) -> dict[str, Any]:
    return _pair(rows, index) | {
        "operator": mutant.operator,
        "category": mutant.category,
        "function": mutant.function,
        "line": mutant.line,
        "original": mutant.original_line,
        "mutated": mutant.mutated_line,
        "error": found["error"],
        "tolerance": found["tolerance"],
        "times_eager": found["times_eager"],
        "reason": found["reason"],
    }


def _counts(
    judged: Sequence[tuple[int, Mutant, dict[str, Any]]], name: str
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for _, mutant, found in judged:
        counts[getattr(mutant, name)]["mutants"] += 1
        counts[getattr(mutant, name)][found["outcome"]] += 1
    order = ("mutants", KILLED, EQUIVALENT, SURVIVED)
    return {key: {one: counts[key][one] for one in order} for key in sorted(counts)}


def _costs(verified: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the verifications; the compiles' over those that compiled."""
    spent = [found["costs"] for found in verified if found["costs"]]
    medians = {
        part: _median([cost[part] for cost in spent if cost[part] is not None]) for part in _PARTS
    }
    total = _median([cost["verification"] for cost in spent])
    return {"core_seconds_per_verification": total, "core_seconds": medians}


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 4) if values else None
