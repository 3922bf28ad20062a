"""The steps of ``bench verifier``, as workers run them: a pair's mutants, or one verification.

A step prepares the program once and judges each mutant in a fork of its own, so that a mutant that
hangs, crashes or eats memory ends there, and is found by that.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from builder.bench.mutants.errors import errors_of, is_worse
from builder.bench.mutants.precision import CATEGORY as PRECISION
from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.bench.proofs.terms import Unprovable
from builder.capture.targets import resolve_targets
from builder.pipeline.limits import apply_limits
from builder.pipeline.messages import write_all
from builder.pipeline.processes import kill_descendants
from builder.pipeline.steps import in_stage
from builder.verify import Costs, Prepared, judge, prepare
from builder.verify.unrun import unrun_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from builder.bench.mutants.errors import Exactness

MUTANT_DEADLINE_S = 120.0
MUTANT_MEMORY_BYTES = 3 << 30
_READ_BYTES = 1 << 16

KILLED, EQUIVALENT, SURVIVED, INVALID = "killed", "equivalent", "survived", "invalid"
PRECISION_KEPT, PRECISION_OF_EAGER = "precision", "precision_of_eager"
LESS_EXACT = "the same in real numbers, but less exact"


def _unrun(payload: dict[str, Any]) -> tuple[int | None, ...]:
    texts = payload["python_code"], payload["entry_point"]
    return unrun_sets(*texts) if payload["unrun"] else ()


@in_stage("verify")
def judge_mutants(payload: dict[str, Any]) -> dict[str, Any]:
    """What becomes of each mutant of a pair, until ``wanted`` of them are valid.

    Args:
        payload: ``python_code``, ``triton_code``, ``entry_point``, ``mode``, ``generic``, ``unrun``
            (whether an input set is too large to run), ``draws``, ``seed``, ``wanted``, and
            ``mutants``, each with ``text`` and ``category``.

    Returns:
        ``results``: for the first mutants, in their order, ``outcome``, and ``kind`` and ``reason``
        of the verdict, ``error`` and ``tolerance``, and for equivalent ones ``proof``.
    """
    prepared = prepare(
        payload["python_code"],
        payload["entry_point"],
        draws=payload["draws"],
        seed=payload["seed"],
        mode=payload["mode"],
        generic=payload["generic"],
        unrun=_unrun(payload),
    )
    prepared.evaluate()
    original = payload["triton_code"]
    exactness = lru_cache(partial(errors_of, prepared, original))
    results: list[dict[str, Any]] = []
    for mutant in payload["mutants"]:
        if sum(result["outcome"] != INVALID for result in results) >= payload["wanted"]:
            break
        if mutant["category"] == PRECISION:
            exactness()  # once, for all that are forked
        trial = _Trial(prepared, original, mutant, exactness)
        results.append(in_fork(trial.results, MUTANT_DEADLINE_S, MUTANT_MEMORY_BYTES))
    return {"results": results}


class _Trial:
    """One mutant, to be judged in a process of its own."""

    def __init__(
        self,
        prepared: Prepared,
        original: str,
        mutant: Mapping[str, Any],
        exactness: Callable[[], Exactness | None],
    ) -> None:
        self._prepared = prepared
        self._original = original
        self._mutant = mutant
        self._exactness = exactness

    def results(self) -> Iterator[dict[str, Any]]:
        """The verdict, then what is known after the proofs; each stands if nothing follows."""
        verdict = judge(self._prepared, self._mutant["text"], targets=())
        reason = verdict.reason or ""
        found = {
            "outcome": SURVIVED if verdict.agrees else KILLED,
            "kind": None if verdict.agrees else verdict.kind,
            "reason": "no proof: it did not end" if verdict.agrees else reason,
            "error": verdict.max_error,
            "tolerance": verdict.tolerance,
            "proof": None,
            "times_eager": None,
        }
        if verdict.kind == "triton_error" and reason.startswith("import"):
            found["outcome"] = INVALID
        yield found
        if verdict.agrees:
            found |= self._proof()
        is_open = found["outcome"] in (KILLED, SURVIVED) and found["reason"] != LESS_EXACT
        if self._mutant["category"] == PRECISION and is_open:
            found |= self._precision(PRECISION_KEPT, agrees=verdict.agrees)
        yield found

    def _proof(self) -> dict[str, Any]:
        try:
            proof = proven_equivalent(self._prepared, self._original, self._mutant["text"])
        except Unprovable as unprovable:
            return {"reason": f"no proof: {unprovable}"}
        except Exception as error:  # noqa: BLE001  (a proof that fails proves nothing)
            return {"reason": f"no proof: {type(error).__name__}: {error}"}
        if proof is None:
            return {"reason": "no proof"}
        if proof == SAME_REALS:
            return {"reason": LESS_EXACT} | self._precision(SAME_REALS, agrees=True)
        return {"outcome": EQUIVALENT, "proof": proof}

    def _precision(self, kept: str, *, agrees: bool) -> dict[str, Any]:
        """A loss of precision that loses hardly any is none; nor is one that PyTorch has too."""
        original, mutant = self._exactness(), errors_of(self._prepared, self._mutant["text"])
        if mutant is None:
            return {}
        if original is not None and not is_worse(mutant, original):
            return {"outcome": EQUIVALENT, "proof": kept}
        if mutant.within_eager(agrees=agrees):
            return {"outcome": EQUIVALENT, "proof": PRECISION_OF_EAGER}
        if mutant.decides_otherwise or math.isinf(mutant.times_eager):
            return {}
        return {"times_eager": mutant.times_eager}


def in_fork(
    function: Callable[[], Iterator[dict[str, Any]]], deadline_s: float, memory_bytes: int
) -> dict[str, Any]:
    """The last of what a function yields in a fork of this process.

    Returns:
        that, or, if it yields nothing, ``outcome`` killed with ``kind`` ``timeout``, ``memory`` or
        ``crash``.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _run_fork(function, write, memory_bytes)
    os.close(write)
    try:
        text, ended = _read_until(read, time.monotonic() + deadline_s)
    finally:
        os.close(read)
        _end(pid)
        kill_descendants()
    lines = [line for line in text.split(b"\n") if line.endswith(b"}")]
    if lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    if not ended:
        return _killed("timeout", f"it did not end within {deadline_s:g} s")
    return _killed("crash", "its process died")


