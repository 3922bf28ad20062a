"""Turns for program instances that wait for each other."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from builder.errors import ExecutionError


class Baton:
    """Runs functions on threads of which exactly one runs at a time.

    A function's thread starts with its first turn and ends with the function, so that only those
    that really wait for others hold one.

    Args:
        count: how many functions there are.
        most: how many may have begun and not ended.
    """

    def __init__(self, count: int, most: int) -> None:
        self._most = most
        self._turns: dict[int, threading.Semaphore] = {}
        self._waiting = deque(range(count))
        self._error: BaseException | None = None
        self._done = threading.Semaphore(0)
        self._current = threading.local()
        self._threads: dict[int, threading.Thread] = {}
        self._function: Any = None

    def run(self, function: Any) -> None:
        """Call ``function(n)`` for each n; re-raises the first error."""
        self._function = function
        self._next()
        self._done.acquire()
        threads = list(self._threads.values())
        if self._error is not None:
            for turn in list(self._turns.values()):
                turn.release()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self, number: int) -> None:
        self._current.number = number
        try:
            self._function(number)
            del self._threads[number], self._turns[number]
            self._next()
        except BaseException as error:  # noqa: BLE001
            if self._error is None:
                self._error = error
                self._done.release()

    def _next(self) -> None:
        if not self._waiting:
            self._done.release()
            return
        number = self._waiting.popleft()
        if number in self._turns:
            self._turns[number].release()
            return
        self._turns[number] = threading.Semaphore(0)
        thread = threading.Thread(target=self._work, args=(number,), daemon=True)
        self._threads[number] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the process may have no more, or no memory for its stack
            del self._threads[number], self._turns[number]
            message = f"no thread for a program instance that waits: {error}; launch a smaller grid"
            raise ExecutionError("grid", message) from error

    def pass_on(self) -> None:
        """Let the other threads run once before the calling one goes on.

        Raises:
            ExecutionError: ``grid``, too many wait already; ``aborted``, another thread failed.
        """
        if len(self._threads) > self._most:
            raise ExecutionError(
                "grid",
                f"more than {self._most} program instances wait for others; launch a smaller grid",
            )
        number: int = self._current.number
        turn = self._turns[number]
        self._waiting.append(number)
        self._next()
        turn.acquire()
        if self._error is not None:
            raise ExecutionError("aborted", "another program instance failed")
