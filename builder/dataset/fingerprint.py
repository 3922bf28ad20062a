"""Fingerprints: hashes of code that ignore names of its own, numbers, comments and layout.

Two texts have one fingerprint if one becomes the other by renaming what it defines and by changing
numbers.  ``ast.dump`` differs between Python versions, so the tree is written out here.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_params", "type_ignores", "lineno"}
_CONTRACT = {"forward", "backward", "get_inputs", "get_init_inputs", "get_shape_variants"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def program_fingerprint(python_code: str) -> str:
    """16 hexadecimal digits that stand for the structure of a module.

    Raises:
        ValueError: the text is no Python.
    """
    return _fingerprint(python_code, lambda tree: [tree])


def kernel_fingerprint(triton_code: str) -> str:
    """16 hexadecimal digits that stand for the ``@triton.jit`` functions of a module, in order.

    Launchers and the ``nn.Module`` are left out, so that pairs with equal kernels compare equal.

    Raises:
        ValueError: the text is no Python.
    """
    return _fingerprint(triton_code, _kernels)


def _fingerprint(code: str, select: Callable[[ast.Module], Iterable[ast.AST]]) -> str:
    try:
        tree = ast.parse(code)
        texts = [_Writer(tree).text(node) for node in select(tree)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {error}") from error
    return hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()[:16]


def _kernels(tree: ast.Module) -> list[ast.FunctionDef]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node for node in functions if any(map(_is_jit, node.decorator_list))]


def _is_jit(decorator: ast.expr) -> bool:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name == "jit"


class _Writer:
    """Writes a tree as text; names the module defines become numbers by first occurrence."""

    def __init__(self, tree: ast.Module) -> None:
        self._imports = dict(_imported_names(tree))
        self._attributes = set(_own_attributes(tree)) - _CONTRACT
        self._numbers: dict[str, int] = {}

    def text(self, node: ast.AST) -> str:
        self._numbers = {}
        return self._node(node)

    def _node(self, value: object) -> str:
        if isinstance(value, ast.Constant):
            return self._constant(value.value)
        if isinstance(value, ast.AST):
            parts = [self._field(value, name) for name in value._fields]
            return f"({type(value).__name__} {' '.join(filter(None, parts))})"
        if isinstance(value, list):
            return f"[{' '.join(map(self._node, value))}]" if value else ""
        return "" if value is None else str(value)

    def _field(self, node: ast.AST, name: str) -> str:
        value = getattr(node, name, None)
        if name in _SKIPPED_FIELDS or value is None:
            return ""
        if name == "body" and isinstance(value, list):
            return self._node(_without_docstring(value))
        if isinstance(value, str):
            return self._name(node, name, value)
        return f"{name}={text}" if (text := self._node(value)) else ""

    def _name(self, node: ast.AST, field: str, name: str) -> str:
        if isinstance(node, ast.alias):
            return name if field == "name" else ""
        if isinstance(node, ast.Attribute):
            return self._numbered(name) if name in self._attributes else name
        if isinstance(node, (ast.Name, ast.arg, *_DEFINITIONS)):
            return self._imports.get(name) or self._own_name(name)
        return name

    def _own_name(self, name: str) -> str:
        kept = name in _CONTRACT or hasattr(builtins, name) or name.startswith("__")
        return name if kept else self._numbered(name)

    def _numbered(self, name: str) -> str:
        return f"v{self._numbers.setdefault(name, len(self._numbers))}"

    @staticmethod
    def _constant(value: object) -> str:
        if isinstance(value, (int, float, complex)) and not isinstance(value, bool):
            return f"<{type(value).__name__}>"
        return repr(value)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return [
        statement
        for statement in body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                yield bound, alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _own_attributes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            yield from (d.name for d in node.body if isinstance(d, _DEFINITIONS))
