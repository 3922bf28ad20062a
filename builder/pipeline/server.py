"""A worker: ``python -m builder.pipeline.server FOLDER``, started by the supervisor.

It is two processes.  The *guard* stays small, outlives the other, and sees to it that nothing does
outlive the worker: when the supervisor is gone (the request pipe hangs up) or the server is dead,
it kills every descendant.  The *server* imports torch and whatever else steps need once, then forks
a process for each step.  Both are subreapers, so that no descendant can get out of their sight by
forking twice or by starting a session of its own.

What this holds against is code that hangs, crashes, eats memory or disk, or leaves processes
behind, on purpose or not.  It is no prison: steps run as the user, with the user's files in reach.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from builder.config import Limits
from builder.pipeline.child import StepCall
from builder.pipeline.environment import LOG_NAME
from builder.pipeline.messages import FrameReader, encode, receive, write_all
from builder.pipeline.processes import (
    become_subreaper,
    die_with_parent,
    kill_descendants,
    remove_tree,
    thread_count,
)
from builder.pipeline.steps import UNKNOWN_STAGE
from builder.pipeline.watch import StepEnd, run_step

_GUARD_POLL_MS = 50
# Exit status of a server that could not end a step's processes.
UNCLEAN_STATUS = 3


def main() -> NoReturn:
    """Guard a server until it ends or the supervisor does."""
    private = Path(sys.argv[1])
    # ``python -m`` puts the working folder first on the path, where steps could put modules.
    sys.path[:] = [path for path in sys.path if path and Path(path) != Path.cwd()]
    requests, replies = _take_protocol_descriptors(private / LOG_NAME)
    become_subreaper()
    supervisor, guard = os.getppid(), os.getpid()
    pid = os.fork()
    if pid == 0:
        _run_server(requests, replies, private, guard)
    os.close(replies)
    status = _wait(pid, requests, supervisor)
    kill_descendants()
    if status is None:
        remove_tree(private)
        os._exit(0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _take_protocol_descriptors(log: Path) -> tuple[int, int]:
    """Move the protocol away from 0 and 1, where stray reads and prints would meet it."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log_fd)
    return requests, replies


def _wait(pid: int, requests: int, supervisor: int) -> int | None:
    """Wait for the server's end: its status, or ``None`` when the supervisor ended first."""
    poll = select.poll()
    poll.register(requests, 0)  # hang-up alone: what comes in is the server's to read
    while not poll.poll(_GUARD_POLL_MS) and os.getppid() == supervisor:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
    return None


def _run_server(requests: int, replies: int, private: Path, guard: int) -> NoReturn:
    status = 1
    try:
        die_with_parent(guard)
        become_subreaper()
        status = _Server(requests, replies, private).serve()
    except BaseException:  # noqa: BLE001  (the log is all that can still say why)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class _Server:
    def __init__(self, requests: int, replies: int, private: Path) -> None:
        self._requests = requests
        self._replies = replies
        self._private = private
        self._reader = FrameReader()
        self._limits = Limits()

    def serve(self) -> int:
        """Read settings, get ready, run jobs until the supervisor hangs up; the exit status."""
        settings = self._receive()
        if settings is None:
            return 0
        self._limits = Limits(**settings["limits"])
        try:
            _preload(settings["preload"])
        except BaseException as error:  # noqa: BLE001  (the supervisor tells the user)
            traceback.print_exc()
            self._send({"type": "failed", "message": f"{type(error).__name__}: {error}"})
            return 1
        self._send({"type": "ready"})
        while (job := self._receive()) is not None:
            end, seconds = self._run_job(job)
            reply = {"value": end.value, "rejection": end.rejection, "tail": end.tail}
            self._send({"type": "done", "seconds": seconds, **reply})
            if not end.clean:
                return UNCLEAN_STATUS
        return 0

    def _run_job(self, job: dict[str, Any]) -> tuple[StepEnd, float]:
        started = time.monotonic()
        payload: dict[str, Any] = job["payload"]
        given = payload
        for step in job["steps"]:
            end = self._run_step(step, given)
            if end.value is None or not end.clean:
                break
            given = {**payload, **end.value}
        return end, time.monotonic() - started

    def _run_step(self, step: str, given: dict[str, Any]) -> StepEnd:
        self._tell_stage(UNKNOWN_STAGE)
        folder = self._private / "step"
        remove_tree(folder)
        private_fds = (self._requests, self._replies)
        return run_step(
            StepCall(step, given, folder, self._limits, os.getpid(), private_fds, self._tell_stage)
        )

    def _tell_stage(self, stage: str) -> None:
        self._send({"type": "stage", "stage": stage})

    def _receive(self) -> dict[str, Any] | None:
        return receive(self._requests, self._reader)

    def _send(self, message: dict[str, Any]) -> None:
        write_all(self._replies, encode(message))


def _preload(names: list[str]) -> None:
    """Import modules and warm them up, and make the result cheap and safe to fork.

    Raises:
        RuntimeError: a thread was started, which a fork would lose along with locks it holds.
    """
    # Else the first progress bar of a warm-up starts a thread.
    importlib.import_module("tqdm").tqdm.monitor_interval = 0
    modules = [importlib.import_module(name) for name in names]
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    for module in modules:
        if warm_up := getattr(module, "warm_up", None):
            warm_up()
    if (threads := thread_count()) > 1:
        known = ", ".join(thread.name for thread in threading.enumerate())
        raise RuntimeError(
            f"importing and warming up {', '.join(names)} left {threads} threads running ({known}"
            "; native ones have no name), which makes forks unsafe; stop the one that starts them"
        )
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
