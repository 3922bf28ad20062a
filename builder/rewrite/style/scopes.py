"""Where in a kernel a name lives, and names replaced."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_INDUCTOR_VALUE = re.compile(r"\btmp\d+\b")


def loops_of(function: ast.FunctionDef) -> dict[str, int]:
    """The names that occur in one loop, or one branch, at the top of a function alone."""
    places: dict[str, set[int]] = {}
    for number, (part, is_inner) in enumerate(_parts(function.body)):
        for node in ast.walk(part):
            if isinstance(node, ast.Name):
                places.setdefault(node.id, set()).add(number if is_inner else -1)
    for item in function.args.args:
        places.setdefault(item.arg, set()).add(-1)
    lone = {name: min(found) for name, found in places.items() if len(found) == 1}
    return {name: place for name, place in lone.items() if place >= 0}


def _parts(block: Sequence[ast.stmt]) -> Iterator[tuple[ast.AST, bool]]:
    """Statements; each loop and each branch as a whole, which names may be confined to."""
    for statement in block:
        if isinstance(statement, ast.If):
            yield statement.test, False
            yield ast.Module(statement.body, []), True
            is_chain = len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If)
            if is_chain:
                yield from _parts(statement.orelse)
            else:
                yield ast.Module(statement.orelse, []), True
        else:
            yield statement, isinstance(statement, ast.For)


class Rename(ast.NodeTransformer):
    """Replaces names, in place.

    Args:
        names: the new ones by the old.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._names.get(node.arg, node.arg), node.annotation)

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """The messages of assertions tell names, too."""
        self.generic_visit(node)
        if ast.unparse(node.func) in ("tl.device_assert", "assert_then"):
            message = node.args[1]
            if isinstance(message, ast.Constant):
                node.args[1] = ast.Constant(_INDUCTOR_VALUE.sub(self._named, str(message.value)))
        return node

    def _named(self, found: re.Match[str]) -> str:
        return self._names.get(found[0], "index")
