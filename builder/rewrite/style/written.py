"""What a kernel writes where, in a word: a sum, a maximum, the indices of a sort."""

from __future__ import annotations

import ast

from builder.rewrite.style.inline import all_blocks, target_of

_RESULTS: dict[str, tuple[str, ...]] = {
    "sum": ("sum",), "max": ("max",), "min": ("min",), "reduce_max": ("max",),
    "reduce_min": ("min",), "max_with_index": ("max", "argmax"),
    "min_with_index": ("min", "argmin"),
    "welford_reduce": ("mean", "deviation", "weight"), "welford": ("mean", "deviation", "weight"),
    "online_softmax_reduce": ("max", "sum"), "sort_with_index": ("values", "indices"),
    "cumsum": ("running_sum",), "rsqrt": ("rsqrt",), "exp": ("exp",), "log": ("log",),
    "dot": ("product",),
}  # fmt: skip
_MOST_STEPS = 8


def written_words(function: ast.FunctionDef) -> dict[str, str]:
    """For each parameter that a kernel stores to, what it stores; empty where that is not plain.

    Args:
        function: a kernel, as Inductor wrote it.
    """
    values = _values(function)
    found: dict[str, str] = {}
    for call in ast.walk(function):
        name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
        if isinstance(call, ast.Call) and name.startswith(("tl.store", "tl.atomic")):
            place = call.args[0]
            while isinstance(place, ast.BinOp):
                place = place.left
            if isinstance(place, ast.Name) and len(call.args) > 1:
                found.setdefault(place.id, _word(call.args[1], values))
    return found


def _values(function: ast.FunctionDef) -> dict[str, tuple[ast.expr, int]]:
    """The last value of each name, and its place among several results."""
    values: dict[str, tuple[ast.expr, int]] = {}
    for block in all_blocks(function):
        for statement in block:
            target, value = target_of(statement), getattr(statement, "value", None)
            if target is not None and value is not None:
                values[target] = value, 0
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
                for place, item in enumerate(statement.targets[0].elts):
                    if isinstance(item, ast.Name):
                        values[item.id] = statement.value, place
    return values


def _word(node: ast.expr, values: dict[str, tuple[ast.expr, int]]) -> str:
    place = 0
    for _ in range(_MOST_STEPS):
        if isinstance(node, ast.Name) and node.id in values:
            node, place = values[node.id]
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name not in ("to", "broadcast_to", "cast"):
                words = _RESULTS.get(name, ())
                return words[place] if place < len(words) else ""
            inner = getattr(node.func, "value", None)
            is_method = name == "to" or (inner is not None and ast.unparse(inner) != "tl")
            node = inner if is_method and inner is not None else node.args[0]
        else:
            return ""
    return ""
