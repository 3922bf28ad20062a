"""Whether a module is less exact than PyTorch, over all of its input sets.

On one input set eager's error is one sample of what rounding does: it may be small by luck, which
floors allow for, and eager is sampled again before a nearly right output is called wrong
(``floats``).  Over many input sets there is no luck.

A right module hardly ever needs those samples: of 200 verified pairs one did, on one of its eleven
input sets.  A sum that is kept in bfloat16 needs them on most.

And the root mean square of a right module's errors is about eager's or less: of 224 values of
verified pairs none had more than 1.5 times eager's on half of its input sets.  What is rounded to
bfloat16 on its way to float32 has ten or thirty times that, though no error may be above the floor
of a program that computes in bfloat16 elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING

from builder.errors import VerificationRejected
from builder.verify.expected import EAGER_FACTOR

if TYPE_CHECKING:
    from collections.abc import Mapping

FEW = 2
"""Input sets on which a value may be beyond eager's first run, whatever their number."""
SHARE = 1.0 / 3.0
LEAST = 3
"""Input sets whose median says something."""


class Exactness:
    """Collects, for each value, how it stands to eager's first run on each input set."""

    def __init__(self) -> None:
        self._sets: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()
        self._ratios: defaultdict[str, list[float]] = defaultdict(list)

    def note(self, beyond: Mapping[str, bool], ratios: Mapping[str, float]) -> None:
        """Enters an input set.

        Args:
            beyond: for each value that is telling there, whether an element is beyond eager's.
            ratios: of each such value's root mean square of errors to eager's.
        """
        self._sets.update(beyond.keys())
        # One element may be beyond where all in all the module is nearer than eager.
        self._beyond.update(
            name for name, is_beyond in beyond.items() if is_beyond and ratios.get(name, 1.0) >= 1.0
        )
        for name, ratio in ratios.items():
            self._ratios[name].append(ratio)

    def check(self) -> None:
        """Refuses a module that is less exact on many.

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
        for name, ratios in sorted(self._ratios.items()):
            typical = median(ratios)
            if len(ratios) >= LEAST and typical > EAGER_FACTOR:
                raise VerificationRejected(
                    "wrong_values",
                    f"{name}: the root mean square of its errors is {typical:.3g} times eager's on "
                    f"half of {len(ratios)} input sets; compute it in a wider type",
                )
