"""Whether a module is less exact than PyTorch, over all of its input sets.

On one input set eager's error is one sample of what rounding does, and is sampled again before a
nearly right output is called wrong (``floats``).  A right module hardly ever needs that: of 200
verified pairs one did, on one of its eleven input sets.  A sum that is kept in bfloat16 needs it on
most.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from builder.errors import VerificationRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

FEW = 2
"""Input sets on which a value may be beyond eager's first run, whatever their number."""
SHARE = 1.0 / 3.0


class Exactness:
    """Counts, for each value, the input sets on which it is beyond eager's first run."""

    def __init__(self) -> None:
        self._sets: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()

    def note(self, beyond: Mapping[str, bool]) -> None:
        """Enters an input set.

        Args:
            beyond: for each value that is telling there, whether it is.
        """
        self._sets.update(beyond.keys())
        self._beyond.update(name for name, is_beyond in beyond.items() if is_beyond)

    def check(self) -> None:
        """Refuses a module that is beyond on many.

        Raises:
            VerificationRejected: ``wrong_values``.
        """
        for name, count in sorted(self._beyond.items()):
            if count > max(FEW, SHARE * self._sets[name]):
                raise VerificationRejected(
                    "wrong_values",
                    f"{name}: on {count} of {self._sets[name]} input sets it is more than twice "
                    "as far off as eager, unless eager is taken at its worst; compute it in a "
                    "wider type",
                )
