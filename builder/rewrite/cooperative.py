"""Cooperative reductions with their number of blocks written in.

Inductor's text serves any number of blocks: branches for one block, masks for numbers that are no
power of two, helpers that work on such a mask while the kernel compiles.  Here the number is known.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from builder.rewrite.fold import constants_of, evaluate, fold, is_call

if TYPE_CHECKING:
    from builder.capture.kernels import Kernel

GRID = "CooperativeReductionGrid"
SPLIT = "RSPLIT"


def is_cooperative(kernel: Kernel) -> bool:
    """Whether the blocks of a launch wait for each other."""
    return kernel.grid_type == GRID


def settle_blocks(function: ast.FunctionDef, kernel: Kernel) -> None:
    """Writes the number of blocks into a cooperative kernel, in place."""
    split = kernel.constants[SPLIT]
    function.args.args = [item for item in function.args.args if item.arg != SPLIT]
    function.body.insert(0, _constant(SPLIT, split))
    for statement in function.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            value = evaluate(statement.value, constants_of(function))
            if value is not None:
                statement.value = ast.Constant(value)
    fold(function)
    _Masks(function).visit(function)


def _constant(name: str, value: int) -> ast.AnnAssign:
    statement = ast.parse(f"{name}: tl.constexpr = {value!r}").body[0]
    assert isinstance(statement, ast.AnnAssign)
    return statement


class _Masks(ast.NodeTransformer):
    """Leaves out masks that are None, and what only stands beside them."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self._absent = {
            statement.target.id
            for statement in function.body
            if isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(statement.value, ast.Constant)
            and statement.value.value is None
        }

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        is_absent = isinstance(node.target, ast.Name) and node.target.id in self._absent
        return None if is_absent else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        is_bare = is_call(node, "tl.load") and len(node.args) > 1 and self._is_absent(node.args[1])
        if is_bare:
            del node.args[1]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "other"]
        self.generic_visit(node)
        return node.args[1] if is_call(node, "triton_helpers.if_mask") else node

    def _is_absent(self, mask: ast.expr) -> bool:
        return isinstance(mask, ast.Name) and mask.id in self._absent
