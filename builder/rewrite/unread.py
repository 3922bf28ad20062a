"""Leaves out what a kernel computes and nothing reads: indices taken along with values.

A sort, a running maximum or a maximum of which only the values are used needs no indices.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_INDEX_ARGUMENT = 1
_VALUES_ONLY = {
    # The indices that are sorted along are the places in the row (``sort_stable`` in torch's
    # ``_inductor/lowering.py``), which ``sort_values`` counts by itself.
    "sort_with_index": "sort_values",
    "reduce_max_with_index": "reduce_max",
    "reduce_min_with_index": "reduce_min",
}
_SCAN = "tl.associative_scan"
_FLOATS = """
    tmp0 = arg0_0 {sign} arg1_0
    tmp1 = arg0_0 == arg1_0
    tmp2 = arg0_0 != arg0_0
    tmp3 = arg1_0 != arg1_0
    tmp4 = tmp2 > tmp3
    tmp5 = tmp0 | tmp4
    tmp6 = tmp2 & tmp3
    tmp7 = tmp1 | tmp6
    tmp8 = arg0_1 > arg1_1
    tmp9 = tmp7 & tmp8
    tmp10 = tmp5 | tmp9
    tmp11 = tl.where(tmp10, arg0_0, arg1_0)
    tmp12 = tl.where(tmp10, arg0_1, arg1_1)
    return (tmp11, tmp12)
"""
_INTEGERS = """
    tmp0 = arg0_0 {sign} arg1_0
    tmp1 = arg0_0 == arg1_0
    tmp2 = arg0_1 > arg1_1
    tmp3 = tmp1 & tmp2
    tmp4 = tmp0 | tmp3
    tmp5 = tl.where(tmp4, arg0_0, arg1_0)
    tmp6 = tl.where(tmp4, arg0_1, arg1_1)
    return (tmp5, tmp6)
"""


def _body(text: str) -> str:
    function = ast.parse(f"def combine(arg0_0, arg0_1, arg1_0, arg1_1):{text}").body[0]
    assert isinstance(function, ast.FunctionDef)
    return ast.dump(ast.Module(function.body, []))


_RUNNING = {
    _body(template.format(sign=sign)): name
    for sign, name in ((">", "maximum"), ("<", "minimum"))
    for template in (_FLOATS, _INTEGERS)
}
"""What ``cummax`` and ``cummin`` combine by (``_inductor/lowering.py``), as torch 2.13 writes it; a
version that writes it otherwise keeps its indices."""


def loaded_names(function: ast.AST) -> set[str]:
    """The names that a function reads."""
    return {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def values_only(function: ast.FunctionDef, combines: Iterable[ast.FunctionDef]) -> None:
    """Takes no index along where nothing reads it, in place.

    Args:
        function: a kernel that calls the project's device functions.
        combines: the functions by which its scans combine.
    """
    _ValuesOnly(function, combines).visit(function)


class _ValuesOnly(ast.NodeTransformer):
    def __init__(self, function: ast.FunctionDef, combines: Iterable[ast.FunctionDef]) -> None:
        self._read = loaded_names(function)
        bodies = {item.name: ast.dump(ast.Module(item.body, [])) for item in combines}
        self._running = {name: _RUNNING[body] for name, body in bodies.items() if body in _RUNNING}

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target, call = node.targets[0], node.value
        if not isinstance(call, ast.Call) or not isinstance(target, ast.Tuple):
            return node
        if len(target.elts) != 2 or self._is_read(target.elts[1]):
            return node
        called = ast.unparse(call.func)
        if called in _VALUES_ONLY:
            call.func = ast.Name(_VALUES_ONLY[called], ast.Load())
            del call.args[_INDEX_ARGUMENT]
        elif called == _SCAN and ast.unparse(call.args[2]) in self._running:
            pair, _, combine = call.args
            assert isinstance(pair, ast.Tuple)
            call.args[0] = pair.elts[0]
            call.args[2] = ast.Name(self._running[ast.unparse(combine)], ast.Load())
        else:
            return node
        return ast.copy_location(ast.Assign([target.elts[0]], call), node)

    def _is_read(self, name: ast.expr) -> bool:
        return not isinstance(name, ast.Name) or name.id in self._read
