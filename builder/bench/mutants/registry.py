"""The table of mutation operators: each module of operators fills in its part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builder.bench.mutants.source import Candidate, Source

Candidates = Callable[[Source], Iterator[Candidate]]
"""All faults of one kind that a file has room for."""


@dataclass(frozen=True)
class MutationOperator:
    """A kind of fault.

    Attributes:
        name: snake_case.
        category: the kind of mistake it stands for; operators of one category are counted apart.
        candidates: finds the places.
    """

    name: str
    category: str
    candidates: Candidates


OPERATORS: dict[str, MutationOperator] = {}


def mutation(category: str) -> Callable[[Candidates], Candidates]:
    """Registers the function as the mutation operator of its name."""

    def register(function: Candidates) -> Candidates:
        name = function.__name__
        OPERATORS[name] = MutationOperator(name, category, function)
        return function

    return register
