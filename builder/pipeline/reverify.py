"""Verifies the rows of a data set again, each in a fresh process."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from builder.config import MODES
from builder.dataset.schema import pair_id
from builder.pipeline.build import PRELOAD
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from builder.config import Limits

_STEP = ("builder.pipeline.stages:verdict_of_pair",)
_DEFAULT_TARGETS = ("cuda:90",)


def _job(index: int, row: Mapping[str, Any], draws: int, limits: Limits) -> Job:
    payload = {key: row[key] for key in ("python_code", "triton_code", "entry_point")}
    payload["targets"] = list(row.get("compiled_targets") or _DEFAULT_TARGETS)
    payload |= {"draws": draws, "variant": row.get("variant") or "default"}
    payload["mode"] = row.get("mode") or MODES[0]
    payload["shape_generic"] = bool(row.get("shape_generic"))
    payload["fallback_ops"] = row.get("fallback_ops") or []
    payload |= {"unrun_shapes": row.get("unrun_shapes") or [], "limits": asdict(limits)}
    return Job(str(index), _STEP, payload)


def _verdict(row: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    identity = {
        "pair_id": row.get("pair_id") or pair_id(row["python_code"], row["triton_code"]),
        "entry_point": row["entry_point"],
    }
    if outcome.value is not None:
        verdict = outcome.value["verdict"]
        reason = None if verdict["verified"] else f"{verdict['kind']}: {verdict['reason']}"
        figures = {key: verdict[key] for key in ("verified", "max_error", "tolerance")}
        if not verdict["verified"]:
            figures |= {"max_error": None, "tolerance": None}
        return identity | figures | {"reason": reason}
    rejection = outcome.rejection or {}
    reason = f"{rejection.get('kind')}: {rejection.get('message')}"
    return identity | {"verified": False, "reason": reason, "max_error": None, "tolerance": None}


def reverify(
    rows: Sequence[Mapping[str, Any]],
    *,
    draws: int,
    workers: int,
    limits: Limits,
    on_done: Callable[[], Any],
) -> list[dict[str, Any]]:
    """The verdict on each row, in the order of the rows.

    Args:
        rows: with at least ``python_code``, ``triton_code``, ``entry_point``.
        draws: input draws to compare on.
        workers: worker processes.
        limits: of each verification.
        on_done: called after each row.

    Returns:
        dicts of ``pair_id``, ``entry_point``, ``verified``, ``reason``, ``max_error``,
        ``tolerance`` (the last two None for a row that fails).
    """
    verdicts: dict[int, dict[str, Any]] = {}
    jobs = (_job(index, row, draws, limits) for index, row in enumerate(rows))
    with Supervisor(min(workers, len(rows)), limits, PRELOAD) as supervisor:
        for outcome in supervisor.run(jobs):
            index = int(outcome.key)
            verdicts[index] = _verdict(rows[index], outcome)
            on_done()
    return [verdicts[index] for index in range(len(rows))]
