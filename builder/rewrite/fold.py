"""Decides at rewriting time what a template's kernel decides from constants.

A template carries branches for every layout, tests of sizes that are known, and alignment hints
that hold for some sizes only.  Branches on constants are taken here, and a hint stays only where it
is true: a false one lets the compiler read past the end of a tensor.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_NEXT_POWER = "triton_helpers.constexpr_next_power_of_2"


class _Unknown(Exception):
    """The expression depends on more than constants."""


def constants_of(function: ast.FunctionDef) -> dict[str, Any]:
    """Names that the body's top level assigns once, to a number or a truth value."""
    values: dict[str, Any] = {}
    assigned: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned[node.id] = assigned.get(node.id, 0) + 1
    for statement in function.body:
        target: ast.expr | None = None
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        value = getattr(getattr(statement, "value", None), "value", None)
        if isinstance(target, ast.Name) and isinstance(value, (bool, int)):
            values[target.id] = value
    return {name: value for name, value in values.items() if assigned[name] == 1}


def _evaluate(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    if isinstance(node, ast.BoolOp):
        values = [_evaluate(value, constants) for value in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        compare = _COMPARISONS.get(type(node.ops[0]))
        if compare:
            left, right = node.left, node.comparators[0]
            return compare(_evaluate(left, constants), _evaluate(right, constants))
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _evaluate(node.left, constants), _evaluate(node.right, constants)
        return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _evaluate(node.operand, constants)
    if is_call(node, _NEXT_POWER):
        return 1 << (_evaluate(node.args[0], constants) - 1).bit_length()
    raise _Unknown


def evaluate(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    """The value of an expression, None where it depends on more than constants."""
    try:
        return _evaluate(node, constants)
    except _Unknown:
        return None


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether a node calls a function of that dotted name."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


class _Fold(ast.NodeTransformer):
    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._constants = constants

    def visit_If(self, node: ast.If) -> Any:
        self._visit_block(node)
        try:
            taken = _evaluate(node.test, self._constants)
        except _Unknown:
            if _is_empty_exit(node):
                return []
            # What differed was a hint that holds for some sizes only, and is gone.
            return node.body if _dumps(node.body) == _dumps(node.orelse) else node
        return node.body if taken else node.orelse

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        try:
            taken = _evaluate(node.test, self._constants)
        except _Unknown:
            return node
        return node.body if taken else node.orelse

    def visit_For(self, node: ast.For) -> ast.For:
        self._visit_block(node)
        return node

    def _visit_block(self, node: ast.If | ast.For) -> None:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        for hint in ("tl.max_contiguous", "tl.multiple_of"):
            if is_call(node, hint) and not self._hint_holds(node):
                return node.args[0]
        return node

    def _hint_holds(self, node: ast.Call) -> bool:
        """A hint about ``x % size`` by blocks holds where blocks divide the size."""
        inner = node.args[0]
        while isinstance(inner, ast.Call) and is_call(inner, "tl.multiple_of"):
            inner = inner.args[0]
        if not (isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mod)):
            return True
        try:
            size = _evaluate(inner.right, self._constants)
            block = _evaluate(node.args[1], self._constants)
        except _Unknown:
            return False
        return bool(size % block == 0)


def _is_empty_exit(node: ast.If) -> bool:
    """``if M * N == 0: return``: a grid without instances, which a launcher does not launch."""
    ends = len(node.body) == 1 and isinstance(node.body[0], ast.Return) and not node.orelse
    return ends and ast.unparse(node.test).endswith("== 0")


def _dumps(statements: list[ast.stmt]) -> str:
    return ast.dump(ast.Module(statements, []))


def fold(function: ast.FunctionDef) -> None:
    """Takes branches on constants and drops false hints, in place."""
    transform = _Fold(constants_of(function))
    function.body = [
        folded for statement in function.body for folded in _as_list(transform.visit(statement))
    ]


def _as_list(folded: Any) -> list[ast.stmt]:
    return folded if isinstance(folded, list) else [folded]
