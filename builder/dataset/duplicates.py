"""Pairs that are alike: a data set holds so many of one structure and no more.

Alike are two pairs whose programs are the same graph of operators, names, numbers and sizes aside,
taken through the same variant of the compiler.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Alike:
    """Which rows of a stream are within the limit, whatever the order in which they come.

    Args:
        most: rows of one structure; None for any number.
        rows: those known, with their index.
    """

    def __init__(
        self, most: int | None, rows: Iterable[tuple[int, Mapping[str, Any]]] = ()
    ) -> None:
        self.most = most
        self._buckets: dict[int, str] = {}
        self._counts: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        for index, row in rows:
            self.add(index, row)

    def add(self, index: int, row: Mapping[str, Any]) -> None:
        """Counts a row."""
        structure = row.get("structure")
        if structure:
            bucket = f"{structure} {row.get('variant')}"
            self._buckets[index] = bucket
            self._counts[bucket] += 1

    @property
    def excess(self) -> int:
        """How many of the rows are beyond the limit."""
        if self.most is None:
            return 0
        return sum(max(0, count - self.most) for count in self._counts.values())

    def admits(self, index: int) -> bool:
        """Whether a row is within the limit; to be asked once of each row, in their order."""
        bucket = self._buckets.get(index)
        if bucket is None or self.most is None:
            return True
        self._seen[bucket] += 1
        return self._seen[bucket] <= self.most

    def beyond(self, indices: Iterable[int]) -> set[int]:
        """Those of all rows before which there are too many alike.

        Args:
            indices: of the rows, ascending.
        """
        judge = Alike(self.most)
        judge._buckets = self._buckets
        return {index for index in indices if not judge.admits(index)}
