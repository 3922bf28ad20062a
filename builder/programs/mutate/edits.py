"""Edits: what may be done to a graph, each kind in a function of its own.

A kind gives every edit that it sees.  It need not be sure that one works out: the mutator runs what
comes of it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.programs.tables import load_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.programs.mutate.sites import Graph, Site


@dataclass(frozen=True)
class Edit:
    """One edit.

    Attributes:
        note: what it does, for people: ``relu becomes gelu``.
        changes: first byte, byte past the last, and what comes there instead; none overlap.
    """

    note: str
    changes: tuple[tuple[int, int, str], ...]

    def applied(self, text: str) -> str:
        """The text after the edit."""
        data = text.encode()
        for first, end, new in sorted(self.changes, reverse=True):
            data = data[:first] + new.encode() + data[end:]
        return data.decode()


KINDS: dict[str, tuple[Callable[[Graph], Iterator[Edit]], float]] = {}


def kind(
    weight: float,
) -> Callable[[Callable[[Graph], Iterator[Edit]]], Callable[[Graph], Iterator[Edit]]]:
    """Registers a kind of edit, which is chosen as often as its weight says."""

    def register(
        function: Callable[[Graph], Iterator[Edit]],
    ) -> Callable[[Graph], Iterator[Edit]]:
        KINDS[function.__name__] = function, weight
        return function

    return register


def load_all() -> None:
    """Imports every table of edits of this package and sorts the kinds by name."""
    load_tables(KINDS, __name__.rpartition(".")[0], "_edits")


def replaced(graph: Graph, node: ast.expr, new: str, note: str) -> Edit:
    """The edit that writes something else for an expression."""
    first, end = graph.span(node)
    return Edit(note, ((first, end, new),))


def operand(graph: Graph, site: Site) -> str:
    """The text of an expression as a method's receiver or an operator's operand."""
    text = graph.source(site.node)
    atoms = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
    return text if isinstance(site.node, atoms) else f"({text})"


def grouped(graph: Graph, site: Site, text: str) -> str:
    """A sum, a product or the like where an expression stood."""
    parent = site.parent
    is_argument = isinstance(parent, ast.Call) and site.node in parent.args
    is_free = isinstance(parent, ast.stmt) or is_argument or graph.is_enclosed(site.node)
    return text if is_free else f"({text})"


def functional(graph: Graph) -> str:
    """What a program calls ``torch.nn.functional``."""
    names = graph.loaded.namespace
    return (
        "F" if getattr(names.get("F"), "__name__", "") == "torch.nn.functional" else "nn.functional"
    )
