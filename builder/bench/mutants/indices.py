"""Off-by-one mistakes in indices and bounds, and wrong axes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import (
    Candidate,
    Edit,
    Source,
    called,
    operand,
    statements,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDEX = re.compile(
    r"[xyzr]\d*(_\d+)?|[xyzr]\d?_?index|r\d?_?base|idx_\w+|offs_\w+|r[amnbk]+"
    r"|(a|b|out|in)_(rows|cols|planes|channels|pixels|lines|inner)|inner"
)
"""Inductor's names, and those that templates' have in the readable style."""
_ACCESSES = ("tl.load", "tl.store", "tl.atomic_add")


@mutation("off by one")
def shifted_address(source: Source) -> Iterator[Candidate]:
    """The address of a load, store or atomic moves by one element, either way."""
    for function in source.device_functions:
        for call in walk(function, ast.Call):
            if called(call) not in _ACCESSES:
                continue
            pointer = operand(call, 0, "pointer")
            if pointer is None:
                continue
            end = source.span(pointer)[1]
            for change in (" + 1", " - 1"):
                yield Candidate(function.name, call.lineno, (Edit(end, end, change),))


@mutation("off by one")
def shifted_index(source: Source) -> Iterator[Candidate]:
    """An index variable is one too large or too small."""
    for function in source.kernels:
        for node in statements(function.body):
            if isinstance(node, ast.Assign) and _is_index(node.targets[0]):
                for change in ("+ 1", "- 1"):
                    text = f"({source.segment(node.value)}) {change}"
                    yield Candidate(function.name, node.lineno, (source.replace(node.value, text),))


@mutation("off by one")
def shifted_bound(source: Source) -> Iterator[Candidate]:
    """A size, given once as a number at the head of a kernel, is off by one."""
    for function in source.kernels:
        for node in function.body:
            value = getattr(node, "value", None)
            if not isinstance(node, ast.Assign) or not isinstance(value, ast.Constant):
                continue
            if type(value.value) is int:
                for other in (value.value + 1, value.value - 1):
                    yield Candidate(
                        function.name, node.lineno, (source.replace(value, f"({other})"),)
                    )


@mutation("off by one")
def shifted_loop(source: Source) -> Iterator[Candidate]:
    """A loop starts one step late, or ends one step early or late."""
    for function in source.device_functions:
        for loop in walk(function, ast.For):
            yield from _loop_bounds(source, function, loop)


def _loop_bounds(source: Source, function: ast.FunctionDef, loop: ast.For) -> Iterator[Candidate]:
    call = loop.iter
    if called(call) not in ("range", "tl.range", "tl.static_range"):
        return
    assert isinstance(call, ast.Call)
    bounds = [source.segment(item) for item in call.args]
    start, stop = ("0", bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])
    step = bounds[2] if len(bounds) == 3 else "1"
    others = (
        (f"({start}) + ({step})", stop),
        (start, f"({stop}) - ({step})"),
        (start, f"({stop}) + ({step})"),
    )
    keywords = "".join(f", {source.segment(item)}" for item in call.keywords)
    for first, last in others:
        text = f"{called(call)}({first}, {last}, {step}{keywords})"
        yield Candidate(function.name, loop.lineno, (source.replace(call, text),))


def _is_index(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and _INDEX.fullmatch(node.id) is not None


@mutation("wrong axis")
def wrong_reduction_axis(source: Source) -> Iterator[Candidate]:
    """A reduction or scan runs along the other axis; its result is laid out to fit."""
    names = {node.name for node in source.device_functions}
    for function in source.kernels:
        for call in walk(function, ast.Call):
            name = called(call)
            if not (name.startswith("tl.") or name in names):
                continue
            for item in call.args[1:]:
                axis = _axis(item)
                if axis is not None and _reduces(name):
                    edits = [source.replace(item, str(1 - axis))]
                    edits += _turned_result(source, function, call)
                    yield Candidate(function.name, call.lineno, tuple(edits))


def _axis(node: ast.expr) -> int | None:
    """0 or 1, written as an integer: ``False`` is a flag."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if type(value) is int and value in (0, 1) else None


def _reduces(name: str) -> bool:
    words = ("sum", "max", "min", "reduce", "scan", "sort", "any", "argmax", "argmin", "cumsum")
    return any(word in name for word in words) and name not in ("tl.maximum", "tl.minimum")


def _turned_result(source: Source, function: ast.FunctionDef, call: ast.Call) -> list[Edit]:
    """The subscript ``[:, None]`` right after a reduction becomes ``[None, :]``."""
    for node in walk(function, ast.Subscript):
        if node.value is call:
            return [source.replace(node.slice, _turned(source.segment(node.slice)))]
    return []


def _turned(subscript: str) -> str:
    return ", ".join(reversed(subscript.split(", ")))


@mutation("wrong axis")
def wrong_program_axis(source: Source) -> Iterator[Candidate]:
    """A program id is taken along another axis of the grid."""
    for function in source.kernels:
        for call in walk(function, ast.Call):
            if called(call) not in ("tl.program_id", "tl.num_programs"):
                continue
            axis = call.args[0]
            if isinstance(axis, ast.Constant):
                for other in {0, 1, 2} - {axis.value}:
                    edits = (source.replace(axis, str(other)),)
                    yield Candidate(function.name, call.lineno, edits)


@mutation("wrong axis")
def swapped_strides(source: Source) -> Iterator[Candidate]:
    """``a + 6688 * b`` becomes ``b + 6688 * a``: the transposed element."""
    for function in source.device_functions:
        for node in walk(function, ast.BinOp):
            product = node.right
            if not isinstance(node.op, ast.Add) or not isinstance(product, ast.BinOp):
                continue
            if not isinstance(product.op, ast.Mult) or not isinstance(product.left, ast.Constant):
                continue
            last = node.left
            while isinstance(last, ast.BinOp) and isinstance(last.op, ast.Add):
                last = last.right
            index, factor = product.right, product.left
            if isinstance(last, ast.BinOp) and isinstance(last.op, ast.Mult):
                edits = _exchanged(source, last.left, factor)
            else:
                edits = _exchanged(source, last, index)
            yield Candidate(function.name, node.lineno, edits)


def _exchanged(source: Source, one: ast.expr, other: ast.expr) -> tuple[Edit, Edit]:
    return (
        source.replace(one, source.segment(other)),
        source.replace(other, source.segment(one)),
    )
