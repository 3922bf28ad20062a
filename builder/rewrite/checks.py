"""Checks that a module makes of what it is given."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import sympy

from builder.capture.binding import literal
from builder.rewrite.library import CHECK_LAYOUT
from builder.rewrite.training import CHECK_FROZEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.capture.capture import TensorSpec
    from builder.capture.sizes import Extent
    from builder.rewrite.sizes import SizeNames

_CHECK_CONTIGUOUS = '''
def check_tensor(name, tensor, size, dtype):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")
'''
_CHECK_STRIDED = '''
def check_tensor(name, tensor, size, dtype, stride=None):
    """Raise ``ValueError`` unless a tensor is laid out as the kernels below expect."""
    if tuple(tensor.shape) != size or tensor.dtype != dtype:
        found = f"{tensor.dtype} of {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected {dtype} of shape {size}, got {found}")
    if stride is None:
        if not tensor.is_contiguous():
            raise ValueError(f"{name}: expected to be contiguous, got strides {tensor.stride()}")
    elif any(n > 1 and a != b for n, a, b in zip(size, tensor.stride(), stride)):
        raise ValueError(f"{name}: expected strides {stride}, got {tensor.stride()}")
'''
_CHECK_CONSTANT = '''
def check_constant(name, value, expected):
    """Raise ``ValueError`` unless a value is the one that the kernels below were made for."""
    exact = expected is None or isinstance(expected, bool)
    if not (value is expected if exact else value == expected):
        raise ValueError(f"{name} is fixed to {expected!r} in these kernels, got {value!r}")
'''


_BEYOND_PRODUCTS = re.compile(r"\b(min|max)\b|//|%")


def tensor_check(spec: TensorSpec, names: SizeNames) -> str:
    """The statement that refuses a tensor of another layout."""
    expected = [names.text(spec.size), f"torch.{spec.dtype}"]
    if not _is_contiguous(spec):
        expected.append(names.text(spec.stride))
    return f"check_tensor({spec.expression!r}, {spec.expression}, {', '.join(expected)})"


def constant_check(expression: str, value: object) -> str:
    """The statement that refuses another constant."""
    return f"check_constant({expression!r}, {expression}, {literal(value)})"


def check_functions(hosts: Sequence[str]) -> list[str]:
    """The texts of the checks that a module's functions and classes call."""
    calls = list(_calls(hosts))
    strided = any(called == "check_tensor" and count > 4 for called, count in calls)
    texts = {
        "check_tensor": _CHECK_STRIDED if strided else _CHECK_CONTIGUOUS,
        "check_constant": _CHECK_CONSTANT,
        "check_layout": CHECK_LAYOUT,
        "check_frozen": CHECK_FROZEN,
    }
    return [text.strip() for name, text in texts.items() if name in dict(calls)]


def _calls(hosts: Sequence[str]) -> Iterator[tuple[str, int]]:
    for host in hosts:
        for node in ast.walk(ast.parse(host)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id, len(node.args)


def _is_contiguous(spec: TensorSpec) -> bool:
    """Whether a tensor of the size that was assumed has its strides if it is contiguous."""
    expected: sympy.Expr = sympy.Integer(1)
    for extent, stride in reversed(list(zip(spec.size, spec.stride, strict=True))):
        if extent != 1 and not _equal(expected, stride):
            return False
        expected = expected * _expression(extent)
    return True


def _equal(expected: sympy.Expr, extent: Extent) -> bool:
    return bool(sympy.expand(expected - _expression(extent)) == 0)


def _expression(extent: Extent) -> sympy.Expr:
    """An extent as algebra; one that is no polynomial is like nothing but itself."""
    if isinstance(extent, int):
        return sympy.Integer(extent)
    if _BEYOND_PRODUCTS.search(extent):
        return sympy.Symbol(f"({extent})")
    names = {name: sympy.Symbol(name) for name in re.findall(r"\b[A-Za-z_]\w*", extent)}
    return sympy.sympify(extent, locals=names)
