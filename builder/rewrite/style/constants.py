"""Settings of templates where they are used, and arithmetic with zeros and ones done."""

from __future__ import annotations

import ast
import copy

from builder.rewrite.style.inline import all_blocks, stores_of, target_of

_SETTINGS = ("tl.", "torch.")


def settle_constants(function: ast.FunctionDef) -> None:
    """Writes types, flags, zeros and ones into a kernel, and folds what they leave; in place."""
    stores = stores_of(function)
    known: dict[str, ast.expr] = {}
    for block in all_blocks(function):
        for statement in block:
            target, value = target_of(statement), getattr(statement, "value", None)
            if target and value and stores[target] == 1 and _is_setting(value):
                known[target] = value
    _Settled(known).visit(function)


def _is_setting(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, bool) or (type(value.value) is int and value.value in (0, 1))
    return isinstance(value, ast.Attribute) and ast.unparse(value).startswith(_SETTINGS)


class _Settled(ast.NodeTransformer):
    def __init__(self, known: dict[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._known:
            return copy.deepcopy(self._known[node.id])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Mult):
            if left == 1:
                return node.right
            if right == 1:
                return node.left
            if 0 in (left, right) and _is_of_constants(node):
                return ast.Constant(0)
        if isinstance(node.op, ast.Add):
            if left == 0:
                return node.right
            if right == 0:
                return node.left
            return _as_difference(node)
        if isinstance(node.op, (ast.Sub,)) and right == 0:
            return node.left
        if isinstance(node.op, ast.FloorDiv) and right == 1:
            return node.left
        return node


def _as_difference(node: ast.BinOp) -> ast.BinOp:
    """``x + -1 * y`` is ``x - y``, and ``-1 + x`` is ``x - 1``."""
    for one, other in ((node.left, node.right), (node.right, node.left)):
        negated = _negated(other)
        if negated is not None:
            return ast.BinOp(one, ast.Sub(), negated)
    return node


def _negated(node: ast.expr) -> ast.expr | None:
    """``y`` of ``-1 * y``, ``1`` of ``-1``."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand if _number(node.operand) is not None else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return node.right if ast.unparse(node.left) == "-1" else None
    return None


def _number(node: ast.expr) -> int | None:
    is_int = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if is_int else None  # type: ignore[attr-defined]


def _is_of_constants(node: ast.expr) -> bool:
    """Whether it is made of numbers and of names written in capitals, as constants are."""
    names = [item.id for item in ast.walk(node) if isinstance(item, ast.Name)]
    calls = any(isinstance(item, (ast.Call, ast.Subscript)) for item in ast.walk(node))
    return not calls and all(name.isupper() or name.startswith("stride_") for name in names)
