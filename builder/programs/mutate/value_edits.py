"""Edits of values: something is done to one, left out, added, hidden, or kept in another type."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import torch

from builder.programs.mutate.edits import Edit, functional, grouped, kind, operand, replaced
from builder.programs.mutate.sites import Fact, bound_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.programs.mutate.sites import Graph, Site

_INSERTED = (
    "torch.tanh({x})", "torch.sigmoid({x})", "{f}.silu({x})", "{f}.gelu({x})", "{f}.relu({x})",
    "{f}.softplus({x})", "{f}.leaky_relu({x}, 0.1)", "{x}.clamp(-3.0, 3.0)", "torch.sin({x})",
    "{x}.abs()", "{x}.square()", "torch.exp(-{x}.abs())", "torch.log1p({x}.abs())",
    "torch.erf({x})", "torch.atan({x})", "{f}.hardswish({x})", "{f}.normalize({x}, dim=-1)",
)  # fmt: skip
_PRODUCTS = ("0.5 * {x}", "1.5 * {x}", "{x} + 0.25", "1.0 - {x}")
_INSERTED_ROWS = (
    "torch.softmax({x}, dim=-1)", "torch.cumsum({x}, dim=-1)", "torch.flip({x}, dims=(-1,))",
    "torch.roll({x}, 1, dims=-1)", "{f}.layer_norm({x}, {x}.shape[-1:])",
)  # fmt: skip
_MASKS = (
    ("{x}.masked_fill({y} < 0, 0.0)", "is zero where {y} is negative"),
    ("torch.where({y} > 0, {x}, 0.1 * {x})", "leaks where {y} is not positive"),
)
_LOW = {
    torch.float32: "torch.bfloat16",
    torch.float16: "torch.float32",
    torch.bfloat16: "torch.float32",
}
_MOTIFS = {
    "RMS norm": ("{x} = {x} * torch.rsqrt({x}.square().mean(-1, keepdim=True) + 1e-6)",),
    "centring": ("{x} = {x} - {x}.mean(-1, keepdim=True)",),
    "standardisation": (
        "centred = {x} - {x}.mean(-1, keepdim=True)",
        "{x} = centred / ({x}.std(-1, keepdim=True) + 1e-5)",
    ),
    "a gate": ("{x} = {x} * torch.sigmoid({x})",),
    "a soft cap": ("{x} = 4.0 * torch.tanh({x} / 4.0)",),
    "scaling by the largest": (
        "{x} = {x} / {x}.abs().amax(-1, keepdim=True).clamp(min=1e-4)",
    ),
    "fake quantisation": (
        "step = {x}.abs().amax(-1, keepdim=True).clamp(min=1e-4) / 127",
        "{x} = torch.round({x} / step) * step",
    ),
    "a shift by one": ("{x} = 0.5 * ({x} + torch.roll({x}, 1, dims=-2))",),
    "an attention-like reweighting": (
        "weights = torch.softmax({x}, dim=-1)",
        "{x} = {x} * (1.0 + weights)",
    ),
    "squashing": ("{x} = {x} / (1.0 + {x}.abs())",),
    "local smoothing": (
        "{x} = 0.5 * {x} + 0.25 * (torch.roll({x}, 1, dims=-1) + torch.roll({x}, -1, dims=-1))",
    ),
}  # fmt: skip


@kind(3.0)
def insert_operator(graph: Graph) -> Iterator[Edit]:
    """One operator more between a value and what reads it."""
    for site in _floats(graph):
        texts = (*_INSERTED, *_PRODUCTS, *(_INSERTED_ROWS if site.fact.shape else ()))
        for text in texts:
            if text.count("{x}") == 1 or isinstance(site.node, ast.Name):
                new = text.format(x=operand(graph, site), f=functional(graph))
                name = text.format(x="x", f="F")
                yield replaced(graph, site.node, grouped(graph, site, new), f"inserts {name}")


@kind(2.0)
def delete_operator(graph: Graph) -> Iterator[Edit]:
    """An operator that changes neither shape nor type is left out."""
    facts = {id(site.node): site.fact for site in graph.sites}
    for site in _floats(graph):
        for part in _operands(site.node):
            if facts.get(id(part)) == site.fact:
                name = (
                    ast.unparse(site.node.func) if isinstance(site.node, ast.Call) else "operator"
                )
                new = graph.source(part)
                atom = (
                    new
                    if isinstance(part, (ast.Name, ast.Attribute))
                    else grouped(graph, site, new)
                )
                yield replaced(graph, site.node, atom, f"leaves {name.split('.')[-1]} out")


@kind(2.0)
def add_residual(graph: Graph) -> Iterator[Edit]:
    """Another value of its shape is added to a value."""
    for site in _floats(graph):
        for other in _alike(graph, site):
            new = grouped(graph, site, f"{operand(graph, site)} + {other}")
            yield replaced(graph, site.node, new, f"adds {other}")


@kind(1.5)
def add_mask(graph: Graph) -> Iterator[Edit]:
    """Part of a value is hidden, as another value says or above the diagonal."""
    for site in _floats(graph):
        for other in _alike(graph, site):
            for text, note in _MASKS:
                if text.count("{x}") == 1 or isinstance(site.node, ast.Name):
                    new = text.format(x=operand(graph, site), y=other)
                    yield replaced(graph, site.node, new, note.format(y=other))
        if len(site.fact.shape) > 1 and site.fact.shape[-1] == site.fact.shape[-2]:
            new = f"{operand(graph, site)}.tril()"
            yield replaced(graph, site.node, new, "hides what is above the diagonal")


@kind(1.0)
def change_type(graph: Graph) -> Iterator[Edit]:
    """A value passes through another floating type."""
    for site in _floats(graph):
        low = _LOW.get(site.fact.dtype)
        if low is not None and not isinstance(site.node, ast.Name):
            back = str(site.fact.dtype)
            new = f"{operand(graph, site)}.to({low}).to({back})"
            yield replaced(graph, site.node, new, f"passes through {low}")


@kind(2.5)
def splice_motif(graph: Graph) -> Iterator[Edit]:
    """A motif is put behind an assignment."""
    for site in _floats(graph):
        name = bound_name(site)
        if name is None or not site.fact.shape:
            continue
        indent = " " * site.statement.col_offset
        _, end = graph.span(site.statement)
        taken = set(graph.visible(site)) | {name}
        for title, lines in _MOTIFS.items():
            texts = [line.format(x=name) for line in lines]
            if any(text.split(" = ")[0] in taken - {name} for text in texts):
                continue
            added = "".join(f"\n{indent}{text}" for text in texts)
            yield Edit(f"splices {title} after {name}", ((end, end, added),))


def _floats(graph: Graph) -> Iterator[Site]:
    """The floating-point values that are no plain parts of something else."""
    for site in graph.sites:
        is_chain = isinstance(site.parent, ast.Attribute)
        if site.fact.is_float and not is_chain and not isinstance(site.statement, ast.AugAssign):
            yield site


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Call):
        receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        return [*receiver, *node.args]
    return [node.operand] if isinstance(node, ast.UnaryOp) else []


def _alike(graph: Graph, site: Site) -> list[str]:
    """Variables of the shape and type of a value that it does not name."""
    named = {node.id for node in ast.walk(site.node) if isinstance(node, ast.Name)}
    wanted: Fact = site.fact
    if not any(size > 1 for size in wanted.shape):
        return []
    return [
        name for name, fact in graph.visible(site).items() if fact == wanted and name not in named
    ]
