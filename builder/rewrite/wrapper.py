"""Inductor's ``call`` as the statements of a plain ``forward``.

Every statement Inductor's Python wrapper is known to write has one rule here; any other is a
rejection that names the line, never a guess.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeGuard

from builder.capture.library import (
    can_be_kept,
    is_library_call,
    operator_name,
    way_round,
)
from builder.errors import RewriteRejected
from builder.rewrite import library
from builder.rewrite.seeds import PARAMETER, SEEDS, seed_buffer, seed_buffers
from builder.rewrite.sizes import are_equal, contiguous_strides, is_size, simplified
from builder.rewrite.unread import loaded_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.rewrite.kernel import StandaloneKernel

_DROPPED_CALLS = (
    "args.clear",
    "assert_size_stride",
    "assert_size_stride_grouped",  # torch 2.14
    "assert_alignment",
    "torch.cuda.set_device",
)
_NEEDLESS_CALLS = ("get_raw_stream", "copy_misaligned", "copy_if_misaligned")
"""What prepares a launch and computes nothing; the second is the third's name in PyTorch 2.12."""

_EMPTY = ("empty_strided_cuda", "empty_strided")


@dataclass
class ForwardBody:
    """Statements of ``forward`` and the expressions it returns."""

    statements: list[ast.stmt] = field(default_factory=list)
    outputs: list[ast.expr] = field(default_factory=list)


def _unknown(node: ast.AST) -> RewriteRejected:
    text = ast.unparse(node).splitlines()[0][:120]
    return RewriteRejected(
        "unknown_construct", f"line {getattr(node, 'lineno', 0)} of Inductor's call: {text}"
    )


def _needs_library(name: str) -> RewriteRejected:
    kept = ", or keep it with --library-calls keep" if can_be_kept(name) else ""
    return RewriteRejected(
        "library_call",
        f"the program needs the library call {name}; {way_round([name])}{kept}",
    )


def _seed(number: ast.expr) -> ast.expr:
    """The seed that has a number."""
    return ast.Subscript(ast.Name(SEEDS, ast.Load()), number, ast.Load())


