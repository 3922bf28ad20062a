"""Leaves out what a kernel computes and nothing reads: a sort's indices where it is for values."""

from __future__ import annotations

import ast

_SORT, _VALUES = "sort_with_index", "sort_values"
_INDEX_ARGUMENT = 1


def sort_values_only(function: ast.FunctionDef) -> None:
    """Sorts without indices where nothing reads them, in place.

    The indices that are sorted along are the places in the row (``sort_stable`` in torch's
    ``_inductor/lowering.py``), which ``sort_values`` counts by itself.
    """
    _SortValues(function).visit(function)


class _SortValues(ast.NodeTransformer):
    def __init__(self, function: ast.FunctionDef) -> None:
        self._read = {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target, call = node.targets[0], node.value
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != _SORT:
            return node
        if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
            return node
        values, indices = target.elts
        if not isinstance(indices, ast.Name) or indices.id in self._read:
            return node
        del call.args[_INDEX_ARGUMENT]
        call.func = ast.Name(_VALUES, ast.Load())
        return ast.copy_location(ast.Assign([values], call), node)
