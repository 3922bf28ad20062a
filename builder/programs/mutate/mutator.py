"""Draws mutants: some edits in turn, each kept if the program still says something."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import black
import torch

from builder.errors import ProgramRejected
from builder.programs.mutate.edits import KINDS, load_all
from builder.programs.mutate.sites import read_graph
from builder.programs.mutate.unread import unread_names
from builder.programs.tree import identical, tensors
from builder.programs.value_gates import check_dependence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from builder.programs.mutate.edits import Edit
    from builder.programs.mutate.sites import Graph

load_all()

_MOST_EDITS = 6
_ATTEMPTS = 24
_MODE = black.Mode(line_length=100, target_versions={black.TargetVersion.PY310})


@dataclass(frozen=True)
class Mutant:
    """An edited program.

    Attributes:
        python_code: its text, without the docstrings and comments of the program it was, which
            might not be true of it.
        entry_point: its class.
        edits: what was done, in order.
    """

    python_code: str
    entry_point: str
    edits: tuple[str, ...]


def mutate(
    python_code: str,
    entry_point: str | None,
    filename: str,
    rng: Random,
) -> Mutant:
    """A mutant of a program.

    Args:
        python_code: the program; it runs in this process, and what becomes of it.
        entry_point: as for ``load_program``.
        filename: shown in messages.
        rng: every choice comes from it.

    Raises:
        ProgramRejected: the kinds of ``read_graph``; ``no_edit``: none worked out.
    """
    bare = without_comments(python_code)
    read_graph(python_code, entry_point, filename)  # messages quote the file as it is
    graph = read_graph(bare, entry_point, filename)
    wanted = min(_MOST_EDITS, 1 + int(rng.lognormvariate(0.4, 0.6)))
    done: list[str] = []
    for _ in range(_ATTEMPTS):
        if len(done) == wanted:
            break
        edit = _drawn(rng, graph)
        after = _after(edit, graph, filename) if edit else None
        if edit is not None and after is not None:
            graph = after
            done.append(edit.note)
    if not done:
        raise ProgramRejected(
            "no_edit",
            f"{filename}: of {_ATTEMPTS} edits none gave a program that runs and says something "
            "else; give forward more operations",
        )
    return Mutant(_formatted(graph.text), graph.loaded.entry_point, tuple(done))


def _drawn(rng: Random, graph: Graph) -> Edit | None:
    """One of the edits of a kind; None if that has none here."""
    names = list(KINDS)
    name = rng.choices(names, [KINDS[name][1] for name in names])[0]
    edits = list(KINDS[name][0](graph))
    return rng.choice(edits) if edits else None


def _after(edit: Edit, graph: Graph, filename: str) -> Graph | None:
    """The graph after an edit; None if it does not run, says what it said, or has idle parts."""
    text = edit.applied(graph.text)
    try:
        after = read_graph(text, graph.loaded.entry_point, filename)
        if _same(after.outputs, graph.outputs) and not edit.note.startswith("input"):
            return None
        if unread_names(after.tree) - unread_names(graph.tree) or not _is_finite(after.outputs):
            return None
        check_dependence(after.loaded, after.variant, strict=True)
    except ProgramRejected:
        return None
    return after


def _same(new: Any, old: Any) -> bool:
    ours, theirs = tensors(new), tensors(old)
    return len(ours) == len(theirs) and all(map(identical, ours, theirs))


def _is_finite(outputs: Any) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors(outputs))


def without_comments(text: str) -> str:
    """A program without comments and docstrings.

    A text that cannot be read comes back as it is.
    """
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return text
    lines = text.splitlines(keepends=True)
    cut = [(t.start, t.end) for t in tokens if t.type == tokenize.COMMENT]
    for node in _docstrings(tree):
        last = node.end_lineno or node.lineno
        length = len(lines[last - 1].encode()[: node.end_col_offset].decode())
        cut.append(((node.lineno, node.col_offset), (last, length)))
    for start, end in sorted(cut, reverse=True):
        _cut(lines, start, end)
    return "".join(lines)


def _docstrings(tree: ast.Module) -> Iterator[ast.Expr]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            (first, *others) = node.body
            if isinstance(first, ast.Expr) and (others or isinstance(node, ast.Module)):
                yield first


def _cut(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> None:
    """Removes a range of ASCII text; a line that nothing is left on goes, too."""
    (first, left), (last, right) = start, end
    rest = lines[first - 1][:left].rstrip(" ") + lines[last - 1][right:]
    lines[first - 1 : last] = [rest] if rest.strip() else []


def _formatted(text: str) -> str:
    return black.format_str(text, mode=_MODE).lstrip("\n")