def call_function(module: str) -> ast.FunctionDef:
    """The ``call`` of an Inductor module, method of its ``Runner`` or a plain function."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.FunctionDef) and node.name == "call":
            return node
    raise RewriteRejected("unknown_construct", "Inductor's module has no function call")


def _named(name: ast.Name) -> ast.Name:
    """Inductor names semaphores after their device, which here follows the inputs."""
    return ast.Name(re.sub(r"^semaphores_[a-z]+_", "semaphores_", name.id), name.ctx)


def argument_names(module: str) -> list[str]:
    """Inductor's names of the arguments of a module's ``call``, in order."""
    for statement in call_function(module).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.value) == "args":
            target = statement.targets[0]
            assert isinstance(target, ast.Tuple)
            return [ast.unparse(item) for item in target.elts]
    return []


class _Translator:
    def __init__(
        self,
        arguments: Mapping[str, ast.expr],
        kernels: Mapping[str, StandaloneKernel],
        device: str,
        sizes: Mapping[str, ast.expr],
        seed_buffers: Mapping[str, int],
        results: library.Results,
        *,
        keeps_library_calls: bool,
    ) -> None:
        self._arguments = arguments
        self._symbols = frozenset(sizes)
        self._sizes = dict(sizes)
        self._kernels = kernels
        self._device = device
        self._fresh: set[str] = set()
        self._seed_buffers = dict(seed_buffers)
        self._results = results
        self._keeps = keeps_library_calls
        self.body = ForwardBody()

    def visit(self, node: ast.stmt) -> None:
        if isinstance(node, ast.With):
            for item in node.body:
                self.visit(item)
        elif isinstance(node, ast.Expr):
            self._expression(node.value)
        elif isinstance(node, ast.Assign):
            self._assign(node)
        elif isinstance(node, ast.Return):
            self._return(node)
        elif not isinstance(node, (ast.Delete, ast.Pass)):
            raise _unknown(node)

    def _expression(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Call):
            raise _unknown(node)
        name = ast.unparse(node.func)
        if name == "assert_size_stride":
            self._check_layout(node)
        if name in _DROPPED_CALLS:
            return
        if seed_buffer(node) is not None:
            self._make_seeds(node)
        elif is_library_call(node):
            self.body.statements.append(ast.Expr(self._library_call(node)))
        elif name.endswith(".run"):
            self._launch(name.removesuffix(".run"), node)
        elif name.endswith(".zero_") and not node.args:
            self.body.statements.append(ast.Expr(self._value(node)))
        else:
            raise _unknown(node)

    def _library_call(self, node: ast.Call) -> ast.Call:
        """A call of an operator.

        Raises:
            RewriteRejected: ``library_call``: it computes and none is kept, or it cannot be.
        """
        if not library.is_kept(node) or not (self._keeps or library.is_view(node)):
            raise _needs_library(operator_name(node))
        return library.standalone_call(node, self._device, self._value)

    def _check_layout(self, node: ast.Call) -> None:
        """Keeps what Inductor asserts of a library's result."""
        operator = library.checked_operator(node)
        if operator is None:
            return
        tensor, size, stride = node.args[:3]
        geometry = f"{_tuple(self._extents(size))}, {_tuple(self._extents(stride))}"
        tensor = self._value(tensor)
        text = f"check_layout({operator!r}, {ast.unparse(tensor)}, {geometry})"
        self.body.statements.append(ast.parse(text).body[0])

    def _launch(self, name: str, node: ast.Call) -> None:
        kernel = self._kernels.get(name)
        if kernel is None:
            raise _unknown(node)
        arguments = [
            _seed(argument) if position in kernel.seeds else self._value(argument)
            for position, argument in enumerate(node.args)
            if position not in kernel.dropped
        ]
        call = ast.Call(ast.Name(kernel.launcher, ast.Load()), arguments, [])
        self.body.statements.append(ast.Expr(call))

    def _make_seeds(self, node: ast.Call) -> None:
        found = seed_buffer(node)
        if found is None or len(self._seed_buffers) > 1:
            raise _unknown(node)
        text = f"{SEEDS} = random_seeds({PARAMETER}, {found[1]})"
        self.body.statements.append(ast.parse(text).body[0])

    def _let_reuse(self, value: ast.expr) -> None:
        """Allocates the seeds' tensor where another is put into its memory."""
        base = value.args[0] if isinstance(value, ast.Call) and value.args else value
        count = self._seed_buffers.pop(base.id, None) if isinstance(base, ast.Name) else None
        if count is not None:
            text = f"{ast.unparse(base)} = torch.empty(({count},), dtype=torch.int64, "
            text += f"device={self._device})"
            self.body.statements.append(ast.parse(text).body[0])

    def _assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and ast.unparse(node.value) == "args":
            return
        if not isinstance(target, ast.Name):
            raise _unknown(node)
        if target.id in self._symbols or _reads_sizes(node.value):
            return
        if self._sizes and is_size(node.value, self._size_names):
            self._sizes[target.id] = self._value(node.value)
            return
        if isinstance(node.value, ast.Call):
            name = ast.unparse(node.value.func)
            if name in _NEEDLESS_CALLS:
                return
            if is_library_call(node.value):
                made = library.target_of(target.id, node.value, self._results)
                self.body.statements.append(ast.Assign([made], self._library_call(node.value)))
                return
        if target.id in self._seed_buffers or target.id in self._results.settled:
            return
        self._let_reuse(node.value)
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in _EMPTY:
            self._fresh.add(target.id)
        self.body.statements.append(ast.Assign([_named(target)], self._value(node.value)))

    def _return(self, node: ast.Return) -> None:
        if not isinstance(node.value, ast.Tuple):
            raise _unknown(node)
        self.body.outputs = [self._value(item) for item in node.value.elts]

    def _value(self, node: ast.expr) -> ast.expr:
        if is_size(node, self._size_names):
            return simplified(_Substituted({**self._arguments, **self._sizes}).visit(node))
        if isinstance(node, ast.Name):
            if node.id in self._seed_buffers:
                raise _unknown(node)
            return self._arguments.get(node.id, _named(node))
        if isinstance(node, ast.Constant):
            return node
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            return ast.Subscript(self._value(node.value), node.slice, ast.Load())
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            return node
        raise _unknown(node)

    def _call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if name in _EMPTY:
            return self._allocation(node)
        if name == "reinterpret_tensor":
            return self._view(node)
        if name.endswith(".zero_") and isinstance(node.func, ast.Attribute):
            owner = self._value(node.func.value)
            return ast.Call(ast.Attribute(owner, "zero_", ast.Load()), [], [])
        raise _unknown(node)

    @property
    def _size_names(self) -> set[str]:
        numbers = {name for name, value in self._arguments.items() if _is_number(value)}
        return numbers | set(self._sizes)

    def _extents(self, node: ast.expr) -> list[ast.expr]:
        if not isinstance(node, ast.Tuple):
            raise _unknown(node)
        return [self._value(item) for item in node.elts]

    def _allocation(self, node: ast.Call) -> ast.expr:
        size, stride = self._extents(node.args[0]), self._extents(node.args[1])
        given = f"dtype={ast.unparse(node.args[2])}, device={self._device}"
        if are_equal(contiguous_strides(size), stride):
            text = f"torch.empty({_tuple(size)}, {given})"
        else:
            text = f"torch.empty_strided({_tuple(size)}, {_tuple(stride)}, {given})"
        return ast.parse(text, mode="eval").body

    def _view(self, node: ast.Call) -> ast.expr:
        base = self._value(node.args[0])
        size, stride = self._extents(node.args[1]), self._extents(node.args[2])
        offset = ast.unparse(self._value(node.args[3]))
        text = f"torch.as_strided({ast.unparse(base)}, {_tuple(size)}, {_tuple(stride)}"
        if offset != "0" and ast.unparse(node.args[0]) in self._fresh:
            text += f", {offset}"
        elif offset != "0":
            # Inductor's offset counts from the tensor's own, as_strided's from the storage's start.
            text += f", {ast.unparse(base)}.storage_offset() + {offset}"
        return ast.parse(text + ")", mode="eval").body


