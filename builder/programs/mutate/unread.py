"""Names that a program gives something and never reads: an edit must not leave any behind."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def unread_names(tree: ast.Module) -> set[str]:
    """Variables of functions, imports, helpers and attributes that nothing reads.

    A variable that is given a new value before it was read counts as read if it is later.
    """
    found = set(_attributes(tree))
    read = _names(tree, ast.Load)
    for item in tree.body:
        if isinstance(item, (ast.Import, ast.ImportFrom)):
            names = {(alias.asname or alias.name).split(".")[0] for alias in item.names}
            found |= {f"import {name}" for name in names - read}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            idle = _names(function, ast.Store) - _names(function, ast.Load)
            found |= {f"{function.name}.{name}" for name in idle}
    return found


def _attributes(tree: ast.Module) -> Iterator[str]:
    """Attributes of ``self`` that are only ever set."""
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {node.attr for node in inner if isinstance(node.ctx, ast.Load)}
    for node in inner:
        if isinstance(node.ctx, ast.Store) and node.attr not in read:
            yield f"self.{node.attr}"


def _names(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }
