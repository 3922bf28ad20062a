"""Lower precision: values, accumulators and products with fewer bits than the program has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.bench.mutants.floats import float32_values, parameter_types
from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Edit, Source, called, operand, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_NARROW = ("tl.float16", "tl.bfloat16")
CATEGORY = "lower precision"


def _through(text: str, narrow: str) -> str:
    return f"({text}).to({narrow}).to(tl.float32)"


@mutation(CATEGORY)
def rounded_value(source: Source) -> Iterator[Candidate]:
    """A float32 value goes through float16 or bfloat16."""
    for kernel in source.kernels:
        for statement in float32_values(source, kernel):
            if called(statement.value) == "tl.full":
                continue
            for narrow in _NARROW:
                text = _through(source.segment(statement.value), narrow)
                edits = (source.replace(statement.value, text),)
                yield Candidate(kernel.name, statement.lineno, edits)


@mutation(CATEGORY)
def rounded_accumulator(source: Source) -> Iterator[Candidate]:
    """An accumulator is kept in half precision between the steps of a loop."""
    for kernel in source.kernels:
        for node in walk(kernel, ast.AugAssign):
            if called(node.value) != "tl.dot":
                continue
            name, value = source.segment(node.target), source.segment(node.value)
            for narrow in _NARROW:
                text = f"{name} = {_through(f'{name} + {value}', narrow)}"
                yield Candidate(kernel.name, node.lineno, (source.replace(node, text),))


@mutation(CATEGORY)
def rounded_sum(source: Source) -> Iterator[Candidate]:
    """A sum is taken over half-precision values, in half precision."""
    for kernel in source.kernels:
        known = {id(node.value) for node in float32_values(source, kernel)}
        for node in walk(kernel, ast.Assign):
            if id(node.value) not in known:
                continue
            for call in walk(node.value, ast.Call):
                if called(call) == "tl.sum":
                    yield from _narrow_sums(source, kernel.name, call)


def _narrow_sums(source: Source, function: str, call: ast.Call) -> Iterator[Candidate]:
    value, start = source.segment(call.args[0]), source.span(call)
    rest = "".join(f", {source.segment(item)}" for item in (*call.args[1:], *call.keywords))
    for narrow in _NARROW:
        text = f"tl.sum(({value}).to({narrow}){rest}, dtype={narrow}).to(tl.float32)"
        yield Candidate(function, call.lineno, (Edit(*start, text),))


@mutation(CATEGORY)
def rounded_operand(source: Source) -> Iterator[Candidate]:
    """The operands of a product, or one of them, go through half precision."""
    for kernel in source.kernels:
        types = parameter_types(source).get(kernel.name, {})
        if any(kind != "torch.float32" for kind in types.values() if "float" in kind):
            continue
        for call in walk(kernel, ast.Call):
            if called(call) != "tl.dot":
                continue
            for side in call.args[:2]:
                for narrow in _NARROW:
                    text = _through(source.segment(side), narrow)
                    edits = (source.replace(side, text),)
                    yield Candidate(kernel.name, call.lineno, edits)


@mutation(CATEGORY)
def tf32_product(source: Source) -> Iterator[Candidate]:
    """A product of float32 matrices in tf32."""
    for kernel in source.kernels:
        for call in walk(kernel, ast.Call):
            allow = operand(call, 9, "allow_tf32") if called(call) == "tl.dot" else None
            if allow is not None:
                edits = (source.replace(allow, "True"),)
                yield Candidate(kernel.name, call.lineno, edits)
            precision = operand(call, 9, "input_precision") if called(call) == "tl.dot" else None
            if precision is not None:
                edits = (source.replace(precision, "'tf32'"),)
                yield Candidate(kernel.name, call.lineno, edits)


@mutation(CATEGORY)
def rounded_store(source: Source) -> Iterator[Candidate]:
    """What is stored as float32 was rounded to half precision just before."""
    for kernel in source.kernels:
        known = {
            node.targets[0].id
            for node in float32_values(source, kernel)
            if isinstance(node.targets[0], ast.Name)
        }
        for call in walk(kernel, ast.Call):
            value = operand(call, 1, "value") if called(call) == "tl.store" else None
            if isinstance(value, ast.Name) and value.id in known:
                for narrow in _NARROW:
                    text = _through(value.id, narrow)
                    edits = (source.replace(value, text),)
                    yield Candidate(kernel.name, call.lineno, edits)