class _Substituted(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node)


def _reads_sizes(node: ast.expr) -> bool:
    """Whether Inductor reads the sizes or strides of an argument, which ``forward`` has read."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return not node.args and node.func.attr in ("size", "stride")


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _tuple(items: list[ast.expr]) -> str:
    return ast.unparse(ast.Tuple(items, ast.Load()))


def _drop_idle(body: ForwardBody) -> None:
    """Leaves out memory that no kernel is handed."""
    read = {name for node in (*body.statements, *body.outputs) for name in loaded_names(node)}
    body.statements = [
        statement
        for statement in body.statements
        if not _allocates(statement) or ast.unparse(statement.targets[0]) in read
    ]


def _allocates(statement: ast.stmt) -> TypeGuard[ast.Assign]:
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and ast.unparse(statement.value.func) in ("torch.empty", "torch.empty_strided")
    )


def forward_body(
    module: str,
    arguments: tuple[str, ...],
    kernels: Mapping[str, StandaloneKernel],
    device: str,
    sizes: Mapping[str, ast.expr] = MappingProxyType({}),
    *,
    keeps_library_calls: bool = False,
) -> ForwardBody:
    """Translates Inductor's ``call``.

    Args:
        module: Inductor's module.
        arguments: the expression of each of its arguments, in order.
        kernels: standalone kernels by Inductor's name.
        device: expression of the device to allocate on.
        sizes: the new module's expression of each symbol that stands for a size.
        keeps_library_calls: calls of ATen operators stay, rather than being refused.

    Raises:
        RewriteRejected: ``unknown_construct`` or ``library_call``.
    """
    function = call_function(module)
    bound = {
        name: ast.parse(expression, mode="eval").body
        for name, expression in zip(argument_names(module), arguments, strict=True)
    }
    results = library.results_of(function)
    seeds = seed_buffers(function.body)
    translator = _Translator(
        bound, kernels, device, sizes, seeds, results, keeps_library_calls=keeps_library_calls
    )
    for statement in function.body:
        translator.visit(statement)
    _drop_idle(translator.body)
    for node in (*translator.body.statements, *translator.body.outputs):
        ast.fix_missing_locations(node)
    return translator.body
