"""Keeps a Triton text away from what judges it.

The text is executed in the process that verifies it, so nothing of it may run before its module is
built, and no expression of it may lead out of torch, triton, math and typing into the interpreter.
"""

from __future__ import annotations

import ast
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from builder.errors import VerificationRejected
from builder.verify.allowed import CODE_LOADERS, FOREIGN_MODULES, IMPORTS, REFLECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

_HARMLESS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def check_module_level(tree: ast.Module) -> None:
    """Allows a docstring, imports, definitions and assignments of names at module level.

    Raises:
        VerificationRejected: ``static_module_level_code``.
    """
    for index, node in enumerate(tree.body):
        if isinstance(node, _HARMLESS) or _assigns_names(node):
            continue
        if index == 0 and _is_docstring(node):
            continue
        text = ast.unparse(node).splitlines()[0]
        raise VerificationRejected(
            "static_module_level_code",
            f"line {node.lineno}: runs {text:.80} on import; a Triton file imports, defines and "
            "assigns names there, and nothing else",
        )


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _assigns_names(node: ast.stmt) -> bool:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return bool(targets) and all(map(_is_name, targets))


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_name, target.elts))
    return isinstance(target, ast.Name)


def check_confined(
    tree: ast.Module, modules: Mapping[str, str], called: frozenset[str] = frozenset()
) -> None:
    """Lets no expression lead out of the modules a Triton file may import, or change them.

    Args:
        tree: the file.
        modules: local names of what it imports, with their dotted path.
        called: dotted paths of torch that it may call although they have private parts.

    Raises:
        VerificationRejected: ``static_forbidden_name``.
    """
    confinement = _Confinement(modules, called)
    for path in modules.values():
        if not CODE_LOADERS.isdisjoint(path.split(".")):
            raise VerificationRejected("static_forbidden_name", f"line 0: imports {path}")
    confinement.visit(tree)


class _Confinement(ast.NodeVisitor):
    def __init__(self, modules: Mapping[str, str], called: frozenset[str]) -> None:
        self.modules = modules
        self.called = called

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._check_object(f"{node.module}.{alias.name}", node)
            if alias.name == "*" or alias.name in FOREIGN_MODULES:
                raise _reject(node, f"imports {alias.name} from {node.module}")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        first = node.args[0] if node.args else None
        if name in REFLECTION and (first is None or self._path(first) is not None):
            raise _reject(node, f"uses {name} on what it imports")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._check_unchanged(node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._check_value(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._check_unchanged(node)
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "ctx")
        if node.attr in FOREIGN_MODULES and not own:
            raise _reject(node, f"reaches for {node.attr}")
        if self._path(node) is None:
            self.generic_visit(node)
            return
        if self._path(node) in self.called:
            return
        self._check_value(node)
        chain: ast.expr = node
        while isinstance(chain, ast.Attribute):
            if chain.attr in FOREIGN_MODULES | CODE_LOADERS or _is_private(chain.attr):
                raise _reject(node, f"reaches for {chain.attr}")
            path = self._path(chain)
            if path == "torch.load":
                raise _reject(node, "unpickles a file")
            self._check_object(path, node)
            chain = chain.value

    def _check_value(self, node: ast.Name | ast.Attribute) -> None:
        """A module itself is no value: under another name it would not be recognised."""
        path = self._path(node)
        if path is not None and isinstance(_resolved(path), ModuleType):
            raise _reject(node, f"uses the module {path} as a value")

    def _check_unchanged(self, node: ast.Attribute | ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            return
        base: ast.expr = node
        while isinstance(base, (ast.Attribute, ast.Subscript)):
            base = base.value
        if isinstance(base, ast.Name) and base.id in self.modules:
            raise _reject(node, f"changes {ast.unparse(node)}")

    def _check_object(self, path: str | None, node: ast.AST) -> None:
        found = _resolved(path) if path is not None else None
        if isinstance(found, ModuleType) and found.__name__.partition(".")[0] not in IMPORTS:
            raise _reject(node, f"reaches for the module {found.__name__}")

    def _path(self, node: ast.expr) -> str | None:
        """``torch.nn.functional.relu`` for ``F.relu``; None if it starts at no import."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.modules:
            return None
        return ".".join([self.modules[node.id], *reversed(parts)])


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _resolved(path: str) -> Any:
    """The object at a dotted path that starts at an allowed package; None if there is none."""
    root, *parts = path.split(".")
    if root not in IMPORTS:
        return None
    found: Any = importlib.import_module(root)
    for part in parts:
        missing = object()
        value = getattr(found, part, missing)
        if value is missing and isinstance(found, ModuleType):
            value = _submodule(f"{found.__name__}.{part}")
        if value is missing:
            return None
        found = value
    return found


def _submodule(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _reject(node: ast.AST, message: str) -> VerificationRejected:
    line = getattr(node, "lineno", 0)
    return VerificationRejected("static_forbidden_name", f"line {line}: {message}; no file may")
