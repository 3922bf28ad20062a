"""A program file as a graph: which expressions give tensors, of which type and shape.

The text stays what it is, so that an edit keeps its author's style.  What an expression gives is no
guess: a copy of the program in which each expression notes its value is run once.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ProgramRejected
from builder.programs.load import load_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.programs.load import LoadedProgram

INPUT_FUNCTIONS = ("get_inputs", "get_shape_variants", "get_init_inputs")
_NOTE, _DECIDE = "__note__", "__decide__"
_NUMBER = "_number"
_NOTED = (ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript, ast.Name, ast.Attribute)


@dataclass(frozen=True)
class Fact:
    """What an expression gave: the shape and type of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_float(self) -> bool:
        return self.dtype.is_floating_point


@dataclass(frozen=True, eq=False)
class Site:
    """An expression that gives a tensor.

    Attributes:
        node: with its place in the text.
        parent: of the node.
        statement: that it stands in.
        function: that this stands in.
        fact: what it gave, the first time.
    """

    node: ast.expr
    parent: ast.AST
    statement: ast.stmt
    function: ast.FunctionDef
    fact: Fact


@dataclass(frozen=True)
class Graph:
    """A program that was run once.

    Attributes:
        loaded: the program.
        variant: the input set that it ran on, its first shape variant if it has any.
        tree: of its text.
        sites: every expression that gave tensors of one shape and type, in the order of the text.
        outputs: what ``forward`` gave.
    """

    loaded: LoadedProgram
    variant: int | None
    tree: ast.Module
    sites: tuple[Site, ...]
    outputs: Any

    @property
    def text(self) -> str:
        return self.loaded.python_code

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """First and past the last byte of a node in the encoded text."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first = self._starts[node.lineno - 1] + node.col_offset
        return first, self._starts[node.end_lineno - 1] + node.end_col_offset

    def source(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        first, end = self.span(node)
        return self.text.encode()[first:end].decode()

    def is_enclosed(self, node: ast.expr) -> bool:
        """Whether a node stands in parentheses of its own, or is a call's only argument."""
        first, end = self.span(node)
        text = self.text.encode()
        return text[:first].rstrip().endswith(b"(") and text[end:].lstrip().startswith(b")")

    @cached_property
    def functions(self) -> list[ast.FunctionDef]:
        """The functions that compute, methods among them."""
        return list({id(site.function): site.function for site in self.sites}.values())

    def visible(self, site: Site) -> dict[str, Fact]:
        """The variables that a statement may read, and what they hold there.

        Variables of the function's own body only; those of loops and branches may not be there.
        """
        body = site.function.body
        if site.statement not in body:
            return {}
        place = body.index(site.statement)
        found: dict[str, Fact] = {}
        for other in self._of_function[id(site.function)]:
            if other.statement not in body or body.index(other.statement) > place:
                continue
            if isinstance(other.node, ast.Name):
                found.setdefault(other.node.id, other.fact)
            if body.index(other.statement) < place:
                name = bound_name(other)
                if name:
                    found[name] = other.fact
        return found

    @cached_property
    def _of_function(self) -> Mapping[int, list[Site]]:
        grouped: dict[int, list[Site]] = defaultdict(list)
        for site in self.sites:
            grouped[id(site.function)].append(site)
        return grouped


def bound_name(site: Site) -> str | None:
    """The variable that an expression is assigned to, whole."""
    statement = site.statement
    if isinstance(statement, ast.Assign) and statement.value is site.node:
        target = statement.targets[0]
        if len(statement.targets) == 1 and isinstance(target, ast.Name):
            return target.id
    return None


