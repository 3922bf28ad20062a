"""Addresses as people write them: ``row * stride + col``.

Sums and products of two operands change sides, which changes no result; nothing is regrouped.
"""

from __future__ import annotations

import ast

from builder.rewrite.style.inline import target_of

_ACCESSES = ("tl.load", "tl.store", "tl.atomic_add")


def order_addresses(function: ast.FunctionDef) -> None:
    """Works in place, on a kernel whose names are given."""
    sizes = {item.arg for item in function.args.args if not item.arg.endswith("_ptr")}
    sizes |= {name for item in function.body if (name := target_of(item)) and _is_number(item)}
    ordered = _Ordered(sizes)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _ACCESSES and node.args:
            node.args[0] = ordered.visit(node.args[0])
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("offsets"):
            node.value = ordered.visit(node.value)


class _Ordered(ast.NodeTransformer):
    """An index before its stride, and what has a stride before what has none."""

    def __init__(self, sizes: set[str]) -> None:
        self._sizes = sizes

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        is_sum = isinstance(node.op, ast.Add)
        left = node.left
        if is_sum and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
            left.left, left.right = self.visit(left.left), self.visit(left.right)
            node.right = self.visit(node.right)
            return node  # of three, the order stays
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and self._is_size(left) and not self._is_size(node.right):
            return ast.BinOp(node.right, node.op, left)
        is_plain = isinstance(left, (ast.Name, ast.Constant, ast.Subscript))
        if is_sum and is_plain and _is_product(node.right) and not _is_pointer(left):
            return ast.BinOp(node.right, node.op, left)
        return node

    def _is_size(self, node: ast.expr) -> bool:
        name = node.id if isinstance(node, ast.Name) else ""
        is_number = isinstance(node, ast.Constant) and isinstance(node.value, int)
        return name in self._sizes or (bool(name) and name.isupper()) or is_number


def _is_number(statement: ast.stmt) -> bool:
    return isinstance(getattr(statement, "value", None), ast.Constant)


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)


def _is_pointer(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.endswith(("_ptr", "_base", "_ptrs"))
