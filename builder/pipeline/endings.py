"""How a step can end without a result, in the words of a rejection."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.config import Limits

# A program brings these on itself; other signals come from outside (the kernel's memory killer).
_OWN_FAULTS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}


def rejection(stage: str, kind: str, message: str, *, deterministic: bool) -> dict[str, Any]:
    """The dict that stands for a rejection in messages and outcomes."""
    return {"stage": stage, "kind": kind, "message": message, "deterministic": deterministic}


def deadline(stage: str, limits: Limits) -> dict[str, Any]:
    """The step was killed because it took too long."""
    message = (
        f"it did not end within {limits.deadline_s:g} s; "
        "if it is worth the time, raise --deadline, with another --out"
    )
    return rejection(stage, "deadline", message, deterministic=False)


def memory(stage: str, limits: Limits) -> dict[str, Any]:
    """The step was killed because its processes held too much memory."""
    message = (
        f"its processes needed more than {limits.memory_bytes / (1 << 30):.3g} GiB of memory; "
        "if it is worth that much, raise --memory, with another --out"
    )
    return rejection(stage, "memory", message, deterministic=False)


def garbled(stage: str) -> dict[str, Any]:
    """Something other than the worker's own code wrote to the result pipe, or too much."""
    message = (
        "what its process sent as a result is no result or too large; the program must not "
        "write to file descriptors that it did not open"
    )
    return rejection(stage, "bad_result", message, deterministic=True)


def died(stage: str, status: int) -> dict[str, Any]:
    """The step's process ended by itself and left no result.

    Args:
        stage: stage of the step.
        status: what ``os.waitpid`` gave.
    """
    if not os.WIFSIGNALED(status):
        message = (
            f"its process exited with status {os.waitstatus_to_exitcode(status)} and no result; "
            "take calls like os._exit and sys.exit out of the program"
        )
        return rejection(stage, "exited", message, deterministic=True)
    number = os.WTERMSIG(status)
    message = (
        f"its process was killed by {signal_name(number)}; run the program alone, the end of its "
        "output shows where it was"
    )
    return rejection(stage, "crashed", message, deterministic=number in _OWN_FAULTS)


def worker_died(stage: str, returncode: int) -> dict[str, Any]:
    """The server died under the step.

    Args:
        stage: stage of the step.
        returncode: of the server's guard: negative or above 128 for a signal.
    """
    advice = (
        "either the program ended processes that are not its own, or the machine ran out of "
        "memory; run the program alone to find out"
    )
    number = -returncode if returncode < 0 else returncode - 128
    if number <= 0:
        message = f"the worker exited with status {returncode} while it ran; {advice}"
        return rejection(stage, "exited", message, deterministic=False)
    message = f"the worker was killed by {signal_name(number)} while it ran; {advice}"
    return rejection(stage, "crashed", message, deterministic=False)


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; ``signal 77`` where there is no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
