"""Stale block sizes: a block constant and the grid, or the steps of a loop, that do not match."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from builder.bench.mutants.registry import mutation
from builder.bench.mutants.source import Candidate, Source, called, launches, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = re.compile(r"[XYZ]BLOCK|BLOCK_[MNQ]\w*|BLOCK|BLOCK_(SIZE|ROWS|PLANES|SLABS)")
_LOOP_BLOCK = re.compile(r"[XYZ]BLOCK|R\d?_?BLOCK|R\d_BLOCK|BLOCK\w*")


@mutation("stale block size")
def stale_launch_block(source: Source) -> Iterator[Candidate]:
    """A kernel gets half or twice the block that its grid was computed with."""
    for launcher in source.launchers:
        for call in launches(launcher):
            for item in call.keywords:
                if item.arg is None or not _BLOCK.fullmatch(item.arg):
                    continue
                name = source.segment(item.value)
                for text in (f"max({name} // 2, 1)", f"{name} * 2"):
                    edits = (source.replace(item.value, text),)
                    yield Candidate(launcher.name, item.value.lineno, edits)


@mutation("stale block size")
def stale_grid(source: Source) -> Iterator[Candidate]:
    """A grid was computed with another block size, or rounds down."""
    for launcher in source.launchers:
        for node in walk(launcher, ast.Assign):
            if source.segment(node.targets[0]) != "grid":
                continue
            for call in walk(node.value, ast.Call):
                if called(call) == "triton.cdiv":
                    total, block = map(source.segment, call.args)
                    for text in (f"triton.cdiv({total}, 2 * {block})", f"({total}) // ({block})"):
                        edits = (source.replace(call, f"max({text}, 1)"),)
                        yield Candidate(launcher.name, call.lineno, edits)
            for size_node in getattr(node.value, "elts", ()):
                size = getattr(size_node, "value", None)
                if isinstance(size, int) and size > 1:
                    for other in (size - 1, -(-size // 2)):
                        edits = (source.replace(size_node, str(other)),)
                        yield Candidate(launcher.name, size_node.lineno, edits)


@mutation("stale block size")
def stale_grid_argument(source: Source) -> Iterator[Candidate]:
    """A launcher is given a grid that is too small."""
    for function in source.host_functions:
        for call in source.launcher_calls(function):
            for item in call.args:
                if isinstance(item, ast.Constant) and type(item.value) is int and item.value > 1:
                    for other in (item.value - 1, -(-item.value // 2)):
                        edits = (source.replace(item, str(other)),)
                        yield Candidate(function.name, item.lineno, edits)


@mutation("stale block size")
def stale_block_constant(source: Source) -> Iterator[Candidate]:
    """A block constant inside a kernel is half or twice what the grid was computed with."""
    for kernel in source.kernels:
        for node in walk(kernel, ast.AnnAssign):
            value = node.value
            if not isinstance(value, ast.Constant) or type(value.value) is not int:
                continue
            if not _BLOCK.fullmatch(source.segment(node.target)):
                continue
            for other in (value.value // 2, value.value * 2):
                if other:
                    edits = (source.replace(value, str(other)),)
                    yield Candidate(kernel.name, node.lineno, edits)


@mutation("stale block size")
def stale_offset(source: Source) -> Iterator[Candidate]:
    """The offset of a program instance, or of a loop's step, uses another block size."""
    for kernel in source.kernels:
        for node in walk(kernel, ast.BinOp):
            if not isinstance(node.op, ast.Mult) or not isinstance(node.right, ast.Name):
                continue
            if _LOOP_BLOCK.fullmatch(node.right.id):
                for text in (f"({node.right.id} // 2)", f"({node.right.id} * 2)"):
                    edits = (source.replace(node.right, text),)
                    yield Candidate(kernel.name, node.lineno, edits)


@mutation("stale block size")
def stale_step(source: Source) -> Iterator[Candidate]:
    """A loop's step is half or twice its block."""
    for kernel in source.kernels:
        for loop in walk(kernel, ast.For):
            call = loop.iter
            if not isinstance(call, ast.Call) or len(call.args) != 3:
                continue
            step = source.segment(call.args[2])
            for text in (f"({step}) // 2", f"({step}) * 2"):
                edits = (source.replace(call.args[2], text),)
                yield Candidate(kernel.name, loop.lineno, edits)
