"""A Triton file as mutation operators see it: its functions, their roles, and edits of its text.

A mutant is made by replacing spans of the text, found through the syntax tree, so that lines keep
their numbers and a mutant can be read next to the original.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True)
class Edit:
    """Bytes ``start`` to ``end`` of the file become ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Candidate:
    """One fault that could be planted.

    Attributes:
        function: the function it is in.
        line: of the file, from 1.
        edits: spans that do not overlap; empty where ``whole`` is given.
        whole: the whole mutated text, for faults that are no edits.
    """

    function: str
    line: int
    edits: tuple[Edit, ...] = ()
    whole: str | None = None


class Source:
    """A parsed Triton file.

    Args:
        text: the file.
        entry_point: the program's class; the file has ``<entry_point>New``.

    Raises:
        SyntaxError: the text does not parse.
    """

    def __init__(self, text: str, entry_point: str) -> None:
        self.text = text
        self.entry_point = entry_point
        self.data = text.encode()
        self.tree = ast.parse(text)
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    # -- text ------------------------------------------------------------------------------

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First byte of a node and the one after its last."""
        assert isinstance(node, (ast.expr, ast.stmt))
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def segment(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def replace(self, node: ast.AST, text: str) -> Edit:
        return Edit(*self.span(node), text)

    def line(self, number: int) -> str:
        return self.data[self._starts[number - 1] : self._starts[number]].decode().rstrip("\n")

    def apply(self, candidate: Candidate) -> str:
        """The mutated text."""
        if candidate.whole is not None:
            return candidate.whole
        data = self.data
        for edit in sorted(candidate.edits, key=lambda edit: edit.start, reverse=True):
            data = data[: edit.start] + edit.text.encode() + data[edit.end :]
        return data.decode()

    # -- roles -----------------------------------------------------------------------------

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Functions of the module by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    @cached_property
    def launchers(self) -> list[ast.FunctionDef]:
        """Functions that launch a kernel, in order."""
        return [node for node in self.functions.values() if launches(node)]

    @cached_property
    def kernels(self) -> list[ast.FunctionDef]:
        """Functions that are launched, in order."""
        names = {launched(call) for node in self.launchers for call in launches(node)}
        return [node for name, node in self.functions.items() if name in names]

    @cached_property
    def device_functions(self) -> list[ast.FunctionDef]:
        """The kernels and the functions of this file that they call, directly or not, in order."""
        reached = {node.name for node in self.kernels}
        pending = list(reached)
        while pending:
            for node in walk(self.functions[pending.pop()], ast.Name):
                if node.id in self.functions and node.id not in reached:
                    reached.add(node.id)
                    pending.append(node.id)
        return [node for name, node in self.functions.items() if name in reached]

    @cached_property
    def host_functions(self) -> list[ast.FunctionDef]:
        """Methods that call launchers, in order."""
        names = {node.name for node in self.launchers}
        return [
            node
            for item in self.tree.body
            if isinstance(item, ast.ClassDef)
            for node in walk(item, ast.FunctionDef)
            if any(called(call) in names for call in walk(node, ast.Call))
        ]

    def launcher_calls(self, function: ast.FunctionDef) -> list[ast.Call]:
        """Calls of launchers in a method, in order."""
        names = {node.name for node in self.launchers}
        return [call for call in walk(function, ast.Call) if called(call) in names]


def walk(node: ast.AST, kind: type[Node]) -> Iterator[Node]:
    """The nodes of a kind below (and with) a node, in the order of the text."""
    if isinstance(node, kind):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child, kind)


def called(call: ast.AST) -> str:
    """``tl.load`` for a call of that name; empty for other forms."""
    if not isinstance(call, ast.Call):
        return ""
    return dotted(call.func)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a chain of names, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (prefix := dotted(node.value)):
        return f"{prefix}.{node.attr}"
    return ""


def launches(function: ast.FunctionDef) -> list[ast.Call]:
    """The calls ``kernel[grid](...)`` of a function."""
    calls = walk(function, ast.Call)
    return [call for call in calls if isinstance(call.func, ast.Subscript) and launched(call)]


def launched(call: ast.Call) -> str:
    """The name of the kernel that a launch launches."""
    return call.func.value.id if _is_named_subscript(call.func) else ""  # type: ignore[attr-defined]


def _is_named_subscript(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)


def operand(call: ast.Call, number: int, keyword: str) -> ast.expr | None:
    """An argument by position or keyword; None where it is not given."""
    if number < len(call.args):
        return call.args[number]
    found = [item.value for item in call.keywords if item.arg == keyword]
    return found[0] if found else None


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a body, nested ones after the statement that holds them."""
    for statement in body:
        yield statement
        for name in ("body", "orelse"):
            yield from statements(getattr(statement, name, []))
