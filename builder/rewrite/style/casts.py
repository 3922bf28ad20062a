"""Leaves out what changes nothing: casts to the same type, spreads to the same shape."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import all_blocks, target_of
from builder.rewrite.style.kinds import KindRewriter, dtype_named, shape_text

if TYPE_CHECKING:
    from builder.rewrite.style.kinds import Kinds

_TRUE = re.compile(r"tl\.full\(\[1(, 1)*\], True, tl\.int1\)")


def drop_needless_casts(function: ast.FunctionDef, kinds: Kinds) -> None:
    """Works in place.

    Args:
        function: a kernel.
        kinds: of its parameters.
    """
    _Casts(kinds).run(function)


class _Casts(KindRewriter):
    def __init__(self, kinds: Kinds) -> None:
        super().__init__(kinds)
        self._true: set[str] = set()

    def run(self, function: ast.FunctionDef) -> None:
        self._true = {
            name
            for block in all_blocks(function)
            for statement in block
            if (name := target_of(statement)) is not None
            and _TRUE.fullmatch(ast.unparse(getattr(statement, "value", None) or statement))
        }
        super().run(function)

    def _is_true(self, node: ast.expr) -> bool:
        named = isinstance(node, ast.Name) and node.id in self._true
        return named or bool(_TRUE.fullmatch(ast.unparse(node)))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
            return self._cast(node, node.func.value)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "broadcast_to":
            return self._spread(node, node.func.value)
        if name == "tl.cast":
            return self._cast(ast.Call(node.func, node.args[1:], node.keywords), node.args[0], node)
        if name in ("tl.load", "tl.store"):
            return self._access(node, 1 if name == "tl.load" else 2)
        return _as_zeros(node) if name == "tl.full" else node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """``mask == 0`` is ``~mask``."""
        self.generic_visit(node)
        is_negation = isinstance(node.ops[0], ast.Eq) and ast.unparse(node.comparators[0]) == "0"
        if is_negation and self.kind(node.left).dtype == "i1":
            return ast.UnaryOp(ast.Invert(), node.left)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """``mask & True`` is the mask."""
        self.generic_visit(node)
        if isinstance(node.op, ast.BitAnd):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if self._is_true(other) and self.kind(one).dtype == "i1":
                    return one
        return node

    def _cast(self, node: ast.Call, value: ast.expr, whole: ast.expr | None = None) -> ast.expr:
        wanted = dtype_named(ast.unparse(node.args[0])) if len(node.args) == 1 else None
        is_same = wanted is not None and wanted == self.kind(value).dtype and not node.keywords
        return value if is_same else whole or node

    def _spread(self, node: ast.Call, value: ast.expr) -> ast.expr:
        """``tl.broadcast_to(x, [A, B])``, ``x.broadcast_to(A, B)`` or ``...to(y.shape)``."""
        given = node.args
        if ast.unparse(value) == "tl":
            value, given = node.args[0], node.args[1:]
        shape = self._shape(given)
        return value if shape and shape == self.kind(value).shape else node

    def _shape(self, given: list[ast.expr]) -> tuple[str, ...] | None:
        if len(given) != 1:
            return tuple(ast.unparse(item) for item in given)
        first = given[0]
        if isinstance(first, ast.Attribute) and first.attr == "shape":
            return self.kind(first.value).shape
        return shape_text(first) or (ast.unparse(first),)

    def _access(self, node: ast.Call, mask: int) -> ast.Call:
        """Names the mask, leaves it out where there is none, and hints to the cache everywhere."""
        if len(node.args) > mask:
            value = node.args.pop(mask)
            if ast.unparse(value) != "None":
                node.keywords.insert(0, ast.keyword("mask", value))
        node.keywords = [item for item in node.keywords if item.arg != "eviction_policy"]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """``[:]`` of a vector is the vector."""
        self.generic_visit(node)
        is_whole = isinstance(node.slice, ast.Slice) and node.slice.lower is None
        is_vector = len(self.kind(node.value).shape or ()) == 1
        return node.value if is_whole and is_vector else node


def _as_zeros(node: ast.Call) -> ast.expr:
    if len(node.args) != 3:
        return node
    shape, value, dtype = node.args
    is_block = isinstance(shape, ast.List) and any(
        not isinstance(item, ast.Constant) for item in shape.elts
    )
    if not is_block or not isinstance(value, ast.Constant):
        return node
    if type(value.value) not in (int, float) or value.value != 0 or "int1" in ast.unparse(dtype):
        return node
    zeros = ast.parse("tl.zeros", mode="eval").body
    return ast.Call(zeros, [shape], [ast.keyword("dtype", dtype)])
