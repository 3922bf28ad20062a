"""The Triton file's contract, read off its syntax tree.

Checked here is what a reader could check: what the file imports, what it defines, and that its host
code (``forward``, ``backward``, the launchers and whatever they call) lets torch only allocate and
take views.  Python cannot be typed from its syntax, so host code is watched once more while it runs
(``guard``); this rung gives the better message and costs nothing.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from builder.errors import VerificationRejected
from builder.verify.allowed import (
    FORBIDDEN_BUILTINS,
    FORBIDDEN_WORDS,
    HOST_METHODS,
    HOST_TORCH,
    IMPORTS,
    TRITON_HOST,
)
from builder.verify.confine import check_confined, check_module_level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.verify.library import LibraryCalls

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class TritonFile:
    """What a Triton file defines.

    Attributes:
        kernels: ``@triton.jit`` functions.
        functions: other functions of the module.
        classes: its classes.
        modules: local names of imported modules, with their dotted path.
    """

    kernels: dict[str, Function] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


def check_static(
    triton_code: str, entry_point: str, library: LibraryCalls | None = None
) -> TritonFile:
    """Holds a Triton file against its contract.

    Args:
        triton_code: the file.
        entry_point: the program's class.
        library: operators that host code may call beside kernels.

    Raises:
        VerificationRejected: ``static_syntax``, ``static_import``, ``static_forbidden_name``,
            ``static_module_level_code``, ``static_missing_class``, ``static_missing_kernel``,
            ``static_unused_kernel``, ``static_launch_outside_launcher``,
            ``static_missing_allocator``, ``static_torch_compute`` or ``static_submodule_call``;
            the message names the line.
    """
    try:
        tree = ast.parse(triton_code)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise VerificationRejected("static_syntax", f"not Python: {error}") from error
    found = TritonFile()
    paths = library.paths if library is not None else frozenset()
    nodes = list(ast.walk(tree))
    _check_imports(nodes, found)
    _check_words(nodes)
    check_confined(tree, found.modules, paths)
    check_module_level(tree)
    _collect(tree, found)
    _check_definitions(found, entry_point)
    _check_launches(found)
    _check_allocator(nodes)
    for function, methods in _host_functions(found):
        _HostCode(found, function, methods, HOST_TORCH | paths).check()
    return found


def _reject(kind: str, node: ast.AST, message: str) -> VerificationRejected:
    return VerificationRejected(f"static_{kind}", f"line {getattr(node, 'lineno', 0)}: {message}")


def _check_imports(nodes: Sequence[ast.AST], found: TritonFile) -> None:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                _check_module(alias.name, node)
                found.modules[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            _check_module(module, node)
            for alias in node.names:
                found.modules[alias.asname or alias.name] = f"{module}.{alias.name}"


def _check_module(name: str, node: ast.AST) -> None:
    parts = name.split(".")
    private = any(part.startswith("_") for part in parts) and name != "__future__"
    if private or parts[0] not in IMPORTS:
        allowed = ", ".join(sorted(IMPORTS))
        raise _reject("import", node, f"imports {name}; a Triton file needs only {allowed}")


def _check_words(nodes: Sequence[ast.AST]) -> None:
    for node in nodes:
        word, forbidden = "", FORBIDDEN_WORDS
        if isinstance(node, ast.Name):
            word = node.id
        elif isinstance(node, ast.Attribute):
            word = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            word, forbidden = node.func.id, FORBIDDEN_BUILTINS
        if word in forbidden:
            raise _reject("forbidden_name", node, f"uses {word}, which no Triton file may")


def _collect(tree: ast.Module, found: TritonFile) -> None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found.classes[node.name] = node
        elif isinstance(node, Function):
            group = found.kernels if _is_kernel(node) else found.functions
            group[node.name] = node


def _is_kernel(node: Function) -> bool:
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(target) in ("triton.jit", "jit"):
            return True
    return False


def _check_definitions(found: TritonFile, entry_point: str) -> None:
    wanted = found.classes.get(f"{entry_point}New")
    if wanted is None:
        message = f"defines no class {entry_point}New(nn.Module)"
        raise VerificationRejected("static_missing_class", message)
    if not any(isinstance(node, Function) and node.name == "forward" for node in wanted.body):
        raise _reject("missing_class", wanted, f"{entry_point}New has no forward of its own")
    if not found.kernels:
        raise VerificationRejected("static_missing_kernel", "defines no @triton.jit kernel")


def _names(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def _launched(node: ast.AST, found: TritonFile) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Subscript):
            kernel = child.func.value
            if isinstance(kernel, ast.Name) and kernel.id in found.kernels:
                yield kernel.id, child


def _check_launches(found: TritonFile) -> None:
    """Each kernel is launched by a launcher, or called by one that is."""
    for owner in found.classes.values():
        for _, call in _launched(owner, found):
            raise _reject(
                "launch_outside_launcher",
                call,
                "launches a kernel; give it a plain launcher function",
            )
    used: set[str] = set()
    pending = [name for f in found.functions.values() for name, _ in _launched(f, found)]
    if not pending:
        raise VerificationRejected("static_missing_kernel", "no launcher launches a kernel")
    while pending:
        name = pending.pop()
        if name in found.kernels and name not in used:
            used.add(name)
            pending += _names(found.kernels[name])
    for name in sorted(set(found.kernels) - used):
        raise _reject("unused_kernel", found.kernels[name], f"kernel {name} is never launched")


def _check_allocator(nodes: Sequence[ast.AST]) -> None:
    """A descriptor that a kernel makes lies in memory that triton asks the host for."""
    attributes = {node.attr: node for node in nodes if isinstance(node, ast.Attribute)}
    made = attributes.get("make_tensor_descriptor")
    if made is not None and "set_allocator" not in attributes:
        raise _reject(
            "missing_allocator",
            made,
            "makes a tensor descriptor; let the launcher call triton.set_allocator first",
        )


def _host_functions(found: TritonFile) -> Iterator[tuple[Function, dict[str, Function]]]:
    """Everything that runs in a call of the module, with the methods around it."""
    pending: list[tuple[Function, dict[str, Function]]] = []
    all_methods: dict[str, Function] = {}
    for owner in found.classes.values():
        methods = {node.name: node for node in owner.body if isinstance(node, Function)}
        all_methods.update({k: v for k, v in methods.items() if k != "__init__"})
        pending += [
            (node, methods)
            for name, node in methods.items()
            if name in ("forward", "backward", "setup_context", "__call__")
        ]
    seen: set[int] = set()
    while pending:
        function, methods = pending.pop(0)
        if id(function) in seen:
            continue
        seen.add(id(function))
        yield function, methods
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in found.functions:
                pending.append((found.functions[node.id], {}))
            elif isinstance(node, ast.Attribute) and node.attr in all_methods:
                pending.append((all_methods[node.attr], methods))


class _HostCode:
    """The calls of one function that runs on the host."""

    def __init__(
        self,
        found: TritonFile,
        function: Function,
        methods: dict[str, Function],
        torch_paths: frozenset[str],
    ) -> None:
        self.torch_paths = torch_paths
        self.found = found
        self.function = function
        self.methods = methods

    def check(self) -> None:
        for node in ast.walk(self.function):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                raise _reject("torch_compute", node, "multiplies matrices on the host")
            if isinstance(node, ast.Call):
                self._check_call(node)

    def _check_call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            self._check_name(function)
        elif isinstance(function, ast.Attribute):
            self._check_attribute(function)
        elif not self._is_launch(function):
            text = ast.unparse(function)
            raise _reject("submodule_call", node, f"calls {text}; host code may not call modules")

    def _is_launch(self, function: ast.expr) -> bool:
        return (
            isinstance(function, ast.Subscript)
            and isinstance(function.value, ast.Name)
            and function.value.id in self.found.kernels
        )

    def _check_name(self, function: ast.Name) -> None:
        if function.id in ("getattr", "setattr"):
            raise _reject("forbidden_name", function, f"host code calls {function.id}")
        path = self.found.modules.get(function.id)
        if path is not None:
            self._check_path(path, function)

    def _check_attribute(self, function: ast.Attribute) -> None:
        path = self._path(function)
        if path is not None:
            self._check_path(path, function)
            return
        is_own = isinstance(function.value, ast.Name) and function.value.id in (
            "self",
            "ctx",
            "cls",
        )
        if is_own and function.attr in self.methods:
            return
        if function.attr in HOST_METHODS or self._is_tangent(function):
            return
        if hasattr(torch.Tensor, function.attr):
            raise _reject("torch_compute", function, f"computes with torch: .{function.attr}()")
        if is_own or self._starts_at_self(function):
            text = ast.unparse(function)
            raise _reject(
                "submodule_call", function, f"calls {text}; host code may not call modules"
            )

    def _is_tangent(self, function: ast.Attribute) -> bool:
        """``backward`` may make an incoming tangent contiguous, and nothing else."""
        if function.attr != "contiguous" or self.function.name != "backward":
            return False
        arguments = self.function.args
        given = [*arguments.posonlyargs, *arguments.args, arguments.vararg]
        value: ast.expr = function.value
        while isinstance(value, ast.Subscript):
            value = value.value
        names = {argument.arg for argument in given[1:] if argument is not None}
        return isinstance(value, ast.Name) and value.id in names

    def _path(self, function: ast.Attribute) -> str | None:
        """``torch.nn.functional.relu`` for ``F.relu``; None if it starts at no module."""
        parts = [function.attr]
        value = function.value
        while isinstance(value, ast.Attribute):
            parts.append(value.attr)
            value = value.value
        if not isinstance(value, ast.Name) or value.id not in self.found.modules:
            return None
        return ".".join([self.found.modules[value.id], *reversed(parts)])

    def _check_path(self, path: str, node: ast.AST) -> None:
        root = path.partition(".")[0]
        if root == "torch" and path not in self.torch_paths:
            raise _reject("torch_compute", node, f"computes with torch: {path}")
        if root == "triton" and path not in TRITON_HOST:
            raise _reject("torch_compute", node, f"calls {path} on the host")

    @staticmethod
    def _starts_at_self(function: ast.Attribute) -> bool:
        value: ast.expr = function.value
        while isinstance(value, (ast.Attribute, ast.Subscript)):
            value = value.value
        return isinstance(value, ast.Name) and value.id == "self"
