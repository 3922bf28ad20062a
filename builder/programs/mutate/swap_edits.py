"""Swaps: an operator becomes another of its class, a number another number."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from builder.programs.mutate.edits import Edit, kind, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.programs.mutate.sites import Graph, Site

CLASSES: tuple[tuple[str, ...], ...] = (
    ("relu", "gelu", "silu", "elu", "selu", "celu", "mish", "softplus", "hardswish", "relu6",
     "sigmoid", "tanh", "hardsigmoid", "softsign", "tanhshrink", "logsigmoid"),
    ("sin", "cos", "erf", "atan", "asinh", "tanh", "sigmoid", "abs", "square", "exp", "expm1"),
    ("sum", "mean", "amax", "amin", "logsumexp", "std", "var"),
    ("max", "min"),
    ("maximum", "minimum", "fmax", "logaddexp", "hypot", "atan2"),
    ("softmax", "log_softmax", "softmin"),
    ("cumsum", "logcumsumexp"),
    ("argmax", "argmin"),
    ("triu", "tril"),
    ("max_pool2d", "avg_pool2d"),
    ("max_pool1d", "avg_pool1d"),
    ("adaptive_avg_pool2d", "adaptive_max_pool2d"),
    ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"),
    ("floor", "ceil", "round", "trunc"),
    ("rsqrt", "sqrt", "log1p"),
)  # fmt: skip
MODULES: tuple[tuple[str, ...], ...] = (
    ("ReLU", "GELU", "SiLU", "ELU", "SELU", "Mish", "Softplus", "Hardswish", "ReLU6", "Sigmoid",
     "Tanh", "Hardsigmoid", "Softsign", "LogSigmoid"),
    ("MaxPool2d", "AvgPool2d"),
    ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"),
)  # fmt: skip
_OPERATORS: dict[type[ast.AST], tuple[tuple[str, ...], ...]] = {
    ast.BinOp: (("+", "-", "*"),),
    ast.Compare: (("<", "<=", ">", ">="),),
}
_SCOPES = {"torch": torch, "F": functional, "functional": functional, "nn": nn}
_FACTORS = (0.5, 0.75, 1.25, 1.5, 2.0)


@kind(3.0)
def swap_function(graph: Graph) -> Iterator[Edit]:
    """A function or method becomes another of its class."""
    for site in graph.sites:
        call = site.node
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            name, scope = call.func.attr, call.func.value
            owner = _SCOPES.get(ast.unparse(scope).split(".")[-1], torch.Tensor)
            for other in _others(name, CLASSES):
                if hasattr(owner, other):
                    yield _renamed(graph, call.func, other)


@kind(1.0)
def swap_module(graph: Graph) -> Iterator[Edit]:
    """A module without parameters that the constructor makes becomes another."""
    for node in ast.walk(graph.tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                    for other in _others(call.func.attr, MODULES):
                        yield _renamed(graph, call.func, other)


@kind(2.0)
def swap_operator(graph: Graph) -> Iterator[Edit]:
    """A sum becomes a product, ``<`` becomes ``>=``, and so on."""
    for site in graph.sites:
        ends = _operands(site.node)
        if ends is None:
            continue
        first, end = graph.span(ends[0])[1], graph.span(ends[1])[0]
        between = graph.text.encode()[first:end].decode()
        for symbols in _OPERATORS[type(site.node)]:
            if between.strip("() \n") not in symbols:
                continue
            old = between.strip("() \n")
            for other in symbols:
                if other != old:
                    change = (first, end, between.replace(old, other))
                    yield Edit(f"{old} becomes {other}", (change,))


@kind(1.5)
def change_number(graph: Graph) -> Iterator[Edit]:
    """A number that is no size is scaled."""
    for function in graph.functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
                for factor in _FACTORS:
                    new = repr(float(f"{node.value * factor:.3g}"))
                    yield replaced(graph, node, new, f"{node.value:g} becomes {new}")


@kind(1.5)
def change_axis(graph: Graph) -> Iterator[Edit]:
    """An operator works along another dimension."""
    for site in graph.sites:
        call = site.node
        rank = _rank(graph, site)
        if not isinstance(call, ast.Call) or rank < 2:
            continue
        for keyword in call.keywords:
            axis = _integer(keyword.value) if keyword.arg in ("dim", "dims") else None
            if axis is None:
                continue
            for other in range(-rank, 0):
                if other % rank != axis % rank:
                    yield replaced(graph, keyword.value, str(other), f"dim {axis} becomes {other}")


def _others(name: str, classes: tuple[tuple[str, ...], ...]) -> list[str]:
    """The other names of the classes that a name is in."""
    found = [other for group in classes if name in group for other in group if other != name]
    return list(dict.fromkeys(found))


def _renamed(graph: Graph, function: ast.Attribute, other: str) -> Edit:
    _, end = graph.span(function)
    change = (end - len(function.attr.encode()), end, other)
    return Edit(f"{function.attr} becomes {other}", (change,))


def _operands(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    if isinstance(node, ast.BinOp):
        return node.left, node.right
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return node.left, node.comparators[0]
    return None


def _rank(graph: Graph, site: Site) -> int:
    """Dimensions of the tensor that a call is made on."""
    call = site.node
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return 0
    given = {id(call.func.value), *(id(argument) for argument in call.args[:1])}
    return max((len(s.fact.shape) for s in graph.sites if id(s.node) in given), default=0)


def _integer(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if type(value) is int else None
