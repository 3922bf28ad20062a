"""A name that is given several values in turn gets a name for each.

Templates write ``xindex`` and ``idx_m`` anew for each load.  Where such a value is read only
between two assignments of one list of statements, it is a variable of its own.
"""

from __future__ import annotations

import ast
import re

from builder.rewrite.style.inline import all_blocks, stores_of, target_of

_AXIS = re.compile(r"r\d_(index|mask|\d+)")


def separate_versions(function: ast.FunctionDef) -> None:
    """Works in place; versions are called ``name__1``, ``name__2`` until they are named."""
    stores = stores_of(function)
    for name in [name for name, count in stores.items() if count > 1]:
        owners = [block for block in all_blocks(function) if _assigns(block, name)]
        direct = sum(target_of(line) == name for block in owners for line in block)
        if _AXIS.fullmatch(name) and len(owners) == direct:
            continue  # a loop's own index may be called like another loop's
        if direct == stores[name] and _is_self_contained(function.body, name):
            _Versions(name).separate(owners)


def _assigns(block: list[ast.stmt], name: str) -> bool:
    return any(target_of(line) == name for line in block)


def _is_self_contained(block: list[ast.stmt], name: str) -> bool:
    """Whether each read of a name follows an assignment in its own list of statements."""
    is_known = False
    for line in block:
        reads = _count(line, name, ast.Load)
        if target_of(line) == name:
            if reads and not is_known:
                return False
            is_known = True
        elif _count(line, name, ast.Store):
            inner = _inner_blocks(line)
            inside = sum(_count(item, name, ast.Load) for part in inner for item in part)
            if inside != reads or not all(_is_self_contained(part, name) for part in inner):
                return False
            is_known = False
        elif reads and not is_known:
            return False
    return True


def _inner_blocks(line: ast.stmt) -> list[list[ast.stmt]]:
    return [part for field in ("body", "orelse") if (part := getattr(line, field, None))]


class _Versions:
    """Gives each assignment of a name a name of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def separate(self, owners: list[list[ast.stmt]]) -> None:
        for block in owners:
            current = self._name
            for line in block:
                if target_of(line) == self._name and isinstance(line, ast.Assign):
                    line.value = _Renamed(self._name, current).visit(line.value)
                    self._count += 1
                    current = f"{self._name}__{self._count}"
                    line.targets = [ast.Name(current, ast.Store())]
                elif _count(line, self._name, ast.Store):
                    current = self._name
                else:
                    _Renamed(self._name, current).visit(line)


def _count(node: ast.AST, name: str, context: type[ast.expr_context]) -> int:
    return sum(
        isinstance(item, ast.Name) and item.id == name and isinstance(item.ctx, context)
        for item in ast.walk(node)
    )


class _Renamed(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._new, node.ctx) if node.id == self._old else node
