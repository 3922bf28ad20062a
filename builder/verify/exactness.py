"""Whether a module is less exact than PyTorch, over all of its input sets.

On one input set eager's error is one sample of what rounding does: it may be small by luck, which
floors allow for, and eager is sampled again before a nearly right output is called wrong
(``floats``).  Over many input sets there is no luck.

A right module hardly ever needs those samples where rounding is not amplified (such input sets do
not count): of 482 verified pairs four did, on one input set each.  And the root mean square of its
errors is about eager's or less: of 485 values of these pairs none had more than 1.6 times eager's
on a second input set, nor more than 1.44 on a fourth.  (Where rounding is amplified, the largest
tenth of the errors is left out where that lowers the ratio: they hang on a few cancellations.  So
counted, of 648 judgements none had more than 1.74 times eager's on a second input set.)  A sum that
is kept in bfloat16 needs the samples on most.  What is rounded to bfloat16 on its way to float32
has ten or thirty times eager's, though no error may be above the floor of a program that computes
in bfloat16 elsewhere.

Of few elements eager's errors may be small by luck on many input sets.  There the ratio is to no
less than what rounding to the output's type takes, and its median counts: of 42 values of 263
verified pairs it was at most 1.1, and 4 for an accumulator in bfloat16.

Input sets of one sign for the sake of what adds up (``draws.APART``) do not count: a sum of them
that is added up one by one is off by more than one that is added up by halves, every time.

What is less exact on enough input sets is asked all of them again, with other numbers, and again
(``trial``), and is wrong if it is less exact on twice as many of twice as many, and on three times
as many of all three.  What was wrong on an input set that was asked again counts each time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING

from builder.errors import VerificationRejected
from builder.verify.ratios import LEAST

if TYPE_CHECKING:
    from builder.verify.expected import Outcome

BY_LUCK = 1
"""Input sets on which a value may be beyond eager's first run."""
MOST_RATIOS = ((BY_LUCK, 2.0), (3, LEAST))
"""Numbers of input sets, and what the ratio exceeds on no more of them."""
FEWEST, MOST_ROUGHLY = 3, 2.0
"""Input sets of which the median ratio says something of few elements, and the most it may be."""


class Exactness:
    """Collects, for each value, how it stands to eager's first run on each input set.

    Attributes:
        times: how often each input set was asked.
        ratios: of each value's root mean square of errors to eager's, an input set each.
        rough_ratios: likewise, where elements are few.
    """

    def __init__(self) -> None:
        self.times = 1
        self._sets: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()
        self.ratios: defaultdict[str, list[float]] = defaultdict(list)
        self.rough_ratios: defaultdict[str, list[float]] = defaultdict(list)

    def note(self, name: str, outcome: Outcome) -> None:
        """Enters how a value compares on an input set, as far as that is telling."""
        if outcome.is_beyond is not None:
            self._sets[name] += 1
            # One element may be beyond where all in all the module is nearer than eager.
            is_nearer = outcome.ratio is not None and outcome.ratio < 1.0
            self._beyond[name] += outcome.is_beyond and not is_nearer
        if outcome.ratio is not None:
            self.ratios[name].append(outcome.ratio)
        if outcome.rough_ratio is not None:
            self.rough_ratios[name].append(outcome.rough_ratio)

    def check(self) -> None:
        """Refuses a module that is less exact on many.

        Raises:
            VerificationRejected: ``wrong_values``.
        """
        for name, count in sorted(self._beyond.items()):
            if count >= (BY_LUCK + 1) * self.times:
                raise VerificationRejected(
                    "wrong_values",
                    f"{name}: on {count} of {self._sets[name]} input sets it is more than twice "
                    "as far off as eager, unless eager is taken at its worst; compute it in a "
                    "wider type",
                )
        for name, ratios in sorted(self.ratios.items()):
            for most, least in MOST_RATIOS:
                above = sum(ratio > least for ratio in ratios)
                if above >= (most + 1) * self.times:
                    raise VerificationRejected(
                        "wrong_values",
                        f"{name}: on {above} of {len(ratios)} input sets the root mean square of "
                        f"its errors is more than {least:g} times eager's; compute it in a wider "
                        "type",
                    )
        for name, ratios in sorted(self.rough_ratios.items()):
            typical = median(ratios)
            if len(ratios) >= FEWEST * self.times and typical > MOST_ROUGHLY:
                raise VerificationRejected(
                    "wrong_values",
                    f"{name}: on half of {len(ratios)} input sets its errors are more than "
                    f"{typical:.2g} times eager's; compute it in a wider type",
                )
