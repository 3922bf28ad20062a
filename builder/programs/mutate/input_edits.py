"""Edits of what a program is given: layouts and types of its inputs."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import torch

from builder.programs.mutate.edits import Edit, kind
from builder.programs.mutate.sites import INPUT_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.programs.mutate.sites import Graph

_ATOMS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)


@kind(0.7)
def change_layout(graph: Graph) -> Iterator[Edit]:
    """An input's last two dimensions change places in memory, or its channels come last."""
    for place, value in enumerate(_inputs(graph)):
        if not isinstance(value, torch.Tensor) or not value.is_contiguous():
            continue
        if value.dim() == 4:
            text = "{x}.contiguous(memory_format=torch.channels_last)"
            yield from _on_input(graph, place, text, "is channels-last")
        if value.dim() > 1:
            text = "{x}.transpose(-1, -2).contiguous().transpose(-1, -2)"
            yield from _on_input(graph, place, text, "is transposed in memory")


@kind(1.0)
def change_input_type(graph: Graph) -> Iterator[Edit]:
    """The whole program computes in a shorter type."""
    given = _inputs(graph)
    wide = [
        place
        for place, value in enumerate(given)
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32
    ]
    if not wide or "dtype" in graph.text or "bfloat16" in graph.text or "half()" in graph.text:
        return
    for low in ("torch.bfloat16", "torch.float16"):
        changes = [
            change
            for place in wide
            for edit in _on_input(graph, place, f"{{x}}.to({low})", "")
            for change in edit.changes
        ]
        changes += _cast_module(graph, low)
        if changes:
            yield Edit(f"inputs and parameters become {low}", tuple(changes))


def _inputs(graph: Graph) -> list[object]:
    return graph.loaded.make_inputs(0, graph.variant)


def _cast_module(graph: Graph, dtype: str) -> list[tuple[int, int, str]]:
    """``self.to(dtype)`` at the end of the constructor, before it chooses a mode."""
    for node in graph.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == graph.loaded.entry_point:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    last = item.body[-1]
                    if graph.source(last).startswith("self.eval("):
                        first = graph.span(last)[0]
                        return [(first, first, f"self.to({dtype})\n{' ' * last.col_offset}")]
                    end = graph.span(last)[1]
                    return [(end, end, f"\n{' ' * last.col_offset}self.to({dtype})")]
    return []


def _on_input(graph: Graph, place: int, text: str, note: str) -> Iterator[Edit]:
    """The edit of one input wherever the program lists them."""
    count = len(_inputs(graph))
    changes = []
    for listed in _lists(graph.tree):
        if len(listed.elts) == count:
            item = listed.elts[place]
            source = graph.source(item)
            x = source if isinstance(item, _ATOMS) else f"({source})"
            changes.append((*graph.span(item), text.format(x=x)))
    if changes:
        yield Edit(f"input {place} {note}", tuple(changes))


def _lists(tree: ast.Module) -> Iterator[ast.List]:
    """The lists that functions of the file, methods left out, and lambdas in these return."""
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or function.name == INPUT_FUNCTIONS[2]:
            continue
        for node in ast.walk(function):
            value = node.value if isinstance(node, ast.Return) else None
            value = node.body if isinstance(node, ast.Lambda) else value
            if isinstance(value, ast.List):
                yield value
