"""The host's side: words for what launchers are handed, and names for buffers."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.rewrite.style.names import ordinal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from builder.capture.origins import Origins
    from builder.rewrite.kernel import StandaloneKernel

_BUFFER = re.compile(r"buf\d+")
_UNNAMED = re.compile(r"buf\d+|saved_\w+|semaphores_\w+|workspace_\w+|ps\d+|primals_\d+")
_OPERATIONS = {
    "add": "total", "iadd": "total", "sub": "difference", "isub": "difference", "mul": "product",
    "imul": "product", "truediv": "quotient", "itruediv": "quotient", "div": "quotient",
    "pow": "power", "neg": "negative", "to": "out", "float": "out", "type": "out", "half": "out",
    "contiguous": "out", "reshape": "out", "view": "out", "getitem": "part", "matmul": "product",
    "linear": "projected", "bmm": "product", "conv2d": "convolved", "conv1d": "convolved",
    "unsqueeze": "out", "permute": "out", "transpose": "out", "expand": "out", "squeeze": "out",
}  # fmt: skip
_COPIES = {"out", "part"}


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
            return (
                "_".join(filter(None, (left, right))) if left and right else f"all_{left or right}"
            )
        if isinstance(expression.op, ast.FloorDiv):
            return f"{left}_blocks"
        if isinstance(expression.op, (ast.Add, ast.Sub)) and (left or right):
            return f"padded_{left or right}"
    return ""


def name_buffers(
    function: ast.FunctionDef,
    origins: Origins,
    taken: Iterable[str],
    wanted: Mapping[str, str] | None = None,
) -> None:
    """Names the buffers of a method after the program's variables, in place.

    Args:
        function: ``forward`` or ``backward``.
        origins: of the graph.
        taken: names that others have.
        wanted: names that are better than those of the origins.
    """
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    used |= {item.arg for item in ast.walk(function) if isinstance(item, ast.arg)} | set(taken)
    returned = _returned(function)
    names: dict[str, str] = {}
    used |= set(dir(builtins))
    for old in _assigned(function):
        word = (wanted or {}).get(old) or _buffer_word(old, origins, returned)
        names[old] = _unique(word, used)
        used.add(names[old])
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in names:
            node.id = names[node.id]


def _assigned(function: ast.FunctionDef) -> list[str]:
    found = [
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    return [name for name in dict.fromkeys(found) if _UNNAMED.fullmatch(name)]


def _returned(function: ast.FunctionDef) -> list[str]:
    results = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [n.id for value in results if value for n in ast.walk(value) if isinstance(n, ast.Name)]


def _buffer_word(old: str, origins: Origins, returned: Sequence[str]) -> str:
    if not _BUFFER.fullmatch(old):
        return re.sub(r"_?\d+(_\d+)*$", "", old.removeprefix("saved_")) or "saved"
    traced = origins.buffers.get(old)
    if traced is None:
        return "out" if old in returned else "scratch"
    word = re.sub(r"(_\d+)+$", "", traced).strip("_")
    if old in returned:
        return "out" if word in _OPERATIONS else word
    plain = _OPERATIONS.get(word, word)
    return plain if plain not in _COPIES else "copied"


def _unique(word: str, used: set[str]) -> str:
    word = f"{word}_out" if word in dir(builtins) else word
    candidates = [word, *(f"{word}_{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
    candidates += [f"{word}_{number}" for number in range(27, 1000)]
    return next(item for item in candidates if item not in used)


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
