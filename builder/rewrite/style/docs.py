"""What a kernel computes, from which lines, and what one program instance handles."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.capture.origins import KernelOrigin
    from builder.rewrite.kernel import StandaloneKernel

_WIDTH = 92
_MOST_LINES = 6
COMMENT = re.compile(r"^(\s*)['\"]#(.*)['\"]$", re.MULTILINE)


def describe(
    kernel: StandaloneKernel, kind: str, origin: KernelOrigin, lines: Mapping[str, str]
) -> None:
    """Gives a named kernel its docstring and comments, in place.

    Args:
        kernel: named.
        kind: the kernel kind.
        origin: the operations in it.
        lines: the program's line behind each.
    """
    function = kernel.function
    _comment(function, kind)
    parts = [f"{_summary(kernel)}"]
    code = list(dict.fromkeys(line for node, line in lines.items() if node in origin.nodes))
    if code:
        parts.append(_quoted(code))
    parts.append(_work(function, kind))
    text = parts[0] + "\n\n" + "\n\n".join(filter(None, parts[1:])) + "\n"
    function.body.insert(
        0, ast.Expr(ast.Constant(textwrap.indent(text, "    ").strip() + "\n    "))
    )


def comments_written(text: str) -> str:
    """Turns the marks of ``describe`` into comments, in the text of a module."""
    return COMMENT.sub(lambda match: f"{match.group(1)}#{match.group(2)}", text)


def _summary(kernel: StandaloneKernel) -> str:
    read, written = _tensors(kernel.function)
    into = ", ".join(f"``{item}``" for item in written) or "memory"
    words = kernel.name.removesuffix("_kernel").replace("_", " ")
    words = re.sub(r" \d+$", "", words)
    source = f" from {_listed(read)}" if read else ""
    return _wrapped(f"Compute {into}{source}: {words}.")


def _tensors(function: ast.FunctionDef) -> tuple[list[str], list[str]]:
    read: dict[str, None] = {}
    written: dict[str, None] = {}
    for call in ast.walk(function):
        name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
        if name in ("tl.load", "tl.store") or name.startswith("tl.atomic"):
            found = [
                item.id.removesuffix("_ptr")
                for item in ast.walk(call.args[0])  # type: ignore[attr-defined]
                if isinstance(item, ast.Name) and item.id.endswith("_ptr")
            ]
            (read if name == "tl.load" else written).update(dict.fromkeys(found))
    parameters = [item.arg.removesuffix("_ptr") for item in function.args.args]
    return (
        [item for item in parameters if item in read and item not in written],
        [item for item in parameters if item in written],
    )


def _listed(names: Sequence[str]) -> str:
    quoted = [f"``{name}``" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH))


def _quoted(code: Sequence[str]) -> str:
    shown = [line for line in code if len(line) <= _WIDTH - 4][:_MOST_LINES]
    more = ["..."] if len(shown) < len(code) else []
    safe = [line.replace("\\", "\\\\").replace('"""', "'''") for line in shown]
    return (
        "\n".join(["PyTorch::", "", *(f"    {line}" for line in [*safe, *more])]) if shown else ""
    )


def _work(function: ast.FunctionDef, kind: str) -> str:
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    names |= {item.arg for item in function.args.args}
    loops = any(isinstance(node, ast.For) for node in ast.walk(function))
    if kind == "template":
        if {"BLOCK_M", "BLOCK_N"} <= names:
            return "Each program instance computes one tile of ``BLOCK_M`` by ``BLOCK_N`` results."
        return "Each program instance computes one tile of the result."
    if {"BLOCK_ROWS", "BLOCK_COLS"} <= names and "tl.program_id(1)" in ast.unparse(function):
        return "Each program instance handles a tile of ``BLOCK_ROWS`` by ``BLOCK_COLS``."
    if "BLOCK_ROWS" in names and "col" in names:
        how = ", ``BLOCK_COLS`` columns at a time" if loops else ", all columns at once"
        return f"Each program instance handles ``BLOCK_ROWS`` rows{how}."
    if kind == "foreach" and "BLOCK_SIZE" in names:
        return "Each program instance handles ``BLOCK_SIZE`` elements of one of the results."
    if "BLOCK_SIZE" in names:
        return "Each program instance handles ``BLOCK_SIZE`` elements."
    return ""


# -- comments --------------------------------------------------------------------------------


def _comment(function: ast.FunctionDef, kind: str) -> None:
    if kind == "template":
        _comment_template(function.body)
    else:
        _comment_loops(function.body)


def _mark(text: str) -> ast.stmt:
    return ast.Expr(ast.Constant(f"# {text}"))


def _comment_loops(block: list[ast.stmt]) -> None:
    result: list[ast.stmt] = []
    for statement in block:
        if isinstance(statement, ast.For) and "start" in ast.unparse(statement.target):
            collects = any(_is_accumulation(item) for item in statement.body)
            stores = any("tl.store" in ast.unparse(item) for item in statement.body)
            if collects:
                result.append(_mark("Go through the columns, block by block, and accumulate."))
            elif stores:
                result.append(_mark("Go through the columns again, now that the totals are known."))
        result.append(statement)
    block[:] = result


def _is_accumulation(statement: ast.stmt) -> bool:
    target = getattr(statement, "targets", [None])[0]
    names = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)] if target else []
    return any(name.endswith("_acc") for name in names)


_TEMPLATE_COMMENTS = (
    (
        r"width = GROUP_M \*",
        "Tiles in groups of GROUP_M rows share what they load in the L2 cache.",
    ),
    (r"a_rows = .* % ", "Rows and columns beyond the end wrap around: loads need no mask there."),
    (r"acc = tl\.zeros", "Accumulate the product along K in float32."),
    (r"out_channels = ", "The output channels of this tile."),
    (r"row_max = ", "Running maximum and sum of the softmax, and the output so far."),
)


def _comment_template(block: list[ast.stmt]) -> None:
    result: list[ast.stmt] = []
    pending = list(_TEMPLATE_COMMENTS)
    for statement in block:
        text = ast.unparse(statement).splitlines()[0]
        for entry in pending:
            if re.match(entry[0], text):
                result.append(_mark(entry[1]))
                pending.remove(entry)
                break
        result.append(statement)
    block[:] = result
