"""Which mutants of which pairs: spread evenly over pairs and operators, from a seed alone."""

from __future__ import annotations

import ast
import difflib
import hashlib
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.bench.mutants import (  # noqa: F401  (they fill the table of operators)
    arguments,
    blocks,
    control,
    indices,
    masks,
    precision,
    results,
    values,
)
from builder.bench.mutants.registry import OPERATORS
from builder.bench.mutants.results import borrowed
from builder.bench.mutants.source import Candidate, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BORROWED = "borrowed_module"
BORROWED_CATEGORY = "result of another pair"


@dataclass(frozen=True)
class Mutant:
    """A planted fault.

    Attributes:
        operator: name of the mutation operator.
        category: its kind of mistake.
        function: where it is.
        line: of the original file.
        original_line: that line.
        mutated_line: what stands there instead; several lines are joined.
        text: the whole mutated file.
    """

    operator: str
    category: str
    function: str
    line: int
    original_line: str
    mutated_line: str
    text: str


class Chooser:
    """Draws mutants; operators used least so far come first, over all pairs.

    Args:
        seed: decides every draw.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._categories: Counter[str] = Counter()
        self._operators: Counter[str] = Counter()

    def draw(
        self, row: Mapping[str, Any], count: int, other: Mapping[str, Any] | None = None
    ) -> list[Mutant]:
        """Up to ``count`` different mutants of a pair.

        Args:
            row: the pair.
            count: mutants wanted; fewer where the text has too few places.
            other: another pair, whose module may stand in for this one's.
        """
        source = Source(row["triton_code"], row["entry_point"])
        rng = self._rng(row)
        places = _places(source, other)
        seen = {ast.dump(source.tree)}
        chosen: list[Mutant] = []
        while places and len(chosen) < count:
            name = self._next_operator(places, rng)
            candidate = places[name].pop(rng.randrange(len(places[name])))
            if not places[name]:
                del places[name]
            mutant = _mutant(source, name, candidate)
            tree = _parsed(mutant.text)
            if tree is None or tree in seen:
                continue
            seen.add(tree)
            chosen.append(mutant)
            self._categories[mutant.category] += 1
            self._operators[name] += 1
        return chosen

    def _rng(self, row: Mapping[str, Any]) -> random.Random:
        text = f"{self._seed}/{row['entry_point']}/{row['triton_code']}"
        return random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311

    def _next_operator(self, places: Mapping[str, Sequence[Candidate]], rng: random.Random) -> str:
        def used(name: str) -> tuple[int, int, float]:
            return (self._categories[category_of(name)], self._operators[name], rng.random())

        return min(sorted(places), key=used)


def category_of(operator: str) -> str:
    return BORROWED_CATEGORY if operator == BORROWED else OPERATORS[operator].category


def _places(source: Source, other: Mapping[str, Any] | None) -> dict[str, list[Candidate]]:
    found = {name: list(operator.candidates(source)) for name, operator in OPERATORS.items()}
    if other is not None:
        found[BORROWED] = [borrowed(source, other["triton_code"], other["entry_point"])]
    return {name: candidates for name, candidates in found.items() if candidates}


def _parsed(text: str) -> str | None:
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return None


def _mutant(source: Source, name: str, candidate: Candidate) -> Mutant:
    text = source.apply(candidate)
    if candidate.whole is not None:
        lines = ("", "the module of another pair")
    else:
        lines = _changed_lines(source.text, text)
    return Mutant(
        operator=name,
        category=category_of(name),
        function=candidate.function,
        line=candidate.line,
        original_line=lines[0],
        mutated_line=lines[1],
        text=text,
    )


def _changed_lines(original: str, mutated: str) -> tuple[str, str]:
    """The lines that differ, stripped, joined by a bar."""
    before, after = original.splitlines(), mutated.splitlines()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    removed: list[str] = []
    added: list[str] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            removed += before[i:j]
            added += after[k:m]
    return " | ".join(map(str.strip, removed)), " | ".join(map(str.strip, added))


def partner(rows: Sequence[Mapping[str, Any]], index: int) -> Mapping[str, Any] | None:
    """Another pair whose module could be taken for this one's: of its family if there is one."""
    own = rows[index]
    order = [*rows[index + 1 :], *rows[:index]]
    others = [row for row in order if row["triton_code"] != own["triton_code"]]
    same = [row for row in others if row.get("family") == own.get("family")]
    return next(iter(same or others), None)
