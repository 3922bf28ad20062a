"""Which accesses of different program instances are ordered by atomics.

An instance that writes, then makes a releasing atomic at an address, has written before whatever
another does after an acquiring atomic at that address, if the other came later to it.  Only atomics
of a single element count: those of whole blocks add up results, they guard nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from builder.execute.ir import Module
    from builder.execute.memory import Array

Place = tuple[int, int]
"""An element that atomics meet at: buffer number and byte offset."""


class Order:
    """What atomics have ordered so far in one launch.  Time counts atomics."""

    def __init__(self) -> None:
        self.now = 1
        self._positions: dict[Place, int] = {}
        self._releases: dict[int, dict[Place, tuple[list[int], list[int]]]] = {}
        self._seen: dict[int, dict[Place, int]] = {}

    def meet(self, place: Place, instance: int, semantics: str) -> None:
        """Enter an instance's atomic; ``semantics`` is ``acq_rel``, ``acquire`` or ``release``."""
        self.now += 1
        position = self._positions.get(place, 0)
        if semantics in ("acquire", "acq_rel"):
            self._seen.setdefault(instance, {})[place] = position
        if semantics in ("release", "acq_rel"):
            self._positions[place] = position + 1
            times, positions = self._releases.setdefault(instance, {}).setdefault(place, ([], []))
            times.append(self.now)
            positions.append(position + 1)

    def before(self, first: int, time: int, second: int) -> bool:
        """Whether what an instance did at a time comes before what another does now."""
        seen = self._seen.get(second, {})
        for place, (times, positions) in self._releases.get(first, {}).items():
            number = bisect_left(times, time + 1)
            if number < len(times) and positions[number] <= seen.get(place, 0):
                return True
        return False

    def ordered(self, earlier: Array, times: Array, ids: Array) -> Array:
        """``before`` for shadow entries (instance + 1) against the ids of now."""
        known: dict[tuple[int, int, int], bool] = {}
        result = np.zeros(earlier.shape, dtype=bool)
        keys = zip(earlier.tolist(), times.tolist(), ids.tolist(), strict=True)
        for lane, key in enumerate(keys):
            if key[0] <= 0 or key[2] <= 0:
                continue
            if key not in known:
                known[key] = self.before(key[0] - 1, key[1], key[2] - 1)
            result[lane] = known[key]
        return result


def synchronises(module: Module) -> bool:
    """Whether the kernel has an atomic that orders anything."""
    for function in module.functions.values():
        for op in function.body.walk():
            if not op.name.startswith("tt.atomic") or function.type_of(op.operands[0]).shape:
                continue
            if semantics_of(op.name, op.attributes["words"]) != "relaxed":
                return True
    return False


def semantics_of(name: str, words: list[str]) -> str:
    """Memory semantics among the words of an atomic's text."""
    return words[1] if name == "tt.atomic_rmw" else words[0]
