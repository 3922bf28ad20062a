"""The host's side: words for what launchers are handed, and names for buffers."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.rewrite.style.places import ordinal
from builder.rewrite.style.words import prefixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.rewrite.kernel import StandaloneKernel


def launches(trees: Iterable[ast.AST], launchers: Iterable[str]) -> Iterator[ast.Call]:
    """The calls of launchers, in the order of the text."""
    known = set(launchers)
    for tree in trees:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            if isinstance(node.func, ast.Name) and node.func.id in known:
                yield node


def settle_grid(kernel: StandaloneKernel, calls: Sequence[ast.Call]) -> StandaloneKernel:
    """A kernel whose launcher computes the grid, where it is the same in all launches.

    Args:
        kernel: as it stands; a template's launcher takes the grid from its caller.
        calls: its launches, which lose the grid, in place.
    """
    launch = kernel.launch
    if not launch.takes_grid or not calls:
        return kernel
    count = len(launch.parameters)
    grids = {
        _in_terms_of(call.args[count:], call.args[:count], launch.parameters) for call in calls
    }
    grid = grids.pop()
    if grids or grid is None:
        return kernel
    for call in calls:
        del call.args[count:]
    while len(grid) > 1 and grid[-1] == "1":
        grid = grid[:-1]
    return replace(kernel, launch=replace(launch, grid=grid, takes_grid=False))


def _in_terms_of(
    grid: Sequence[ast.expr], given: Sequence[ast.expr], parameters: Sequence[str]
) -> tuple[str, ...] | None:
    """A grid over a launcher's parameters; None if it needs what the launcher is not given."""
    known = {ast.unparse(argument): name for argument, name in zip(given, parameters, strict=True)}
    texts = []
    for item in grid:
        names = {node.id for node in ast.walk(item) if isinstance(node, ast.Name)}
        if not names - {"triton", "max", "min"} <= known.keys():
            return None
        texts.append(
            re.sub(r"[A-Za-z_]\w*", lambda m: known.get(m.group(), m.group()), ast.unparse(item))
        )
    return tuple(texts)


def words_of(expression: ast.expr) -> list[str]:
    """Words for a tensor, the shortest first: ``weight``, then ``norm_weight``."""
    parts = _parts(expression)
    return ["_".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _parts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name):
        return [] if node.id == "self" else [node.id]
    if isinstance(node, ast.Attribute):
        return [*_parts(node.value), node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        key = node.slice.value
        outer = _parts(node.value)
        if isinstance(key, int):
            last = outer.pop() if outer else "item"
            return [*outer, f"{ordinal(key)}_{last}" if key >= 0 else f"last_{last}"]
        return [*outer, re.sub(r"\W+", "_", str(key))]
    if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).startswith("torch."):
        return _parts(node.args[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _parts(node.func.value)
    return []


def size_word(expression: ast.expr) -> str:
    """A word for a size that is computed: ``half_width`` for ``width // 2``."""
    if isinstance(expression, ast.Name):
        return expression.id
    if isinstance(expression, ast.BinOp):
        left, right = size_word(expression.left), size_word(expression.right)
        if isinstance(expression.op, ast.FloorDiv) and ast.unparse(expression.right) == "2":
            return f"half_{left}"
        if isinstance(expression.op, ast.Mult):
            if not (left and right):
                return prefixed("all", left or right)
            return f"{left}{right}" if len(right) == 1 else f"{left}_{right}"
        if isinstance(expression.op, ast.FloorDiv):
            return f"{left}_blocks"
        if isinstance(expression.op, (ast.Add, ast.Sub)) and (left or right):
            return f"padded_{left or right}"
    return ""


def wanted_in_backward(forward: ast.FunctionDef, backward: ast.FunctionDef) -> dict[str, str]:
    """Names for what backward unpacks and returns: as in forward, and ``grad_`` of arguments."""
    wanted: dict[str, str] = {}
    saved = next((call.args for call in _calls(forward, "ctx.save_for_backward")), [])
    for statement in backward.body:
        if (
            isinstance(statement, ast.Assign)
            and ast.unparse(statement.value) == "ctx.saved_tensors"
        ):
            target = statement.targets[0]
            items = target.elts if isinstance(target, ast.Tuple) else [target]
            for item, value in zip(items, saved, strict=False):
                if isinstance(item, ast.Name) and (words := words_of(value)):
                    wanted[item.id] = words[0]
    arguments = [item.arg for item in forward.args.args[1:]]
    last = backward.body[-1]
    if isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple):
        for argument, result in zip(arguments, last.value.elts, strict=False):
            if isinstance(result, ast.IfExp) and isinstance(result.body, ast.Name):
                wanted.setdefault(result.body.id, f"grad_{argument}")
    return wanted


def _calls(function: ast.FunctionDef, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node
