"""Long lists of plain parameters and arguments, several a line and grouped.

A formatter that gives each of forty parameters a line of its own buries the kernel under its
signature. Triton's tutorials (``python/tutorials/03-matrix-multiplication.py``) put pointers,
sizes and compile-time constants on lines of their own instead; so does this.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PLAIN = re.compile(r"(?:\w+=)?[\w.*+ \-]+,|\w+: tl\.constexpr(?: = [\w.\-]+)?,")
"""A name, an attribute, a number or a product of such; a keyword's value; a constant parameter."""


def grouped(text: str, width: int) -> str:
    """Fills the lists of parameters and arguments that a formatter put one a line.

    Args:
        text: a module as ``black`` wrote it.
        width: columns that no line exceeds.

    Returns:
        The same module; lists that hold anything but plain entries are left as they are.
    """
    lines = text.splitlines()
    # From the end, so that the numbers of the lines above stay true.
    for first, last in sorted(_exploded(ast.parse(text)), reverse=True):
        entries = [line.strip() for line in lines[first + 1 : last]]
        if not (lines[first].endswith("(") and re.match(r"\s*\)", lines[last])):
            continue
        if not all(_PLAIN.fullmatch(entry) for entry in entries):
            continue
        indent = re.match(r"\s*", lines[first + 1])[0]  # type: ignore[index]
        filled = [line for group in _groups(entries) for line in _filled(group, indent, width)]
        filled[-1] = filled[-1].removesuffix(",")
        lines[first + 1 : last] = filled
    return "\n".join(lines) + "\n"


def _exploded(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """First and last line, from zero, of the lists that stand one entry a line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            entries: Sequence[ast.expr | ast.arg | ast.keyword] = node.args.args
            first = node.lineno - 1
        elif isinstance(node, ast.Call):
            entries = [*node.args, *node.keywords]
            first = node.func.end_lineno - 1  # type: ignore[operator]
        else:
            continue
        if len(entries) > 1 and entries[0].lineno == first + 2:
            last = entries[-1].end_lineno
            if last == first + 1 + len(entries):
                yield first, last


def _groups(entries: Sequence[str]) -> list[list[str]]:
    """Consecutive entries of one role: tensors, sizes, constants, options."""
    groups: list[list[str]] = []
    for entry in entries:
        if groups and _role(groups[-1][-1]) == _role(entry):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _role(entry: str) -> str:
    if ": tl.constexpr" in entry:
        return "constant"
    if "=" in entry:
        return "option"
    return "pointer" if entry.endswith("_ptr,") else "value"


def _filled(entries: Iterable[str], indent: str, width: int) -> list[str]:
    lines = [indent]
    for entry in entries:
        if lines[-1] != indent and len(lines[-1]) + len(entry) + 1 > width:
            lines.append(indent)
        lines[-1] += entry if lines[-1] == indent else f" {entry}"
    return lines
