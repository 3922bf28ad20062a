"""The server's side of one step: fork it, watch it, end everything it started."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.pipeline import endings
from builder.pipeline.child import StepCall, run_child
from builder.pipeline.messages import MAX_MESSAGE_BYTES, FrameReader
from builder.pipeline.processes import descendants, kill_descendants, remove_tree, resident_bytes
from builder.pipeline.steps import UNKNOWN_STAGE

if TYPE_CHECKING:
    from builder.config import Limits

TAIL_BYTES = 1 << 14
_READ_BYTES = 1 << 18
_POLL_S = 0.05
_FIRST_PAUSE_S = 0.0005


@dataclass(frozen=True)
class StepEnd:
    """How a step ended.

    Attributes:
        value: what it returned, or ``None``.
        rejection: why there is no value, or ``None``.
        tail: the end of its output.
        clean: whether every process that it started is gone.
    """

    value: dict[str, Any] | None
    rejection: dict[str, Any] | None
    tail: str
    clean: bool


def run_step(call: StepCall) -> StepEnd:
    """Run a step in a fork of this process, which must be a subreaper with one thread."""
    result_read, result_write = os.pipe()
    output_read, output_write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(result_read)
        os.close(output_read)
        run_child(call, result_write, output_write)
    os.close(result_write)
    os.close(output_write)
    watch = _Watch(pid, result_read, output_read, call.limits)
    try:
        ending = watch.until_end()
        clean = kill_descendants()
        watch.drain_output()
        remove_tree(call.folder)
    finally:
        os.close(result_read)
        os.close(output_read)
    tail = bytes(watch.tail).decode("utf-8", "replace")
    return StepEnd(ending.get("value"), ending.get("rejection"), tail, clean)


class _Watch:
    def __init__(self, pid: int, result_fd: int, output_fd: int, limits: Limits) -> None:
        self.tail = bytearray()
        self._pid = pid
        self._result_fd = result_fd
        self._output_fd = output_fd
        self._limits = limits
        self._stage: str | None = None
        self._reader = FrameReader()
        self._received = 0
        self._pause = _FIRST_PAUSE_S
        self._open = {result_fd, output_fd}
        for fd in self._open:
            os.set_blocking(fd, False)

    def until_end(self) -> dict[str, Any]:
        """Wait for a result or for a reason why there will be none."""
        deadline = time.monotonic() + self._limits.deadline_s
        next_look = time.monotonic() + _POLL_S
        while True:
            exited, status = os.waitpid(self._pid, os.WNOHANG)
            ending = self._read_result()
            if ending is not None:
                return ending
            if exited:
                return {"rejection": endings.died(self._known_stage, status)}
            now = time.monotonic()
            if now > deadline:
                return {"rejection": endings.deadline(self._known_stage, self._limits)}
            if now >= next_look:
                if self._resident_bytes() > self._limits.memory_bytes:
                    return {"rejection": endings.memory(self._known_stage, self._limits)}
                next_look = now + _POLL_S
            self._wait(min(deadline, next_look) - now)

    @property
    def _known_stage(self) -> str:
        return UNKNOWN_STAGE if self._stage is None else self._stage

    def _resident_bytes(self) -> int:
        return resident_bytes(descendants(os.getpid()))

    def _wait(self, seconds: float) -> None:
        """Sleep until something can be read or the time is over; take in output."""
        if self._result_fd not in self._open:  # it is about to end, or pretends to be
            seconds = min(seconds, self._pause)
            self._pause = min(2 * self._pause, _POLL_S)
        readable, _, _ = select.select(list(self._open), [], [], max(seconds, 0.0))
        if self._output_fd in readable:
            self._read_output()

    def _read_output(self) -> bool:
        data = self._read(self._output_fd)
        self.tail += data
        del self.tail[:-TAIL_BYTES]
        return bool(data)

    def drain_output(self) -> None:
        """Take in what is left of the output once nobody can write any more."""
        while self._output_fd in self._open and self._read_output():
            pass

    def _read_result(self) -> dict[str, Any] | None:
        while self._result_fd in self._open and (data := self._read(self._result_fd)):
            self._received += len(data)
            try:
                messages = self._reader.feed(data)
            except (ValueError, RecursionError):
                return {"rejection": endings.garbled(self._known_stage)}
            if self._received > MAX_MESSAGE_BYTES:
                return {"rejection": endings.garbled(self._known_stage)}
            for message in messages:
                if self._stage is not None or "stage" not in message:
                    return self._final(message)
                self._stage = str(message["stage"])
        return None

    def _final(self, message: dict[str, Any]) -> dict[str, Any]:
        parts = [message.get("value"), message.get("rejection")]
        if sum(isinstance(part, dict) for part in parts) != 1:
            return {"rejection": endings.garbled(self._known_stage)}
        return message

    def _read(self, fd: int) -> bytes:
        """What can be read now; closes the books on a descriptor at its end."""
        with suppress(BlockingIOError):
            data = os.read(fd, _READ_BYTES)
            if not data:
                self._open.discard(fd)
            return data
        return b""
