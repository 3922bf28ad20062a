"""Swapped arguments: of launches, of kernel calls, of functions and of operators."""

from __future__ import annotations

import ast
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Source, called, launches, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Layout = tuple[str, str]
"""Shape and dtype, as the text writes them."""


def layouts(source: Source, function: ast.FunctionDef) -> dict[str, Layout]:
    """Shape and dtype of the tensors of a method, by the text of the expression that is one.

    Known are tensors that the method checks, allocates or views.
    """
    found: dict[str, Layout] = {}
    for node in walk(function, ast.Call):
        if called(node) == "check_tensor" and len(node.args) > 3:
            found[source.segment(node.args[1])] = (
                source.segment(node.args[2]),
                source.segment(node.args[3]),
            )
    for statement in walk(function, ast.Assign):
        name, value = source.segment(statement.targets[0]), statement.value
        if called(value) in ("torch.empty", "torch.empty_strided", "torch.zeros"):
            assert isinstance(value, ast.Call)
            dtype = [source.segment(item.value) for item in value.keywords if item.arg == "dtype"]
            found[name] = (source.segment(value.args[0]), "".join(dtype))
        elif called(value) == "torch.as_strided" and isinstance(value, ast.Call):
            base = found.get(source.segment(value.args[0]))
            if base is not None:
                found[name] = (source.segment(value.args[1]), base[1])
        elif source.segment(value) in found:
            found[name] = found[source.segment(value)]
    return found


def _swap(source: Source, function: str, line: int, first: ast.expr, second: ast.expr) -> Candidate:
    edits = (
        source.replace(first, source.segment(second)),
        source.replace(second, source.segment(first)),
    )
    return Candidate(function, line, edits)


@mutation("swapped arguments")
def swapped_launch_arguments(source: Source) -> Iterator[Candidate]:
    """Two tensors of equal shape and type change places in a call of a launcher."""
    for function in source.host_functions:
        known = layouts(source, function)
        for call in source.launcher_calls(function):
            for first, second in combinations(call.args, 2):
                one, other = source.segment(first), source.segment(second)
                if one != other and one in known and known[one] == known.get(other):
                    yield _swap(source, function.name, first.lineno, first, second)


@mutation("swapped arguments")
def swapped_kernel_arguments(source: Source) -> Iterator[Candidate]:
    """Two tensors of equal shape and type change places where a launcher launches its kernel."""
    equal = _equal_parameters(source)
    for launcher in source.launchers:
        names = [item.arg for item in launcher.args.args]
        for call in launches(launcher):
            given = [item for item in call.args if isinstance(item, ast.Name) and item.id in names]
            for first, second in combinations(given, 2):
                places = frozenset((names.index(first.id), names.index(second.id)))
                if places in equal.get(launcher.name, ()):
                    yield _swap(source, launcher.name, first.lineno, first, second)


def _equal_parameters(source: Source) -> dict[str, set[frozenset[int]]]:
    """Per launcher, the pairs of positions at which a method passes tensors of equal layout."""
    equal: dict[str, set[frozenset[int]]] = {}
    for function in source.host_functions:
        known = layouts(source, function)
        for call in source.launcher_calls(function):
            texts = [source.segment(item) for item in call.args]
            for i, j in combinations(range(len(texts)), 2):
                alike = texts[i] in known and known[texts[i]] == known.get(texts[j])
                if alike and texts[i] != texts[j]:
                    equal.setdefault(called(call), set()).add(frozenset((i, j)))
    return equal


@mutation("swapped arguments")
def swapped_call_arguments(source: Source) -> Iterator[Candidate]:
    """Two arguments of a function called in a kernel change places."""
    own = {node.name for node in source.device_functions}
    for function in source.device_functions:
        for call in walk(function, ast.Call):
            name = called(call)
            if name == "tl.where" and len(call.args) == 3:
                yield _swap(source, function.name, call.lineno, call.args[1], call.args[2])
            elif name in own or name in ("libdevice.pow", "tl.dot", "tl.fma", "libdevice.fmod"):
                yield from _neighbours(source, function.name, call, call.args)


def _neighbours(
    source: Source, function: str, call: ast.Call, given: Sequence[ast.expr]
) -> Iterator[Candidate]:
    for first, second in pairwise(given):
        names = isinstance(first, ast.Name) and isinstance(second, ast.Name)
        if names and source.segment(first) != source.segment(second):
            yield _swap(source, function, call.lineno, first, second)


@mutation("swapped arguments")
def swapped_operands(source: Source) -> Iterator[Candidate]:
    """``a - b`` becomes ``b - a``, ``a / b`` becomes ``b / a``."""
    for function in source.device_functions:
        for node in walk(function, ast.BinOp):
            if isinstance(node.op, (ast.Sub, ast.Div)):
                left, right = source.segment(node.left), source.segment(node.right)
                sign = "-" if isinstance(node.op, ast.Sub) else "/"
                edits = (source.replace(node, f"(({right}) {sign} ({left}))"),)
                yield Candidate(function.name, node.lineno, edits)
