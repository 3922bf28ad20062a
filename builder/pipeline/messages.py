"""What supervisor, server and step processes tell each other: JSON in length-prefixed frames.

A frame is four bytes of length (big endian) and that many bytes of JSON, always an object.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from json import dumps, loads
from typing import Any

MAX_MESSAGE_BYTES = 64 << 20
# Leaves room for what the server adds when it passes a result on.
MAX_RESULT_BYTES = 48 << 20
_PREFIX = struct.Struct(">I")
_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Job:
    """A chain of steps for one item.

    Each step is named ``"module:function"``, takes a JSON-able dict and returns one, and runs in a
    process of its own.  The first step is given ``payload``; each later one is given
    ``{**payload, **returned}``, where ``returned`` is what the step just before it returned: what a
    step returns replaces fields of the payload for the next step only, and what earlier steps
    returned is passed on only if the steps between return it again.  A step that returns
    ``{"rejection": {...}}`` ends the chain.

    Attributes:
        key: the caller's name for the item; comes back in its outcome.
        steps: at least one ``"module:function"``.
        payload: JSON-able input of the chain.

    Raises:
        ValueError: there is no step, or one is not of the form ``"module:function"``.
    """

    key: str
    steps: tuple[str, ...]
    payload: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"job {self.key!r} has no steps; name at least one 'module:function'")
        for step in self.steps:
            module, _, function = step.partition(":")
            if not (module and function.isidentifier()):
                raise ValueError(f"step {step!r} is not of the form 'module:function'")


@dataclass(frozen=True)
class Outcome:
    """What became of one job: either ``value`` or ``rejection`` is set.

    Attributes:
        key: the job's key.
        value: what the last step returned, without the payload.
        rejection: ``stage``, ``kind``, ``message`` and ``deterministic``, and whatever else a step
            put into the rejection it returned.
        seconds: wall-clock time of all steps that ran.
        stderr_tail: the end of what the last step that ran wrote to stdout and stderr.
    """

    key: str
    value: dict[str, Any] | None
    rejection: dict[str, Any] | None
    seconds: float
    stderr_tail: str


def encode(message: dict[str, Any], limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """The frame of a message.

    Raises:
        TypeError: a part of the message has no JSON form.
        ValueError: the message is circular or above ``limit`` bytes.
    """
    body = dumps(message).encode("ascii")
    if len(body) > limit:
        raise ValueError(f"a message of {len(body)} bytes is above the {limit} allowed")
    return _PREFIX.pack(len(body)) + body


class FrameReader:
    """Turns bytes, in whatever pieces they arrive, into messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that ``data`` completes.

        Raises:
            ValueError: the bytes are no frame, or one above ``MAX_MESSAGE_BYTES``.
            RecursionError: the message is nested too deeply.
        """
        self._pending += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> dict[str, Any] | None:
        if len(self._pending) < _PREFIX.size:
            return None
        (length,) = _PREFIX.unpack_from(self._pending)
        if length > MAX_MESSAGE_BYTES:
            raise ValueError(f"a frame claims {length} bytes, above {MAX_MESSAGE_BYTES}")
        end = _PREFIX.size + length
        if len(self._pending) < end:
            return None
        message = loads(self._pending[_PREFIX.size : end])
        del self._pending[:end]
        if not isinstance(message, dict):
            raise ValueError("a frame holds JSON that is not an object")  # noqa: TRY004
        return message


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, reader: FrameReader) -> dict[str, Any] | None:
    """The next message from a blocking descriptor, ``None`` at its end.

    Only for a peer that awaits the answer to each message before it sends the next.
    """
    while data := os.read(fd, _READ_BYTES):
        for message in reader.feed(data):
            return message
    return None
