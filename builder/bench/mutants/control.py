"""Missing stores, early exits and removed accumulations."""

from __future__ import annotations

import ast
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

_LAST = "tl.num_programs(0) - 1"


def _is_store(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and called(statement.value) in (
        "tl.store",
        "tl.atomic_add",
    )


@mutation("missing store")
def missing_store(source: Source) -> Iterator[Candidate]:
    """A store or atomic is left out."""
    for function in source.device_functions:
        for statement in statements(function.body):
            if _is_store(statement):
                edits = (source.replace(statement, "pass"),)
                yield Candidate(function.name, statement.lineno, edits)


@mutation("missing store")
def missing_launch(source: Source) -> Iterator[Candidate]:
    """A kernel is not launched."""
    for function in source.host_functions:
        for call in source.launcher_calls(function):
            yield Candidate(function.name, call.lineno, (source.replace(call, "pass"),))


@mutation("missing store")
def partial_store(source: Source) -> Iterator[Candidate]:
    """One program instance, the first or the last, does not store."""
    for function in source.kernels:
        for statement in statements(function.body):
            if not _is_store(statement):
                continue
            start = source.span(statement)[0]
            for skipped in ("0", _LAST):
                edit = Edit(start, start, f"if tl.program_id(0) != {skipped}: ")
                yield Candidate(function.name, statement.lineno, (edit,))


@mutation("early exit")
def early_return(source: Source) -> Iterator[Candidate]:
    """One program instance, the first or the last, returns before a statement of the kernel."""
    for function in source.kernels:
        for statement in function.body[1:]:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            start = source.span(statement)[0]
            indent = " " * statement.col_offset
            for skipped in ("0", _LAST):
                text = f"if tl.program_id(0) == {skipped}: return\n{indent}"
                yield Candidate(function.name, statement.lineno, (Edit(start, start, text),))


@mutation("early exit")
def early_loop_exit(source: Source) -> Iterator[Candidate]:
    """A loop does half of its steps."""
    for function in source.device_functions:
        for loop in walk(function, ast.For):
            call = loop.iter
            if not isinstance(call, ast.Call) or not called(call).endswith("range"):
                continue
            bounds = [source.segment(item) for item in call.args]
            start, stop = ("0", bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])
            target = call.args[0] if len(bounds) == 1 else call.args[1]
            text = f"({start}) + (({stop}) - ({start})) // 2"
            yield Candidate(function.name, loop.lineno, (source.replace(target, text),))


@mutation("removed accumulation")
def overwritten_sum(source: Source) -> Iterator[Candidate]:
    """``acc += x`` becomes ``acc = x``."""
    for function in source.device_functions:
        for node in walk(function, ast.AugAssign):
            text = f"{source.segment(node.target)} = {source.segment(node.value)}"
            yield Candidate(function.name, node.lineno, (source.replace(node, text),))


@mutation("removed accumulation")
def skipped_update(source: Source) -> Iterator[Candidate]:
    """A variable that a loop carries keeps its value."""
    for function, loop, carried in _loops(source):
        for node in loop.body:
            targets = {name.id for name in walk(node, ast.Name) if isinstance(name.ctx, ast.Store)}
            is_assignment = isinstance(node, (ast.Assign, ast.AugAssign))
            if is_assignment and targets and targets <= carried:
                edits = (source.replace(node, "pass"),)
                yield Candidate(function.name, node.lineno, edits)


@mutation("removed accumulation")
def forgotten_operand(source: Source) -> Iterator[Candidate]:
    """In a loop, the sum (or maximum) of the carried value and a new one is the new one alone."""
    for function, loop, carried in _loops(source):
        for node in walk(loop, ast.BinOp):
            if isinstance(node.op, (ast.Add, ast.Mult, ast.BitOr)):
                yield from _without(source, function, node, [node.left, node.right], carried)
        for call in walk(loop, ast.Call):
            if called(call) in ("maximum", "minimum", "tl.maximum", "tl.minimum"):
                yield from _without(source, function, call, call.args, carried)


def _without(
    source: Source,
    function: ast.FunctionDef,
    node: ast.expr,
    operands: list[ast.expr],
    carried: set[str],
) -> Iterator[Candidate]:
    names = [item.id if isinstance(item, ast.Name) else "" for item in operands]
    if len(operands) == 2 and len(carried & set(names)) == 1:
        kept = operands[1] if names[0] in carried else operands[0]
        edits = (source.replace(node, f"({source.segment(kept)})"),)
        yield Candidate(function.name, node.lineno, edits)


@mutation("removed accumulation")
def plain_store(source: Source) -> Iterator[Candidate]:
    """An atomic addition becomes a store."""
    for function in source.device_functions:
        for call in walk(function, ast.Call):
            if called(call) != "tl.atomic_add":
                continue
            parts = [operand(call, i, name) for i, name in enumerate(("pointer", "val", "mask"))]
            given = ", ".join(source.segment(part) for part in parts if part is not None)
            edits = (source.replace(call, f"tl.store({given})"),)
            yield Candidate(function.name, call.lineno, edits)


@mutation("removed accumulation")
def dropped_reduction(source: Source) -> Iterator[Candidate]:
    """A sum along an axis takes the largest element instead of adding up: one term of many."""
    for function in source.kernels:
        for call in walk(function, ast.Call):
            if called(call) == "tl.sum" and len(call.args) == 2:
                value, axis = map(source.segment, call.args)
                text = f"tl.max({value}, {axis})"
                yield Candidate(function.name, call.lineno, (source.replace(call, text),))


def _loops(source: Source) -> Iterator[tuple[ast.FunctionDef, ast.For, set[str]]]:
    """Loops with the names that they carry: assigned before the loop and in it."""
    for function in source.device_functions:
        for loop in walk(function, ast.For):
            before = {
                name.id
                for node in statements(function.body)
                if node.lineno < loop.lineno
                for name in walk(node, ast.Name)
                if isinstance(name.ctx, ast.Store)
            }
            inside = {
                name.id
                for node in loop.body
                for name in walk(node, ast.Name)
                if isinstance(name.ctx, ast.Store)
            }
            yield function, loop, before & inside
