"""Runs jobs in supervised workers; whatever a job does, it ends in an outcome.

This module and what it imports stay free of torch: the process that supervises should start at
once, hold little memory and have nothing that a job could break.
"""

from __future__ import annotations

import selectors
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from builder.config import Limits
from builder.errors import OperationFailed
from builder.pipeline import endings
from builder.pipeline.messages import Job, Outcome
from builder.pipeline.slots import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

# How long a server may stay silent beyond its step's deadline, and take to get ready.
SILENCE_S = 15.0
START_S = 600.0
_CLOSE_S = 1.5
_MAX_FAILED_STARTS = 3


class Supervisor:
    """A fixed number of workers, to be used as a context manager.

    Each worker imports ``preload`` once and forks a fresh process for every step of a job.  Steps
    see a scrubbed environment and private folders; they are limited in time and memory, and all
    that they start is killed when they end.

    Args:
        workers: worker processes, at least one.
        limits: of each step.
        preload: modules that servers import before they fork; one that defines ``warm_up()`` has it
            called.
        extra_paths: folders put first on the workers' Python path.
        environment: variables that replace those that workers get by default.

    Raises:
        ValueError: ``workers`` is below one.
    """

    def __init__(
        self,
        workers: int,
        limits: Limits | None = None,
        preload: tuple[str, ...] = ("torch", "triton"),
        *,
        extra_paths: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}; at least one is needed")
        self._workers = workers
        self._limits = limits or Limits()
        self._settings = {"limits": asdict(self._limits), "preload": list(preload)}
        self._extra_paths = tuple(extra_paths)
        self._environment = dict(environment or {})
        self._slots: list[Slot] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        try:
            self._fill()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run jobs; outcomes come in the order in which jobs end.

        A job is taken from ``jobs`` only when a worker is free for it, so the caller may stop the
        stream at any time.  If the iterator is closed or left by an exception, every running job is
        killed.  One call at a time.

        Raises:
            OperationFailed: workers cannot start, with the reason.
        """
        source = iter(jobs)
        exhausted = False
        finished = False
        try:
            while True:
                exhausted = exhausted or not self._assign(source)
                if exhausted and not any(slot.job for slot in self._slots):
                    break
                yield from self._turn()
            finished = True
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """Kill all workers and whatever they run; remove their folders."""
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.hang_up()
        deadline = time.monotonic() + _CLOSE_S
        for slot in slots:
            slot.bury(max(deadline - time.monotonic(), 0.0))

    def _fill(self) -> None:
        while len(self._slots) < self._workers:
            slot = Slot(self._settings, self._extra_paths, self._environment, START_S)
            self._slots.append(slot)

    def _assign(self, source: Iterator[Job]) -> bool:
        """Give each free worker a job; whether there may be more of them."""
        self._fill()
        for slot in self._slots:
            if slot.ready and slot.job is None:
                job = next(source, None)
                if job is None:
                    return False
                slot.assign(job)
                self._expect(slot)
        return True

    def _expect(self, slot: Slot) -> None:
        slot.overdue = time.monotonic() + self._limits.deadline_s + SILENCE_S

    def _turn(self) -> list[Outcome]:
        """Wait until a worker has something to say or is overdue; what has ended by that."""
        outcomes = []
        for slot, events in self._select():
            if events & selectors.EVENT_WRITE:
                slot.send()
            if events & selectors.EVENT_READ:
                outcomes += self._hear(slot)
        now = time.monotonic()
        for slot in [slot for slot in self._slots if now > slot.overdue and self._awaited(slot)]:
            outcomes += self._give_up(slot)
        return outcomes

    def _awaited(self, slot: Slot) -> bool:
        return slot.job is not None or not slot.ready

    def _select(self) -> list[tuple[Slot, int]]:
        awaited = [slot.overdue for slot in self._slots if self._awaited(slot)]
        timeout = max(min(awaited, default=0.0) - time.monotonic(), 0.0)
        ready: dict[int, tuple[Slot, int]] = {}
        with selectors.DefaultSelector() as selector:
            for slot in self._slots:
                selector.register(slot.reply_fd, selectors.EVENT_READ, slot)
                if slot.has_outgoing:
                    selector.register(slot.request_fd, selectors.EVENT_WRITE, slot)
            for key, events in selector.select(timeout):
                slot, before = ready.get(id(key.data), (key.data, 0))
                ready[id(slot)] = (slot, before | events)
        return list(ready.values())

    def _hear(self, slot: Slot) -> list[Outcome]:
        messages = slot.read()
        if messages is None:
            return self._lose(slot)
        if slot.ready:
            self._expect(slot)
        outcomes = []
        for message in messages:
            if message["type"] == "ready":
                slot.ready = True
                self._failed_starts = 0
            elif message["type"] == "failed":
                raise OperationFailed(_cannot_start(message["message"]))
            elif message["type"] == "stage":
                slot.stage = message["stage"]
            elif slot.job is not None:
                outcomes.append(_outcome(slot.job, message))
                slot.job = None
        return outcomes

    def _lose(self, slot: Slot) -> list[Outcome]:
        """A worker is dead, or as good as that: clean up, let ``_fill`` start another."""
        self._slots.remove(slot)
        tail = slot.log_tail()
        returncode = slot.bury(_CLOSE_S)
        if not slot.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise OperationFailed(_cannot_start(tail.strip() or f"exit status {returncode}"))
        return self._lost_job(slot, endings.worker_died(slot.stage, returncode), tail)

    def _give_up(self, slot: Slot) -> list[Outcome]:
        """A worker is alive but silent (stopped, perhaps): end it."""
        self._slots.remove(slot)
        tail = slot.log_tail()
        slot.hang_up()
        slot.bury(_CLOSE_S)
        if not slot.ready:
            raise OperationFailed(_cannot_start(f"no answer within {START_S:g} s"))
        return self._lost_job(slot, endings.deadline(slot.stage, self._limits), tail)

    def _lost_job(self, slot: Slot, rejection: dict[str, Any], tail: str) -> list[Outcome]:
        if slot.job is None:
            return []
        seconds = time.monotonic() - slot.started
        return [Outcome(slot.job.key, None, rejection, seconds, tail)]


def _outcome(job: Job, message: dict[str, Any]) -> Outcome:
    return Outcome(
        key=job.key,
        value=message["value"],
        rejection=message["rejection"],
        seconds=message["seconds"],
        stderr_tail=message["tail"],
    )


def _cannot_start(reason: str) -> str:
    return f"the workers cannot start: {reason}; check that torch and triton import without error"
