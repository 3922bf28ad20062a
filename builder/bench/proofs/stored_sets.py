"""Operands of maxima and the like that are stored, for those that are loaded again.

A reduction that several kernels share stores maxima of parts, and takes the maximum of these.  It
is the maximum of all elements, whatever part has which, and if some are in two.  So memory knows of
terms what they are the maxima of.  That is so of a term wherever it is, so that nothing here is to
be taken back if a store is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.sets import set_words
from builder.bench.proofs.terms import Parts, Term

if TYPE_CHECKING:
    from builder.bench.proofs.terms import Value, Words

_MOST_WORDS = 1 << 18
_MOST_LANES = 1 << 14
_MOST_KEPT = 1 << 23
"""Of words, so that memory does not run out; what is not kept loses a proof and makes none."""


class StoredSets:
    """The operands of terms that have been stored, by operation and type."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[int, Words]] = {}
        self._left = _MOST_KEPT

    def copy(self) -> StoredSets:
        copied = StoredSets()
        copied._rows = {name: dict(rows) for name, rows in self._rows.items()}
        copied._left = self._left
        return copied

    def keep(self, value: Value, element: str) -> None:
        """Remembers what a value of a type that is stored is made of.

        Only elements whose terms are those of such operands are told by them.
        """
        parts = value.parts if isinstance(value, Term) else None
        if parts is None or parts.words.size > min(_MOST_WORDS, self._left):
            return
        assert isinstance(value, Term)
        rows = self._rows.setdefault((parts.operation, element), {})
        words = set_words(parts.operation, element, parts.words)
        if len(rows) + words.size > _MOST_LANES or words.shape != value.hashes.shape:
            return
        is_set = (words == value.hashes) & (parts.words[..., 0] != parts.words[..., -1])
        rows.update(zip(words[is_set].tolist(), parts.words[is_set], strict=True))
        self._left -= parts.words.size

    def recalled(self, value: Value, element: str) -> Value:
        """A loaded value of a type, with the operands of its elements."""
        if not isinstance(value, Term) or value.hashes.size > _MOST_LANES:
            return value
        found = [
            _parts(operation, value.hashes, rows)
            for (operation, kind), rows in self._rows.items()
            if kind == element and rows
        ]
        known = [parts for parts in found if parts is not None]
        return replace(value, parts=known[0]) if len(known) == 1 else value


def _parts(operation: str, hashes: Words, rows: dict[int, Words]) -> Parts | None:
    """The operands of terms, if one at least has several."""
    terms = np.intersect1d(hashes, np.array(list(rows), dtype=np.uint64))
    count = max((rows[term].size for term in terms.tolist()), default=0)
    if not count or count * hashes.size > _MOST_WORDS:
        return None
    table = np.stack([_padded(rows[term], count) for term in terms.tolist()])
    places = np.minimum(np.searchsorted(terms, hashes), terms.size - 1)
    is_set = (terms[places] == hashes)[..., None]
    return Parts(operation, np.where(is_set, table[places], hashes[..., None]))


def _padded(row: Words, count: int) -> Words:
    return np.concatenate([row, np.repeat(row[-1:], count - row.size)])
