"""Where Inductor's buffers and kernels come from, in the program's own words.

Dynamo calls a graph's nodes after the program's variables, and notes the line that made each; what
they are lowered to remembers both (``from_node`` and ``stack_trace`` of a node's ``meta``).
Written against torch 2.11 to 2.13, held by ``tests/capture/test_origins.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch.fx
    from torch._inductor.graph import GraphLowering

_KERNEL = re.compile(
    r"^# Topologically Sorted Source Nodes: \[(?P<nodes>[^\]]*)\], "
    r"Original ATen: \[(?P<operations>[^\]]*)\]\n(?:#.*\n)*(?P<name>\w+) = async_compile\.triton\(",
    re.MULTILINE,
)
_FRAME = re.compile(r'^\s*File "[^"]*", line (?P<number>\d+), in ')


@dataclass(frozen=True)
class KernelOrigin:
    """Of a kernel.

    Attributes:
        nodes: the program's variables and operations in it, in their order.
        operations: names of ATen operations, without overloads, in their order.
    """

    nodes: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origins:
    """Of what a graph was lowered to.

    Attributes:
        buffers: the node of the traced program behind each buffer, where there is one.
        lines: the line of the program behind each node, in the order of the program's text.
        kernels: of each kernel, by Inductor's name.
    """

    buffers: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    kernels: Mapping[str, KernelOrigin] = field(default_factory=dict)


def origins_of(graph: GraphLowering, source: str) -> Origins:
    """Reads them off a lowered graph and Inductor's text for it."""
    buffers = {
        name: traced
        for name, buffer in graph.name_to_buffer.items()
        if (traced := _traced_name(_origin_node(buffer))) is not None
    }
    lines: dict[str, tuple[int, str]] = {}
    nodes: Iterable[torch.fx.Node] = graph.module.graph.nodes  # type: ignore[union-attr,assignment]
    for node in nodes:
        name, line = _traced_name(node), _line(node)
        if name is not None and line is not None:
            lines.setdefault(name, line)
    ordered = sorted(lines.items(), key=lambda item: item[1][0])
    return Origins(buffers, {name: line for name, (_, line) in ordered}, kernel_origins(source))


def kernel_origins(source: str) -> dict[str, KernelOrigin]:
    """What the comments above the kernels of an Inductor module say."""
    return {
        match["name"]: KernelOrigin(
            _listed(match["nodes"]),
            tuple(dict.fromkeys(item.split(".")[-1] for item in _listed(match["operations"]))),
        )
        for match in _KERNEL.finditer(source)
    }


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _origin_node(buffer: Any) -> torch.fx.Node | None:
    find = getattr(buffer, "get_origin_node", None)
    return find() if find is not None else None


def _traced_name(node: torch.fx.Node | None) -> str | None:
    """What Dynamo called the node that this one stems from."""
    behind = node.meta.get("from_node") if node is not None else None
    return behind[0].name if behind else None


def _line(node: torch.fx.Node) -> tuple[int, str] | None:
    """Number and text of the innermost line of the program, if it is a whole statement."""
    lines = (node.meta.get("stack_trace") or "").splitlines()
    frames = [(index, found) for index, line in enumerate(lines) if (found := _FRAME.match(line))]
    if not frames or frames[-1][0] + 1 >= len(lines):
        return None
    index, frame = frames[-1]
    text: str = lines[index + 1].strip()
    try:
        compile(text.replace("return ", "", 1), "line", "exec")
    except SyntaxError:
        return None
    return int(frame["number"]), text
