"""Turns for program instances that wait for each other."""

from __future__ import annotations

import threading
from typing import Any

from builder.errors import ExecutionError


class Baton:
    """Runs functions on threads of which exactly one runs at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._waiting: list[int] = list(range(count))
        self._error: BaseException | None = None
        self._done = threading.Semaphore(0)
        self._current = threading.local()

    def run(self, function: Any) -> None:
        """Call ``function(n)`` for each n; re-raises the first error."""
        threads = [
            threading.Thread(target=self._work, args=(function, n), daemon=True)
            for n in range(self._count)
        ]
        for thread in threads:
            thread.start()
        self._next()
        self._done.acquire()
        if self._error is not None:
            for turn in self._turns:
                turn.release()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self, function: Any, number: int) -> None:
        self._turns[number].acquire()
        if self._error is not None:
            return
        self._current.number = number
        try:
            function(number)
        except BaseException as error:  # noqa: BLE001
            if self._error is None:
                self._error = error
                self._done.release()
            return
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._turns[self._waiting.pop(0)].release()
        else:
            self._done.release()

    def pass_on(self) -> None:
        """Let the other threads run once before the calling one goes on."""
        number: int = self._current.number
        self._waiting.append(number)
        self._next()
        self._turns[number].acquire()
        if self._error is not None:
            raise ExecutionError("aborted", "another program instance failed")
