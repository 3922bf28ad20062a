"""What is computed twice is computed once."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import all_blocks, is_movable, reads_of, stores_of, substitute

if TYPE_CHECKING:
    from collections import Counter


def drop_repeats(function: ast.FunctionDef) -> None:
    """Works in place.

    A value that stands in the text twice, in one list of statements, made of names that never
    change, has one name.
    """
    while any(_drop_in(function, block) for block in all_blocks(function)):
        pass


def _drop_in(function: ast.FunctionDef, block: list[ast.stmt]) -> bool:
    stores = stores_of(function)
    known: dict[str, str] = {}
    renamed: dict[str, ast.expr] = {}
    kept: list[ast.stmt] = []
    for statement in block:
        name = _settled(statement, stores)
        assert name is None or isinstance(statement, ast.Assign)
        if name is not None and isinstance(statement, ast.Assign):
            text = ast.dump(statement.value)
            if text in known:
                renamed[name] = ast.Name(known[text], ast.Load())
                continue
            known[text] = name
        kept.append(statement)
    if renamed:
        block[:] = kept
        substitute(function, renamed)
    return bool(renamed)


def _settled(statement: ast.stmt, stores: Counter[str]) -> str | None:
    """The name of a value that is the same wherever its text is."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return None
    name = statement.targets[0].id
    is_value = not isinstance(statement.value, (ast.Constant, ast.Name))
    made_of = reads_of(statement.value)
    settled = stores[name] == 1 and all(stores[item] <= 1 for item in made_of)
    return name if is_value and settled and is_movable(statement.value, whole=True) else None
