"""How readable the Triton of a data set is, and whether making it readable broke any of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.bench.readability import code_lines, readability
from builder.config import DRAWS, MODES, Limits
from builder.errors import OperationFailed
from builder.pipeline.build import PRELOAD
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

LINE_RATIO = 0.5
MOST_TOKENS = 16_000
COUNTERS = 0.05
GENERIC_OF_POLYMORPHIC = 0.8
POLYMORPHIC = 0.6

_STEP = "builder.bench.rewrite_steps:rewrite_both"
_LIMITS = Limits(deadline_s=300.0, memory_bytes=6 << 30)
_VARIANTS = "def get_shape_variants("


@dataclass(frozen=True)
class RewriteBench:
    """What to measure.

    Attributes:
        workers: worker processes.
        seed: of choices among configurations.
        draws: input sets of a verification.
        again: captures each program once more, verifies it before and after, and measures the
            texts that are made now; without, those of the data set.
    """

    workers: int
    seed: int = 0
    draws: int = DRAWS
    again: bool = True


def measure(bench: RewriteBench, rows: Sequence[Row], on_done: Callable[[], Any]) -> dict[str, Any]:
    """Measures the texts of a data set.

    Args:
        bench: what to measure.
        rows: of the data set.
        on_done: called for each program that was captured again.

    Returns:
        ``pairs``, ``standalone``, ``verified_before``, ``verified_after``, ``broken``,
        ``line_ratio_median``, ``tokens_p50``, ``tokens_p95``, ``leftover_identifiers``,
        ``counter_identifier_share``, ``counters``, ``longest_line_p95``, ``shape_polymorphic``,
        ``shape_generic``.

    Raises:
        OperationFailed: there are no pairs, or the workers cannot start.
    """
    if not rows:
        raise OperationFailed("the data set holds no pairs; build one first")
    if not bench.again:
        return _texts(rows) | {"verified_before": None, "verified_after": None, "broken": []}
    made = _Made()
    preload = (*PRELOAD, _STEP.partition(":")[0])
    with Supervisor(min(bench.workers, len(rows)), _LIMITS, preload) as supervisor:
        for outcome in supervisor.run(_jobs(bench, rows)):
            made.take(outcome, rows)
            on_done()
    return made.figures()


def passes(result: Mapping[str, Any]) -> bool:
    """Whether the figures are as good as they are meant to be."""
    return (
        result["standalone"] == result["pairs"]
        and result["verified_after"] == result["verified_before"]
        and not result["broken"]
        and result["line_ratio_median"] <= LINE_RATIO
        and result["tokens_p95"] <= MOST_TOKENS
        and not result["leftover_identifiers"]
        and result["counter_identifier_share"] <= COUNTERS
        and result["shape_generic"] >= GENERIC_OF_POLYMORPHIC * result["shape_polymorphic"]
        and result["shape_polymorphic"] >= POLYMORPHIC * result["pairs"]
    )


def _texts(rows: Sequence[Row]) -> dict[str, Any]:
    found = [readability(row["triton_code"]) for row in rows]
    ratios = [
        one.lines / code_lines(row["original_triton_code"])
        for row, one in zip(rows, found, strict=True)
    ]
    tokens = sorted(one.tokens for one in found)
    counters = [name for one in found for name in one.counters]
    widths = sorted(max(map(len, row["triton_code"].splitlines())) for row in rows)
    return {
        "pairs": len(rows),
        "standalone": sum(one.standalone for one in found),
        "line_ratio_median": round(statistics.median(ratios), 4),
        "tokens_p50": _quantile(tokens, 0.5),
        "tokens_p95": _quantile(tokens, 0.95),
        "longest_line_p95": _quantile(widths, 0.95),
        "leftover_identifiers": sorted({name for one in found for name in one.leftover}),
        "counter_identifier_share": round(
            len(counters) / max(1, sum(one.identifiers for one in found)), 4
        ),
        "counters": sorted(set(counters)),
        "shape_polymorphic": sum(_VARIANTS in row["python_code"] for row in rows),
        "shape_generic": sum(bool(row.get("shape_generic")) for row in rows),
    }


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Made:
    """Pairs as they are made now, and what became of them."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._before = self._after = 0
        self._broken: list[str] = []

    def take(self, outcome: Outcome, rows: Sequence[Row]) -> None:
        """Enters one; a program that gives no pair any more is broken, too."""
        if outcome.value is None:
            rejection = outcome.rejection or {}
            reason = f"{rejection.get('kind')}: {rejection.get('message')}"
            self._broken.append(f"pair {outcome.key}: {reason}")
            return
        found = outcome.value
        self._rows.append({"python_code": rows[int(outcome.key)]["python_code"], **found})
        self._before += found["before"]
        self._after += found["after"]
        if found["before"] != found["after"]:
            self._broken.append(f"pair {outcome.key}: {found['reason']}")

    def figures(self) -> dict[str, Any]:
        if not self._rows:
            raise OperationFailed(f"no pair was made: {'; '.join(self._broken[:3])}")
        counts = {"verified_before": self._before, "verified_after": self._after}
        return _texts(self._rows) | counts | {"broken": sorted(self._broken)}


def _jobs(bench: RewriteBench, rows: Sequence[Row]) -> Iterator[Job]:
    for index, row in enumerate(rows):
        payload = {key: row[key] for key in ("python_code", "entry_point")}
        payload |= {
            "mode": row.get("mode") or MODES[0],
            "variant": row.get("variant") or "default",
            "seed": bench.seed + index,
            "draws": bench.draws,
        }
        yield Job(str(index), (_STEP,), payload)
