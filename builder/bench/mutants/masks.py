"""Dropped and shifted masks."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Edit, Source, called, operand, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_MASK_POSITION = {"tl.load": 1, "tl.store": 2, "tl.atomic_add": 2}


def masks(function: ast.FunctionDef) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Memory operations that have a mask, with it."""
    for call in walk(function, ast.Call):
        position = _MASK_POSITION.get(called(call))
        if position is None:
            continue
        mask = operand(call, position, "mask")
        if mask is not None and not isinstance(mask, ast.Constant):
            yield call, mask


@mutation("dropped or shifted mask")
def dropped_mask(source: Source) -> Iterator[Candidate]:
    """A load, store or atomic goes without its mask."""
    for function in source.device_functions:
        for call, mask in masks(function):
            edits = [source.replace(mask, "None")]
            others = [item.value for item in call.keywords if item.arg == "other"]
            edits += [source.replace(value, "None") for value in others]
            yield Candidate(function.name, call.lineno, tuple(edits))


@mutation("dropped or shifted mask")
def dropped_condition(source: Source) -> Iterator[Candidate]:
    """Of ``a & b`` one side is left, wherever it stands."""
    for function in source.device_functions:
        for node in walk(function, ast.BinOp):
            if isinstance(node.op, ast.BitAnd):
                for side in (node.left, node.right):
                    edits = (source.replace(node, f"({source.segment(side)})"),)
                    yield Candidate(function.name, node.lineno, edits)


@mutation("dropped or shifted mask")
def dropped_selection(source: Source) -> Iterator[Candidate]:
    """``tl.where(c, a, b)`` becomes ``a`` or ``b``, broadcast as before."""
    for function in source.device_functions:
        for call in walk(function, ast.Call):
            if called(call) != "tl.where" or len(call.args) != 3:
                continue
            condition, *sides = map(source.segment, call.args)
            for one in ("1", "0"):
                chosen = f"tl.where(({condition}) == ({condition}), {sides[0]}, {sides[1]})"
                if one == "0":
                    chosen = f"tl.where(({condition}) != ({condition}), {sides[0]}, {sides[1]})"
                yield Candidate(function.name, call.lineno, (source.replace(call, chosen),))


@mutation("dropped or shifted mask")
def shifted_mask(source: Source) -> Iterator[Candidate]:
    """The bound of a comparison that gives a mask moves by one, either way."""
    for function in source.device_functions:
        sizes = _sizes(function)
        for node in walk(function, ast.Compare):
            bound = node.comparators[0]
            if not isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
                continue
            if not _is_bound(bound, sizes):
                continue
            end = source.span(bound)[1]
            for change in (" - 1", " + 1"):
                yield Candidate(function.name, node.lineno, (Edit(end, end, change),))


def _sizes(function: ast.FunctionDef) -> set[str]:
    """Names of sizes: parameters that are no pointers, constants, and what loops count."""
    given = {item.arg for item in function.args.args if not item.arg.endswith("_ptr")}
    constants = {ast.unparse(node.target) for node in walk(function, ast.AnnAssign)}
    plain = {
        ast.unparse(node.targets[0])
        for node in walk(function, ast.Assign)
        if isinstance(node.value, ast.Constant)
    }
    return (
        given | constants | plain | {ast.unparse(loop.target) for loop in walk(function, ast.For)}
    )


def _is_bound(node: ast.expr, sizes: set[str]) -> bool:
    """A size: a name like ``num_rows``, ``M``, ``IN_H``, ``k``, or a number."""
    if isinstance(node, ast.Name):
        return node.id in sizes
    return isinstance(node, ast.Constant) and type(node.value) is int


@mutation("dropped or shifted mask")
def changed_other(source: Source) -> Iterator[Candidate]:
    """What a masked-off lane of a load holds changes."""
    for function in source.device_functions:
        for call in walk(function, ast.Call):
            if called(call) != "tl.load":
                continue
            for item in call.keywords:
                if item.arg == "other" and isinstance(item.value, ast.Constant):
                    other = "1.0" if item.value.value != 1.0 else "0.0"
                    edits = (source.replace(item.value, other),)
                    yield Candidate(function.name, call.lineno, edits)
