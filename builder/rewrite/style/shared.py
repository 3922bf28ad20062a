"""Masks and offsets that several loads and stores share have a name."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import all_blocks, reads_of, stores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ACCESSES = ("tl.load", "tl.store", "tl.atomic_add")


def share_addresses(function: ast.FunctionDef) -> None:
    """Works in place; what is shared is called ``mask__1`` and ``offsets__1`` until it is named."""
    shared = _Shared()
    for block in all_blocks(function):
        shared.share_in(block, "mask", _masks)
        shared.share_in(block, "offsets", _offsets)


class _Shared:
    def __init__(self) -> None:
        self._count = 0

    def share_in(
        self, block: list[ast.stmt], word: str, find: Callable[[ast.stmt], Iterator[ast.expr]]
    ) -> None:
        """Names what occurs twice in a list of statements, before it is first read."""
        places: dict[str, list[int]] = {}
        values: dict[str, ast.expr] = {}
        for index, statement in enumerate(block):
            for value in find(statement):
                places.setdefault(ast.dump(value), []).append(index)
                values[ast.dump(value)] = value
        inserted = 0
        for text, found in sorted(places.items(), key=lambda item: item[1][0]):
            if len(found) < 2 or not _is_constant_from(block, found[0] + inserted, values[text]):
                continue
            self._count += 1
            name = f"{word}__{self._count}"
            assignment = ast.Assign([ast.Name(name, ast.Store())], values[text])
            first = found[0] + inserted
            for statement in block[first:]:  # what is before it may be made of the same
                _Replaced(text, name).visit(statement)
            block.insert(first, ast.fix_missing_locations(_placed(assignment)))
            inserted += 1


def _placed(node: ast.Assign) -> ast.Assign:
    node.lineno = 0
    return node


def _is_constant_from(block: list[ast.stmt], first: int, value: ast.expr) -> bool:
    """Whether nothing from the first reader on changes what a value is made of."""
    made_of = set(reads_of(value))
    return not made_of & set(stores_of(ast.Module(block[first:], [])))


def _simple(statement: ast.stmt) -> bool:
    return not hasattr(statement, "body")


def _masks(statement: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(statement) if _simple(statement) else ():
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            sides = (node.left, node.right)
            if all(isinstance(side, ast.Name) and side.id.endswith("mask") for side in sides):
                yield node


def _offsets(statement: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(statement) if _simple(statement) else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _ACCESSES and node.args:
            place = node.args[0]
            if isinstance(place, ast.BinOp) and isinstance(place.right, ast.BinOp):
                yield place.right


class _Replaced(ast.NodeTransformer):
    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        if ast.dump(node) == self._text:
            return ast.Name(self._name, ast.Load())
        self.generic_visit(node)
        return node
