"""The notation of ``tt.dot_scaled``, where a word says which operands are scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.execute.ir import Operation, Type
    from builder.execute.parse import Parser


def scaled_product(parser: Parser, name: str) -> tuple[Operation, list[Type]]:
    """``tt.dot_scaled %a scale %s, %b scale %t, %c lhs = e2m1 rhs = e5m2 {...} : types``."""
    slots: list[int] = []
    scaled: list[bool] = []
    for _ in range(2):
        slots.append(parser.operand())
        scaled.append(parser.accept("scale"))
        if scaled[-1]:
            slots.append(parser.operand())
        parser.expect(",")
    slots.append(parser.operand())
    operation, types = parser.plain(name)
    operation.operands = tuple(slots)
    operation.attributes["scaled"] = tuple(scaled)
    return operation, types