def read_graph(
    python_code: str, entry_point: str | None = None, filename: str = "<program>"
) -> Graph:
    """Runs a program once, on its first shape variant if it has any, and notes what it computes.

    Args:
        python_code: the text; its code runs in this process.
        entry_point: as for ``load_program``.
        filename: shown in messages.

    Raises:
        ProgramRejected: the kinds of loading; ``not_a_graph``: ``forward`` branches on the value of
            a tensor, or computes no tensor.
    """
    plain = load_program(python_code, entry_point, filename)
    tree = ast.parse(python_code)
    places = list(_places(tree))
    notes: dict[int, list[Fact]] = defaultdict(list)
    loaded = _noting(plain, tree, places, notes)
    variant = 0 if plain.num_variants else None
    module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
    notes.clear()
    with torch.no_grad():
        outputs = loaded.run(module, inputs)
    sites = tuple(
        Site(node, parent, statement, function, facts[0])
        for number, (node, parent, statement, function) in enumerate(places)
        if (facts := notes.get(number)) and len(set(facts)) == 1
    )
    if not any(isinstance(site.node, (ast.Call, ast.BinOp)) for site in sites):
        raise ProgramRejected(
            "not_a_graph", f"{filename}: forward computes no tensor; let it call torch's operators"
        )
    return Graph(plain, variant, tree, sites, outputs)


_Place = tuple[ast.expr, ast.AST, ast.stmt, ast.FunctionDef]


def _places(tree: ast.Module) -> Iterator[_Place]:
    """The expressions in functions that compute, marked with their number."""
    number = 0
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name in INPUT_FUNCTIONS:
            continue
        for statement in _statements(function.body):
            for node, parent in _expressions(statement):
                setattr(node, _NUMBER, number)
                number += 1
                yield node, parent, statement, function


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            continue
        yield statement
        for name in ("body", "orelse"):
            yield from _statements(getattr(statement, name, []))


def _expressions(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.AST]]:
    """The expressions of a statement that may give tensors; not those of statements within."""
    pending: list[tuple[ast.AST, ast.AST]] = [
        (child, statement)
        for name, value in ast.iter_fields(statement)
        if name not in ("body", "orelse", "annotation", "targets", "target")
        for child in (value if isinstance(value, list) else [value])
        if isinstance(child, ast.expr)
    ]
    while pending:
        node, parent = pending.pop(0)
        is_read = isinstance(getattr(node, "ctx", None), (ast.Load, type(None)))
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if isinstance(node, _NOTED) and is_read and not is_called:
            yield node, parent
        if not isinstance(node, (ast.Lambda, ast.JoinedStr)):
            pending += [(child, node) for child in ast.iter_child_nodes(node)]


class _Noting(ast.NodeTransformer):
    """Wraps each numbered expression, and each condition, in a call that looks at its value."""

    def visit(self, node: ast.AST) -> Any:
        number = getattr(node, _NUMBER, None)
        test = getattr(node, "test", None)
        self.generic_visit(node)
        if isinstance(test, ast.expr) and isinstance(node, (ast.If, ast.While, ast.IfExp)):
            node.test = _call(_DECIDE, ast.Constant(test.lineno), node.test)
        if number is None:
            return node
        assert isinstance(node, ast.expr)
        return _call(_NOTE, ast.Constant(number), node)


def _call(name: str, constant: ast.expr, value: ast.expr) -> ast.expr:
    called = ast.Call(ast.Name(name, ast.Load()), [constant, value], [])
    for node in ast.walk(called):
        if isinstance(node, ast.expr) and not hasattr(node, "lineno"):
            ast.copy_location(node, value)
    return called


def _noting(
    plain: LoadedProgram, tree: ast.Module, places: list[_Place], notes: dict[int, list[Fact]]
) -> LoadedProgram:
    """The program again, with its expressions noting what they give."""
    assert all(hasattr(node, _NUMBER) for node, *_ in places)
    lines = plain.python_code.splitlines()

    def note(number: int, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            notes[number].append(Fact(tuple(value.shape), value.dtype))
        return value

    def decide(line: int, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            raise ProgramRejected(
                "not_a_graph",
                f"{plain.filename}, line {line}: `{lines[line - 1].strip()}` decides by the value "
                "of a tensor; use torch.where",
            )
        return value

    noting = _Noting().visit(copy.deepcopy(tree))
    code = compile(ast.fix_missing_locations(noting), plain.filename, "exec", dont_inherit=True)
    given = {_NOTE: note, _DECIDE: decide}
    return load_program(plain.python_code, plain.entry_point, plain.filename, code, given)
