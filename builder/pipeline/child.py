"""What a forked step process does: shut itself in, run one step, send the result, end."""

from __future__ import annotations

import faulthandler
import io
import os
import random
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from builder.pipeline.environment import make_private_folders
from builder.pipeline.limits import apply_limits
from builder.pipeline.messages import MAX_RESULT_BYTES, encode, write_all
from builder.pipeline.processes import die_with_parent
from builder.pipeline.steps import (
    UNKNOWN_STAGE,
    checked_result,
    rejection_of,
    resolve,
    stage_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.config import Limits


@dataclass(frozen=True)
class StepCall:
    """One step to run.

    Attributes:
        step: ``"module:function"``.
        payload: what the function is given.
        folder: the step's private folder, absent yet.
        limits: its limits.
        server: pid of the server.
        private_fds: the server's descriptors, which are closed before the step function is called.
        tell_stage: called with the step's stage before that.
    """

    step: str
    payload: dict[str, Any]
    folder: Path
    limits: Limits
    server: int
    private_fds: tuple[int, ...]
    tell_stage: Callable[[str], None]


def run_child(call: StepCall, result_fd: int, output_fd: int) -> NoReturn:
    """Run a step in this process, just forked, and end it.

    Two messages go to ``result_fd``: ``{"stage": ...}`` before the step function is called, then
    ``{"value": ...}`` or ``{"rejection": ...}``.
    """
    status = 1
    try:
        message = _run(call, result_fd, output_fd)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        write_all(result_fd, message)
        status = 0
    finally:
        os._exit(status)


def _shut_in(call: StepCall, output_fd: int) -> None:
    os.setsid()
    die_with_parent(call.server)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output_fd, 1), (output_fd, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output_fd)
    faulthandler.enable(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a crash must not swallow what was printed
    os.environ.update(make_private_folders(call.folder))
    tempfile.tempdir = None
    os.chdir(os.environ["TMPDIR"])
    _seed()
    apply_limits(call.limits.memory_bytes)


def _seed() -> None:
    """Give global generators a fixed state; Python and numpy seed theirs from the system."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def _run(call: StepCall, result_fd: int, output_fd: int) -> bytes:
    stage = UNKNOWN_STAGE
    try:
        _shut_in(call, output_fd)
        function = resolve(call.step)
        stage = stage_of(function)
        # From here, not by way of the server: the step may kill the server at once.
        call.tell_stage(stage)
        write_all(result_fd, encode({"stage": stage}))
        for fd in call.private_fds:
            os.close(fd)
        return encode(checked_result(function(call.payload), stage, call.folder), MAX_RESULT_BYTES)
    except BaseException as error:  # noqa: BLE001  (whatever it is, it becomes a rejection)
        return encode({"rejection": rejection_of(error, stage, call.folder)})
