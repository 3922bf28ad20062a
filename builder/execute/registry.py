"""The table of operations: each module of operations fills in its part."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

Handler = Callable[["Frame", "Operation", list[Any]], Any]
"""Runs one operation on the operands' values; gives its result, or a tuple of several, or None."""

HANDLERS: dict[str, Handler] = {}


def operation(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operations of those names."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register
