"""Step functions: how they are named, what stage they belong to, what their exceptions become."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from builder.errors import Rejected
from builder.pipeline.endings import rejection

if TYPE_CHECKING:
    from pathlib import Path

Step = Callable[[dict[str, Any]], dict[str, Any]]
_Function = TypeVar("_Function", bound=Callable[..., Any])

UNKNOWN_STAGE = "worker"
_MAX_MESSAGE_CHARACTERS = 8000
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_ALLOCATION_FAILED = "DefaultCPUAllocator: can't allocate memory"


def in_stage(stage: str) -> Callable[[_Function], _Function]:
    """Decorator: failures of the step function count in this stage of ``rejections``."""

    def mark(function: _Function) -> _Function:
        function.stage = stage  # type: ignore[attr-defined]
        return function

    return mark


def stage_of(function: Step) -> str:
    """The stage that ``in_stage`` gave, ``"worker"`` without one."""
    return str(getattr(function, "stage", UNKNOWN_STAGE))


def resolve(step: str) -> Step:
    """Import the function named ``"module:function"``."""
    module, _, name = step.partition(":")
    function: Step = getattr(importlib.import_module(module), name)
    return function


def checked_result(returned: Any, stage: str, private: Path) -> dict[str, Any]:
    """What a step returned, its rejection completed.

    Args:
        returned: by the step function.
        stage: stage of the step, for rejections that do not name their own.
        private: the step's folder, whose random name must not get into the data.

    Raises:
        TypeError: it is no dict, or its rejection is none.
    """
    if not isinstance(returned, dict):
        raise TypeError(f"the step returned {type(returned).__name__}, not a dict")
    if "rejection" not in returned:
        return {"value": returned}
    given = returned["rejection"]
    if not isinstance(given, dict):
        raise TypeError(f"the step's rejection is {type(given).__name__}, not a dict")
    defaults = rejection(stage, "rejected", "the step gave no reason", deterministic=True)
    completed = {**defaults, **given}
    return {"rejection": completed | {"message": _clean(str(completed["message"]), private)}}


def rejection_of(error: BaseException, stage: str, private: Path) -> dict[str, Any]:
    """What an exception of a step becomes.

    Args:
        error: anything that was raised.
        stage: stage of the step, for errors that do not name their own.
        private: the step's folder, whose random name must not get into the data.
    """
    if isinstance(error, Rejected):
        message = _clean(error.message, private)
        return rejection(error.stage, error.kind, message, deterministic=True)
    text = _text_of(error)
    if isinstance(error, MemoryError) or _ALLOCATION_FAILED in text:
        message = "an allocation failed; if it is worth more memory, raise --memory"
        return rejection(stage, "memory", message, deterministic=False)
    if isinstance(error, SystemExit):
        message = f"it raised SystemExit({error.code!r}); take calls of sys.exit out of the program"
        return rejection(stage, "exited", _clean(message, private), deterministic=True)
    message = f"{type(error).__name__}: {text} ({_last_line(error)})"
    return rejection(stage, "internal_error", _clean(message, private), deterministic=True)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001  (user code's __str__ may raise anything)
        return f"<no text: {type(second).__name__}>"


def _last_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no traceback"
    last = frames[-1]
    place = f"{last.filename}, line {last.lineno}, in {last.name}"
    return f"{place}: {last.line}" if last.line else place


def _clean(text: str, private: Path) -> str:
    """Take out what differs between machines and runs, and bound the length."""
    for path in sorted({str(private), *sys.path}, key=len, reverse=True):
        if len(path) > 1:
            text = text.replace(path.rstrip("/") + "/", "")
    text = _ADDRESS.sub("at 0x...", text)
    if len(text) > _MAX_MESSAGE_CHARACTERS:
        half = _MAX_MESSAGE_CHARACTERS // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text
