"""The supervisor's end of one worker: its process, its pipes, its private folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from builder.pipeline.environment import LOG_NAME, worker_environment
from builder.pipeline.messages import FrameReader, Job, encode
from builder.pipeline.processes import kill_by_environment, remove_tree
from builder.pipeline.steps import UNKNOWN_STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READ_BYTES = 1 << 18
_LOG_TAIL_BYTES = 1 << 12


class Slot:
    """One running worker.

    Attributes:
        job: what it works on, or ``None``.
        stage: stage of the step that runs.
        ready: whether it has imported everything.
        started: when it was given ``job`` (``time.monotonic``).
        overdue: when to give up on hearing from it (``time.monotonic``).
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        extra_paths: Sequence[str],
        environment: Mapping[str, str],
        patience_s: float,
    ) -> None:
        self.job: Job | None = None
        self.stage = UNKNOWN_STAGE
        self.ready = False
        self.started = 0.0
        self.overdue = time.monotonic() + patience_s
        self._folder = Path(tempfile.mkdtemp(prefix="torch2triton-"))
        self._reader = FrameReader()
        self._outgoing = bytearray(encode(dict(settings)))
        try:
            self._process = self._start(worker_environment(self._folder, extra_paths, environment))
        except BaseException:
            remove_tree(self._folder)
            raise
        for fd in (self.request_fd, self.reply_fd):
            os.set_blocking(fd, False)

    def _start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "builder.pipeline.server", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=environment["HOME"],
            env=environment,
            start_new_session=True,
        )

    @property
    def request_fd(self) -> int:
        return self._pipe(self._process.stdin).fileno()

    @property
    def reply_fd(self) -> int:
        return self._pipe(self._process.stdout).fileno()

    @property
    def pid(self) -> int:
        """Process id of the worker's guard, which leads the worker's session."""
        return self._process.pid

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise RuntimeError("a worker was started without its pipes")
        return pipe

    def assign(self, job: Job) -> None:
        """Hand over a job; ``send`` gets it across."""
        message = {"steps": list(job.steps), "payload": job.payload}
        self._outgoing += encode(message)
        self.job = job
        self.stage = UNKNOWN_STAGE
        self.started = time.monotonic()

    @property
    def has_outgoing(self) -> bool:
        return bool(self._outgoing)

    def send(self) -> None:
        """Write what the pipe takes; that the worker is dead shows when it is read."""
        with suppress(BlockingIOError, BrokenPipeError):
            del self._outgoing[: os.write(self.request_fd, self._outgoing)]
            return
        if self._process.poll() is not None:
            self._outgoing.clear()

    def read(self) -> list[dict[str, Any]] | None:
        """Messages that have come in; ``None`` when the worker is dead or talks nonsense."""
        try:
            data = os.read(self.reply_fd, _READ_BYTES)
            return self._reader.feed(data) if data else None
        except BlockingIOError:
            return []
        except (ValueError, RecursionError):
            return None

    def hang_up(self) -> None:
        """Tell the guard to end everything and to remove the private folder."""
        with suppress(OSError):
            self._pipe(self._process.stdin).close()

    def bury(self, timeout_s: float) -> int:
        """See to it that nothing of the worker is left.

        Args:
            timeout_s: how long its guard may take for that before it is killed too.

        Returns:
            The guard's exit status.
        """
        try:
            returncode = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            returncode = self._process.wait()
        self.hang_up()
        self._pipe(self._process.stdout).close()
        if returncode < 0:
            kill_by_environment(str(self._folder))
        remove_tree(self._folder)
        return returncode

    def log_tail(self) -> str:
        """The end of what the server wrote outside of steps."""
        try:
            text = (self._folder / LOG_NAME).read_bytes()[-_LOG_TAIL_BYTES:]
        except OSError:
            return ""
        return text.decode("utf-8", "replace")
