"""Tensors that no kernel should read from memory: small ones of Python data, and empty ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.fx
from torch._subclasses import FakeTensor
from torch.utils._mode_utils import no_dispatch

if TYPE_CHECKING:
    from collections.abc import Sequence

aten = torch.ops.aten

MOST_ELEMENTS = 32


def inline_constants(gm: torch.fx.GraphModule) -> None:
    """Replaces each small tensor that a graph holds by selections from its elements.

    A kernel then has the elements as literals, chosen by a binary search of the index.  Inductor
    itself does so for vectors of up to 8 elements (``can_inline_constant`` in
    ``torch/_inductor/graph.py``), on the device that the tensor lies on.
    """
    for node in list(gm.graph.nodes):
        value = getattr(gm, str(node.target), None) if node.op == "get_attr" else None
        if _is_known(value) and 1 < value.numel() <= MOST_ELEMENTS:
            with gm.graph.inserting_before(node):
                node.replace_all_uses_with(_written(gm.graph, value))
            gm.graph.erase_node(node)
    gm.recompile()


def fill_empty(gm: torch.fx.GraphModule) -> None:
    """Replaces uninitialised tensors by zeros.

    What a graph still has of them it writes in parts.  A kernel for one part would read the rest,
    memory that nothing wrote, where zeros are literals.
    """
    for node in list(gm.graph.nodes):
        kept = {key: node.kwargs[key] for key in ("dtype", "device") if key in node.kwargs}
        if node.target == aten.empty.memory_format and "memory_format" not in node.kwargs:
            with gm.graph.inserting_before(node):
                zeros = gm.graph.call_function(aten.full.default, (node.args[0], 0), kept)
            node.replace_all_uses_with(zeros)
            gm.graph.erase_node(node)
    gm.recompile()


def _is_known(value: Any) -> TypeGuard[torch.Tensor]:
    return isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)


def held_constants(gm: torch.fx.GraphModule) -> list[str]:
    """Names of tensors with more than one element that a graph holds, sorted."""
    names = {str(node.target) for node in gm.graph.nodes if node.op == "get_attr"}
    values = {name: getattr(gm, name, None) for name in names}
    return sorted(
        name
        for name, value in values.items()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )


def _written(graph: torch.fx.Graph, value: torch.Tensor) -> torch.fx.Node:
    with no_dispatch():  # a backend runs under a mode that takes fake tensors only
        elements = value.detach().flatten().tolist()
    device: dict[str, Any] = {"device": value.device}
    counted: dict[str, Any] = device | {
        "start": 0,
        "step": 1,
        "dtype": torch.int64,
        "requires_grad": False,
    }
    place = graph.call_function(torch.ops.prims.iota.default, (len(elements),), counted)
    options = device | {"dtype": value.dtype}
    chosen = _chosen(graph, place, elements, 0, options)
    return graph.call_function(aten.view.default, (chosen, list(value.shape)))


def _chosen(
    graph: torch.fx.Graph,
    place: torch.fx.Node,
    elements: Sequence[Any],
    first: int,
    options: dict[str, Any],
) -> torch.fx.Node:
    """The element at each place, the first of them standing at ``first``."""
    if len({repr(element) for element in elements}) == 1:  # zeros have signs
        return graph.call_function(aten.full.default, ([], elements[0]), options)
    half = len(elements) // 2
    is_left = graph.call_function(aten.lt.Scalar, (place, first + half))
    left = _chosen(graph, place, elements[:half], first, options)
    right = _chosen(graph, place, elements[half:], first + half, options)
    return graph.call_function(aten.where.self, (is_left, left, right))
