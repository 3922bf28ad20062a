"""Constants where they are used, in place of tensors of one element.

Inductor makes a tensor of each constant, so that it has a type.  Where the other operand has that
type, or one to which it is brought, a Python number means the same (``scalar_constant`` in Triton's
``semantic.py``).
"""

from __future__ import annotations

import ast
import copy
from typing import TYPE_CHECKING

from builder.rewrite.style.inline import stores_of
from builder.rewrite.style.kinds import KindRewriter, dtype_named, promoted, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.rewrite.style.kinds import Kinds

_CALLS = frozenset({"maximum", "minimum", "tl.maximum", "tl.minimum"})


def write_literals(function: ast.FunctionDef, kinds: Kinds) -> None:
    """Works in place; what is then unread stays.

    Args:
        function: a kernel.
        kinds: of its parameters.
    """
    _Literals(kinds).run(function)


class _Literals(KindRewriter):
    def __init__(self, kinds: Kinds) -> None:
        super().__init__(kinds)
        self._known: dict[str, tuple[ast.expr, str]] = {}
        self._values: dict[str, ast.expr] = {}

    def run(self, function: ast.FunctionDef) -> None:
        once = {name for name, count in stores_of(function).items() if count == 1}
        for statement in ast.walk(function):
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name, found = statement.targets[0].id, _constant(statement.value)
                if found is not None and name in once:
                    self._known[name] = found
                elif name in once:
                    self._values[name] = statement.value
        super().run(function)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        node.left, node.right = self._pair(node.left, node.right)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.comparators) == 1:
            left, right = self._pair(node.left, node.comparators[0])
            node.left, node.comparators[0] = self._bound(left, right), self._bound(right, left)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        if name in _CALLS and len(node.args) == 2:
            node.args = list(self._pair(*node.args, is_call=True))
        if name == "tl.where" and len(node.args) == 3:
            node.args[1:] = self._pair(*node.args[1:])
        return node

    def _pair(
        self, left: ast.expr, right: ast.expr, *, is_call: bool = False
    ) -> tuple[ast.expr, ast.expr]:
        """Both operands, one of them as a number where the other says its type."""
        if self._constant_of(right) is not None:
            return left, self._literal(right, left, is_call=is_call)
        return self._literal(left, right, is_call=is_call), right

    def _bound(self, node: ast.expr, other: ast.expr) -> ast.expr:
        """A bound of int64 for an int32, which a comparison brings to int64 first."""
        found, kind = self._constant_of(node), self.kind(other)
        if found is None or found[1] != "i64" or kind.dtype != "i32" or not kind.shape:
            return node
        value = found[0].operand if isinstance(found[0], ast.UnaryOp) else found[0]
        small = isinstance(value, ast.Constant) and isinstance(value.value, int)
        return found[0] if small and abs(value.value) < 2**31 else node  # type: ignore[attr-defined]

    def _constant_of(self, node: ast.expr) -> tuple[ast.expr, str] | None:
        if isinstance(node, ast.Name):
            value = self._values.get(node.id)
            return self._known.get(node.id) or (self._filled_like(value) if value else None)
        return self._filled_like(node) or _constant(node)

    def _filled_like(self, node: ast.expr) -> tuple[ast.expr, str] | None:
        """The number of ``tl.full(x.shape, 0.0, x.dtype)``."""
        if not isinstance(node, ast.Call) or len(node.args) != 3:
            return None
        shape, value, dtype = node.args
        if not isinstance(shape, ast.Attribute) or not isinstance(dtype, ast.Attribute):
            return None
        is_like = (shape.attr, dtype.attr) == ("shape", "dtype") and _is_number(value)
        same = ast.dump(shape.value) == ast.dump(dtype.value)
        known = self.kind(shape.value).dtype
        if not (is_like and same) or known is None or known == "i1":
            return None
        return _as_type(value, known), known

    def _literal(self, node: ast.expr, other: ast.expr, *, is_call: bool) -> ast.expr:
        found = self._constant_of(node)
        kind = self.kind(other)
        if found is None or not kind.shape or kind.dtype is None or kind.dtype == "i1":
            return node
        value, dtype = found
        # A function's argument becomes float32 on its own, whatever it meets.
        if promoted(dtype, kind.dtype) != kind.dtype or (is_call and kind.dtype != "fp32"):
            return node
        is_spread = all(size == "1" for size in kind.shape)
        return node if is_spread and self._constant_of(other) is not None else copy.deepcopy(value)


def _constant(node: ast.expr) -> tuple[ast.expr, str] | None:
    """The number and the type of ``tl.full([1], 0.5, tl.float32)``, cast to another type or not."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "to" and len(node.args) == 1:
        inner, dtype = _constant(node.func.value), dtype_named(ast.unparse(node.args[0]))
        is_exact = inner is not None and inner[1] == "i32" and dtype in ("fp32", "fp64", "i64")
        if inner is None or not is_exact or dtype is None:
            return None
        return _as_type(inner[0], dtype), dtype
    if ast.unparse(node.func) != "tl.full" or len(node.args) != 3:
        return None
    shape, dtype = shape_text(node.args[0]), dtype_named(ast.unparse(node.args[2]))
    if not _are_ones(shape) or dtype in (None, "i1") or not _is_number(node.args[1]):
        return None
    return _as_type(node.args[1], dtype or ""), dtype or ""


def _are_ones(shape: Sequence[str] | None) -> bool:
    return shape is not None and all(size == "1" for size in shape)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_number(node.operand)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "float"
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _as_type(node: ast.expr, dtype: str) -> ast.expr:
    """A number of a floating type has a point, one of an integer type has none."""
    value = node.value if isinstance(node, ast.Constant) else None
    if type(value) is int and dtype.startswith(("fp", "bf")):
        return ast.Constant(float(value))
    if type(value) is float and not dtype.startswith(("fp", "bf")):
        return ast.Constant(int(value))  # as ``tl.full`` does
    return node