def _run_fork(
    function: Callable[[], Iterator[dict[str, Any]]], write: int, memory_bytes: int
) -> None:
    try:
        apply_limits(memory_bytes)
        given = False
        try:
            for found in function():
                given = True
                write_all(write, json.dumps(found).encode() + b"\n")
        except MemoryError:
            if not given:
                found = _killed("memory", "it needs too much memory")
                write_all(write, json.dumps(found).encode() + b"\n")
        except BaseException:  # noqa: BLE001  (its end is all that counts; the log says why)
            traceback.print_exc()
    finally:
        os._exit(0)


def _read_until(fd: int, deadline: float) -> tuple[bytes, bool]:
    """All that comes, and whether the other end closed before the deadline."""
    parts: list[bytes] = []
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            break
        part = os.read(fd, _READ_BYTES)
        if not part:
            return b"".join(parts), True
        parts.append(part)
    return b"".join(parts), False


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _killed(kind: str, reason: str) -> dict[str, Any]:
    figures = {"error": None, "tolerance": None, "proof": None, "times_eager": None}
    return {"outcome": KILLED, "kind": kind, "reason": reason, **figures}


@in_stage("verify")
def verify_untouched(payload: dict[str, Any]) -> dict[str, Any]:
    """Verifies a pair as it is and counts the core-seconds.

    Args:
        payload: ``python_code``, ``triton_code``, ``entry_point``, ``mode``, ``generic``, ``unrun``
            (whether an input set is too large to run), ``draws``, ``seed`` and ``targets``, which
            may be empty: then nothing is compiled.

    Returns:
        ``passes``, ``reason`` and ``costs``.
    """
    costs = Costs()
    prepared = prepare(
        payload["python_code"],
        payload["entry_point"],
        draws=payload["draws"],
        seed=payload["seed"],
        mode=payload["mode"],
        generic=payload["generic"],
        unrun=_unrun(payload),
        costs=costs,
    )
    prepared.keeps = False
    targets = resolve_targets(payload["targets"]) if payload["targets"] else ()
    verdict = judge(prepared, payload["triton_code"], targets=targets, costs=costs)
    spent = {name: value for name, value in asdict(costs).items() if not name.startswith("_")}
    spent["verification"] = costs.verification
    if not targets:
        spent["compilation"] = None
    passes = verdict.verified if targets else verdict.agrees
    reason = None if passes else f"{verdict.kind}: {verdict.reason}"
    return {"passes": passes, "reason": reason, "costs": spent}
