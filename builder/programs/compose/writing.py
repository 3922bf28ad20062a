"""From a graph to lines of code: which values get names, which, and what stands in one line."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from builder.programs.operators.registry import OPERANDS
from builder.programs.spelling import with_close_powers

if TYPE_CHECKING:
    from random import Random

    from builder.programs.compose.composer import Node
    from builder.programs.compose.values import Value
    from builder.programs.draft import Draft

_LONGEST = 56
_LINE = 80
_NAMES: dict[str, tuple[str, ...]] = {
    "activation": ("h", "hidden", "activated", "y", "act"),
    "unary": ("h", "y", "u", "v", "curve"),
    "rounding": ("q", "rounded", "steps", "bins"),
    "binary": ("h", "mixed", "y", "joint", "blend", "merged"),
    "ternary": ("modulated", "blended", "adjusted", "combined"),
    "join": ("joined", "balanced", "total", "mixed"),
    "compare": ("keep", "above", "chosen", "is_large", "flags"),
    "logic": ("both", "either", "active", "kept"),
    "select": ("masked", "visible", "selected", "filtered"),
    "cast": ("y", "wide", "x32", "full"),
    "reduction": ("total", "pooled", "stat", "score", "summary", "level"),
    "scan": ("running", "cumulative", "prefix", "state"),
    "normalise": ("normed", "weights", "probs", "scaled", "attn"),
    "sort": ("ordered", "best", "ranked", "top"),
    "layout": ("shifted", "view", "part", "folded", "arranged", "piece"),
    "index": ("picked", "gathered", "looked_up", "routed"),
    "product": ("scores", "projected", "out", "similarity", "features"),
    "convolution": ("features", "filtered_map", "conv_out", "maps"),
    "pooling": ("pooled", "grid", "patches", "local", "coarse"),
    "token": ("shifted_tokens", "context", "attended", "past"),
}
_REBINDS = 0.5
_INLINES = 0.45


class Writer:
    """Writes the nodes of a graph into a draft.

    Args:
        rng: chooses names, and what stands in one line.
        draft: gets the lines.
        nodes: in the order in which they were built.
        outputs: what the program returns, at least one.
    """

    def __init__(self, rng: Random, draft: Draft, nodes: list[Node], outputs: list[Value]) -> None:
        self.rng, self.draft, self.nodes, self.outputs = rng, draft, nodes, outputs
        self.readers = Counter(id(operand) for node in nodes for operand in node.operands)
        for output in outputs:
            self.readers[id(output)] += 1
        self.texts: dict[int, str] = {}
        self.last_reader = {
            id(operand): place for place, node in enumerate(nodes) for operand in node.operands
        }

    def write(self) -> None:
        """Appends the lines of ``forward``."""
        kept = {id(output) for output in self.outputs}
        for place, node in enumerate(self.nodes):
            text = self._expression(node)
            follows = place + 1 < len(self.nodes) and node.value in self.nodes[place + 1].operands
            once = self.readers[id(node.value)] == 1 and id(node.value) not in kept
            if once and follows and self._is_short(text, place) and self._may_stand_in(node, place):
                self.texts[id(node.value)] = text
                continue
            name = self._name(node, place, kept)
            self.draft.forward(f"{name} = {text}")
            self.texts[id(node.value)] = name
        self._return()

    def _is_short(self, text: str, place: int) -> bool:
        """Whether a text, and the next line with it, are short."""
        return len(text) < _LONGEST and len(text) + len(self.nodes[place + 1].text) < _LINE

    def _may_stand_in(self, node: Node, place: int) -> bool:
        """Whether the next line names this value once, and by chance."""
        following = self.nodes[place + 1]
        fields = [
            name
            for name, operand in zip(OPERANDS, following.operands, strict=False)
            if operand is node.value
        ]
        uses = sum(following.text.count(f"{{{name}}}") for name in fields)
        return uses == 1 and self.rng.random() < _INLINES

    def _expression(self, node: Node) -> str:
        spelled = {}
        for name, operand in zip(OPERANDS, node.operands, strict=False):
            text = self.texts.get(id(operand)) or operand.name
            alone = f"({{{name}}})" in node.text or f"({{{name}}}," in node.text
            spelled[name] = text if alone or _is_atom(text) else f"({text})"
        return with_close_powers(node.text.format(**spelled))

    def _name(self, node: Node, place: int, kept: set[int]) -> str:
        first = node.operands[0]
        dies = self.last_reader.get(id(first)) == place and id(first) not in kept
        current = self.texts.get(id(first)) or first.name
        if dies and _is_local(current) and self.rng.random() < _REBINDS:
            return current
        return self.draft.spell(_NAMES[node.operator.theme])

    def _return(self) -> None:
        names = [self.texts.get(id(output)) or output.name for output in self.outputs]
        if len(names) > 1:
            self.draft.returns = f"tuple[{', '.join(['torch.Tensor'] * len(names))}]"
        lines = self.draft.forward_lines
        only = names[0]
        if len(names) == 1 and lines and lines[-1].startswith(f"{only} = "):
            lines[-1] = f"return {lines[-1].removeprefix(f'{only} = ')}"
            return
        self.draft.forward(f"return {', '.join(names)}")


def _is_atom(text: str) -> bool:
    """Whether a method or an index may follow an expression as it stands."""
    node = ast.parse(text.replace("$", ""), mode="eval").body
    return isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))


def _is_local(text: str) -> bool:
    return text.isidentifier()
