"""Results that are not computed: zeros, an input, another buffer, another pair's module."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.bench.mutants.arguments import layouts
from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Source, called, operand, walk

if TYPE_CHECKING:
    from collections.abc import Iterator


@mutation("zeros returned")
def stored_zeros(source: Source) -> Iterator[Candidate]:
    """A kernel stores zeros."""
    for kernel in source.kernels:
        for call in walk(kernel, ast.Call):
            value = operand(call, 1, "value") if called(call) == "tl.store" else None
            if value is not None:
                text = f"tl.zeros_like({source.segment(value)})"
                yield Candidate(kernel.name, call.lineno, (source.replace(value, text),))


@mutation("zeros returned")
def returned_zeros(source: Source) -> Iterator[Candidate]:
    """A method returns zeros in the place of an output."""
    for function, output in _outputs(source):
        text = f"torch.zeros_like({source.segment(output)})"
        yield Candidate(function.name, output.lineno, (source.replace(output, text),))


@mutation("input returned")
def returned_input(source: Source) -> Iterator[Candidate]:
    """A method returns an argument of the output's shape and type."""
    for function, output in _outputs(source):
        arguments = {item.arg for item in function.args.args}
        yield from _others(source, function, output, lambda name, a=arguments: name in a)


@mutation("input returned")
def stored_input(source: Source) -> Iterator[Candidate]:
    """A kernel stores what it loaded."""
    for kernel in source.kernels:
        loaded = [
            node.targets[0].id
            for node in walk(kernel, ast.Assign)
            if isinstance(node.targets[0], ast.Name)
            and any(called(call) == "tl.load" for call in walk(node.value, ast.Call))
        ]
        for call in walk(kernel, ast.Call):
            value = operand(call, 1, "value") if called(call) == "tl.store" else None
            for name in loaded if value is not None else ():
                assert value is not None
                if source.segment(value) != name:
                    edits = (source.replace(value, name),)
                    yield Candidate(kernel.name, call.lineno, edits)


@mutation("result of another pair")
def returned_buffer(source: Source) -> Iterator[Candidate]:
    """A method returns another buffer of the output's shape and type."""
    for function, output in _outputs(source):
        arguments = {item.arg for item in function.args.args}
        yield from _others(source, function, output, lambda name, a=arguments: name not in a)


def _others(
    source: Source, function: ast.FunctionDef, output: ast.expr, wanted: object
) -> Iterator[Candidate]:
    known = layouts(source, function)
    text = source.segment(output)
    layout = known.get(text)
    for name, other in known.items():
        if layout == other and name != text and name.isidentifier() and wanted(name):  # type: ignore[operator]
            yield Candidate(function.name, output.lineno, (source.replace(output, name),))


def _outputs(source: Source) -> Iterator[tuple[ast.FunctionDef, ast.expr]]:
    """What the methods return, tuples taken apart."""
    for function in source.host_functions:
        for node in walk(function, ast.Return):
            value = node.value
            for item in value.elts if isinstance(value, ast.Tuple) else [value]:
                if item is not None and not isinstance(item, ast.Constant):
                    yield function, item


def borrowed(source: Source, other_text: str, other_entry_point: str) -> Candidate:
    """Another pair's module under this one's name.

    Args:
        source: the pair's file.
        other_text: the other pair's file.
        other_entry_point: the other pair's class.
    """
    name = re.compile(rf"\b{re.escape(other_entry_point)}New\b")
    text = name.sub(f"{source.entry_point}New", other_text)
    return Candidate(f"{source.entry_point}New", 1, whole=text)
