"""The part of a program that the Triton module keeps: its constructor and what that needs.

``<entry_point>New`` is built like the original, so that ``state_dict`` is the same; whatever
computes with torch in ``forward`` is left behind.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from builder.errors import RewriteRejected
from builder.rewrite.size_names import size_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_DEFINING = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
)
_CONTRACT = ("get_inputs", "get_init_inputs", "get_shape_variants")


@dataclass(frozen=True)
class ProgramParts:
    """What a Triton module takes over from a program.

    Attributes:
        imports: import statements still needed.
        definitions: constants, functions and classes the constructor needs, forwards removed.
        new_class: the entry point's class renamed, without ``forward``.
        forward_signature: parameters of the original ``forward``, the first called ``self``.
        names: what imports and definitions bind.
        size_names: what the program calls its inputs' sizes, see ``size_names``.
    """

    imports: tuple[str, ...]
    definitions: tuple[str, ...]
    new_class: ast.ClassDef
    forward_signature: ast.arguments
    names: frozenset[str]
    size_names: Mapping[tuple[str, int], str] = field(default_factory=dict)


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id
        elif isinstance(child, ast.Attribute):
            yield child.attr


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}


def _constructor_methods(classes: Sequence[ast.ClassDef]) -> set[str]:
    """Names of the methods that constructors reach, whichever class defines or overrides them."""
    reached: set[str] = set()
    pending: list[str] = []
    for item in (item for node in classes for item in node.body):
        if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending += _names(item)
        elif item.name.startswith("__") and item.name != "__call__":
            pending.append(item.name)
    while pending:
        name = pending.pop()
        if name not in reached and name != "forward":
            reached.add(name)
            for node in classes:
                pending += _names(_methods(node)[name]) if name in _methods(node) else ()
    return reached


def _constructor_only(node: ast.ClassDef, methods: set[str]) -> ast.ClassDef:
    """The class with the methods that constructors reach, and its class-level data."""
    kept = copy.copy(node)
    kept.body = [
        item for item in node.body if not _is_function(item) or getattr(item, "name", "") in methods
    ] or [ast.Pass()]
    return kept


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in set(_names(node.test))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _module_body(tree: ast.Module) -> list[ast.stmt]:
    """The statements that define something.

    Raises:
        RewriteRejected: ``module_level_code``: any other statement, whose effect would be lost.
    """
    body: list[ast.stmt] = []
    for item in tree.body:
        if _is_docstring(item) or _is_main_guard(item):
            continue
        if not isinstance(item, _DEFINING):
            line = ast.unparse(item).splitlines()[0]
            raise RewriteRejected(
                "module_level_code",
                f"line {item.lineno}: `{line}` runs when the file is read; "
                "move it into the class or a function",
            )
        if getattr(item, "name", "") not in _CONTRACT:
            body.append(item)
    return body


def _check_bound_once(statements: Sequence[ast.stmt], reached: set[str]) -> None:
    names = [name for item in statements for name in _defined(item) if name in reached]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RewriteRejected(
            "module_level_code", f"{', '.join(twice)} is bound twice; give each value its own name"
        )


class _Rename(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id == self._old:
            return ast.copy_location(ast.Name(self._new, node.ctx), node)
        return node


def _defined(statement: ast.stmt) -> tuple[str, ...]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return (statement.name,)
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return tuple(alias.asname or alias.name.split(".")[0] for alias in statement.names)
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return tuple(
            name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
        )
    return ()


def _forward(classes: dict[str, ast.ClassDef], entry_point: str) -> ast.FunctionDef:
    """The entry point's ``forward``, its own or inherited within the file."""
    pending = [entry_point]
    while pending:
        node = classes.get(pending.pop(0))
        if node is None:
            continue
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "forward":
                return item
        pending.extend(ast.unparse(base) for base in node.bases)
    raise RewriteRejected(
        "forward_not_found", f"class {entry_point} defines no forward in its file; write one there"
    )


def _reachable(statements: Sequence[ast.stmt], roots: Iterable[ast.AST]) -> set[str]:
    by_name = {name: statement for statement in statements for name in _defined(statement)}
    reached: set[str] = set()
    pending = [name for root in roots for name in _names(root)]
    while pending:
        name = pending.pop()
        if name in by_name and name not in reached:
            reached.add(name)
            if not isinstance(by_name[name], (ast.Import, ast.ImportFrom)):
                pending.extend(_names(by_name[name]))
    return reached


def _pruned_import(statement: ast.Import | ast.ImportFrom, reached: set[str]) -> str | None:
    kept = [
        alias for alias in statement.names if (alias.asname or alias.name.split(".")[0]) in reached
    ]
    if not kept or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
        return None
    pruned = (
        ast.Import(kept)
        if isinstance(statement, ast.Import)
        else ast.ImportFrom(statement.module, kept, statement.level)
    )
    return ast.unparse(pruned)


def _without_docstring(node: ast.ClassDef) -> None:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        node.body = node.body[1:] or [ast.Pass()]


def _without_pass(node: ast.ClassDef) -> None:
    node.body = [item for item in node.body if not isinstance(item, ast.Pass)]


def program_parts(python_code: str, entry_point: str) -> ProgramParts:
    """What the Triton module keeps of a program.

    Raises:
        RewriteRejected: ``forward_not_found`` or ``module_level_code``.
    """
    tree = ast.parse(python_code)
    originals = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    forward = _forward(originals, entry_point)
    methods = _constructor_methods(list(originals.values()))
    body = [
        _constructor_only(item, methods) if isinstance(item, ast.ClassDef) else item
        for item in _module_body(tree)
    ]
    entry = next(item for item in body if getattr(item, "name", "") == entry_point)
    assert isinstance(entry, ast.ClassDef)
    _without_docstring(entry)
    _without_pass(entry)
    others = [item for item in body if item is not entry]
    reached = _reachable(others, [entry, forward.args])
    _check_bound_once(others, reached)
    new_name = f"{entry_point}New"
    entry = _Rename(entry_point, new_name).visit(entry)
    entry.name = new_name
    imports, definitions = [], []
    for statement in others:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            text = _pruned_import(statement, reached)
            if text:
                imports.append(text)
        elif set(_defined(statement)) & reached:
            definitions.append(ast.unparse(ast.fix_missing_locations(statement)))
    names = {name for item in others for name in _defined(item)} & reached
    signature = _named_self(forward.args)
    inputs = [item.arg for item in (*signature.posonlyargs, *signature.args)][1:]
    return ProgramParts(
        tuple(imports),
        tuple(definitions),
        entry,
        signature,
        frozenset(names | {new_name}),
        size_names(python_code, inputs),
    )


def _named_self(arguments: ast.arguments) -> ast.arguments:
    positional = [*arguments.posonlyargs, *arguments.args]
    if positional:
        positional[0].arg = "self"
    return arguments
