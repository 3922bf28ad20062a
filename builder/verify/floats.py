"""Is a float output right?

It passes if ``error(triton, r) <= max(2 * error(eager, r), floor)`` in the norm of ``norm``, and if
the same holds for the 0.99, 0.9 and 0.5 quantiles of the elements' errors where there are elements
enough (the median's floor is lower, see ``floors``): one element on which eager is far off excuses
no other.  Infinities and NaN must stand where the reference, in the output's type, has them.

Eager's error is one sample of what rounding does. Where results hang on cancellation, few elements
decide, and another right computation may be several times as far off. So before an output that is
beyond what it is allowed by at most ``NEAR`` is called wrong (or by any factor, if it has few
elements, near which eager may be by luck, and the input set can be replaced, or if hardly any of
many are off), eager runs again: with library operations taken apart (a right module may round
between a product and its bias), and on inputs moved by one ulp, each run held against its own
reference. The largest of these errors, and of their quantiles, is eager's (of few elements at least
three times the root mean square, for the largest of few may be small by luck); and an element
passes that is at most ``REACH_FACTOR`` times as far from the reference as one of those moves shifts
the reference there: the moves round once, at the inputs, where a computation rounds at every step.
(Of the shift by an ulp of a narrower type than the program computes in, the part counts that the
finer type's ulp would make.) Such elements count in no quantile either. Of very few elements that
are still beyond (one of ``TYPICAL``), each may be as far off as roundings of other operations take
eager there, those to narrow types included: which are lost to cancellation, or meet a root near
zero, is a matter of luck.

Behind decisions, a value must agree with an answer.  Where those that agree with none are
*restless* (they shift from answer to answer), and answers, too, have about as many elements that
agree with none of the others, no list of answers names all that may be decided: the input set is
replaced if it can be, else such elements, if they are few, may be as far off as the answers are.
What is still beyond, by less than twice, where rounding is amplified to many floors, says little
of an input set, which is replaced, too, if it can be.
On how many input sets eager has to run again is counted, where an output says enough
(``exactness``); and where a type is narrow, how elements are rounded is held to eager (``drift``).

Where an error of eager's exceeds ``ILL_CONDITIONED``, twice it would allow anything.  Then the bulk
of the errors (their highest usable quantile) takes its place, and an element beyond may only be
twice as far off as eager is there or as one ulp of an input moves the reference there, unless eager
has as many such elements, and one that is half as far off.  If the bulk is far off, too, the output
is noise: the input set is replaced if it can be.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import torch

from builder.verify import drift
from builder.verify.bits import bits_equal
from builder.verify.elements import item, place
from builder.verify.expected import EAGER_FACTOR, Expected, Outcome
from builder.verify.floors import epsilon, median_floor
from builder.verify.noise import ILL_CONDITIONED, bulk_of, is_drowned
from builder.verify.norm import MEDIAN, Errors, farther, gaps, within, wrong_non_finite
from builder.verify.ratios import LEAST, TYPICAL, Ratios, ratios_to_eager
from builder.verify.restless import FEW, MANY, are_restless, unnamed

if TYPE_CHECKING:
    from collections.abc import Iterable

Tensor = torch.Tensor
REACH_FACTOR = 4.0
BLUR_FACTOR = 8.0
"""A mean of some hundred numbers, added up one by one, may be several of its last places off."""
NEAR = 64.0
HARDLY_ANY = 1.0 / 512.0
TELLING = 1024
"""Elements from which on the worst of eager's first run is no matter of luck."""
ENOUGH = 8
"""Runs of eager from which on the root mean square of their errors counts for fewer elements."""
RARE = 3.0
"""Root mean squares that one normal error in 370 exceeds."""
AMPLIFIED = 16.0
"""Floors that are allowed where cancellation makes eager's errors a matter of luck."""
BLURRED = 8.0
"""Epsilons that eager may be off by, on one element, and still show how elements are rounded."""


class FloatComparison:
    """One float output against the reference.

    Args:
        actual: the Triton module's.
        expected: eager and reference.
        lowest: the floor.
        noise: the largest error of eager that does not drown the result.
        like_eager: products are meant to be as exact as eager's.
        averages_out: the inputs vary enough for roundings to go to either side.
    """

    def __init__(
        self,
        actual: Tensor,
        expected: Expected,
        lowest: float,
        noise: float = ILL_CONDITIONED,
        *,
        like_eager: bool = True,
        averages_out: bool = True,
    ) -> None:
        self.actual = actual
        self.expected = expected
        self.floor = lowest
        self.median_floor = median_floor(expected.history, lowest)
        self.reference = expected.reference
        self.noise = noise
        is_eager = bits_equal(actual, expected.eager)
        self.errors = expected.eager_errors if is_eager else expected.yardstick.errors(actual)
        self.samples = [expected]
        self.uncast: list[Expected] = []
        self.eager = [expected.eager_errors]
        self.is_inflated = expected.eager_errors.worst > ILL_CONDITIONED
        self.is_amplified = expected.eager_errors.worst > min(AMPLIFIED * lowest, ILL_CONDITIONED)
        self.reach: Tensor | None = None
        self.blur: Tensor | None = None
        self.blurred_drift = 0.0
        self.unrest: Tensor | None = None
        self.excess = 1.0
        self.wrong_share = 1.0
        self._set_tolerance()
        self.is_beyond = self.errors.worst > self.tolerance if self._is_telling() else None
        self.can_drift = averages_out and drift.can_drift(expected)
        self.like_eager = like_eager

    def outcome(self, answers: Iterable[Expected], samples: Iterable[Expected] = ()) -> Outcome:
        """The comparison's result.

        Args:
            answers: other right answers, for values behind decisions.
            samples: other runs of eager, heard only if the output is nearly right.
        """
        found = self._judged(answers)
        near = self.excess <= NEAR or self.wrong_share <= HARDLY_ANY or self._may_be_luck()
        near = near and math.isfinite(self.excess)
        for sample in samples if found.kind == "wrong_values" and near else ():
            if sample.eager.shape != self.actual.shape:
                continue
            self._hear(sample)
            found = self._judged(answers)
            if found.kind != "wrong_values":
                break
        if found.kind is None and found.open_ratio > LEAST:
            for sample in islice(samples, 1):  # the one without casts
                self._hear(sample)
            return self._judged(answers)
        if found.kind == "wrong_values" and self._is_amplified_miss():
            message = "rounding is amplified, and the result is hardly beyond eager's"
            return self._result(self.errors, "ill_conditioned", message)
        return found

    def _is_amplified_miss(self) -> bool:
        """Whether an input set that can be replaced leaves it open: all may hang on one number."""
        is_open = self.noise < ILL_CONDITIONED and self.tolerance > AMPLIFIED * self.floor
        return is_open and self.excess <= EAGER_FACTOR

    def _is_telling(self) -> bool:
        """Whether eager's first run says how exact a right module is."""
        hangs = self.expected.history.decided or self.is_amplified
        return not hangs and self.actual.numel() >= TELLING

    def _ratios(self, errors: Errors) -> Ratios:
        """What the output says of how exact the module is."""
        if not self.like_eager:
            return Ratios()
        casts = [one.eager_errors for one in self._moved_casts]
        return ratios_to_eager(errors, self.expected, casts, is_amplified=self.is_amplified)

    def _may_be_luck(self) -> bool:
        """Whether eager may be near by luck, on inputs that would else be replaced."""
        return self.noise < ILL_CONDITIONED and not self.errors.shares()

    def _set_tolerance(self) -> None:
        largest = max(*map(bulk_of, self.eager), self._expected_largest())
        self.tolerance = max(EAGER_FACTOR * largest, self.floor)

    def _expected_largest(self) -> float:
        """What the error of a value of few elements may come to, by what it is in eager's runs."""
        if len(self.eager) < ENOUGH or self.actual.numel() >= TYPICAL or self.is_inflated:
            return 0.0
        squares = [errors.mean**2 for errors in self.eager]
        return RARE * math.sqrt(sum(squares) / len(squares))

    def _hear(self, sample: Expected) -> None:
        """Takes another run of eager into account."""
        if not sample.as_written:
            self.uncast.append(sample)
            return
        if sample.is_blurred:
            self.blur = farther(self.blur, gaps(sample.eager, sample.reference))
            if self.can_drift:
                moved = sample.eager_roundings.get(drift.WHOLE, 0.0)
                self.blurred_drift = max(self.blurred_drift, moved)
            return
        self.samples.append(sample)
        self.eager.append(sample.eager_errors)
        self._set_tolerance()
        if self.expected.history.decided:  # a decision that flips would shift anything
            return
        shift = gaps(sample.reference, self.reference) * self._share_of_move(sample)
        if self.is_inflated:
            shift = torch.maximum(shift, gaps(sample.eager, sample.reference))
        self.reach = farther(self.reach, shift)

    def _share_of_move(self, other: Expected) -> float:
        """What of a shift one rounding explains: narrow inputs are moved by their type's ulp."""
        finest = epsilon(self.expected.history.rounding)
        return min(1.0, finest / other.moved) if other.moved else 1.0

    def _judged(self, answers: Iterable[Expected]) -> Outcome:
        if any(is_drowned(errors, self.noise) for errors in self.eager):
            bulk = max(map(bulk_of, self.eager))
            message = f"eager itself is {bulk:.2g} away from float64: rounding noise"
            return self._result(self.errors, "ill_conditioned", message)
        errors = self.errors
        if not errors.all_finite or errors.worst > self.tolerance:
            beyond = errors.values > self.tolerance
            beyond |= wrong_non_finite(self.actual, self.reference)
            wrong = self._unexplained(beyond, answers) if bool(beyond.any()) else beyond
            loose = self._unnamed(wrong, answers)
            if loose and loose >= MANY * int(wrong.sum()) and self.noise < ILL_CONDITIONED:
                message = "too many decisions hang on rounding"
                return self._result(self.errors, "ill_conditioned", message)
            if loose and int(wrong.sum()) <= min(loose, FEW * wrong.numel()):
                wrong = wrong & ~self._is_as_restless()
            if bool(wrong.any()) and not self._is_tail(wrong):
                return self._wrong(wrong)
            errors = errors.without(beyond)
        spread = self._spread(errors)
        if spread is not None and self.expected.history.decided:
            spread = self._spread(self._without_restless(errors, answers))
        return spread or self._drift(errors) or self._result(errors, None, "")

    def _result(
        self, errors: Errors, kind: str | None, message: str, wrong: Tensor | None = None
    ) -> Outcome:
        # behind a decision, what another answer explains is no error
        ratios = self._ratios(errors if self.expected.history.decided else self.errors)
        cast = max((one.eager_errors.worst for one in self._moved_casts), default=0.0)
        beyond = self.is_beyond and self.errors.worst > EAGER_FACTOR * cast
        figures = (errors.worst, self.tolerance, self.floor, wrong, beyond)
        return Outcome(kind, message, *figures, *ratios)

    def _unexplained(self, wrong: Tensor, answers: Iterable[Expected]) -> Tensor:
        """What is left of the wrong elements after the other answers were heard."""
        gap = gaps(self.actual, self.reference)
        if self.reach is not None:
            wrong = wrong & ~self._is_in_reach()
        few = max(HARDLY_ANY * wrong.numel(), wrong.numel() >= TYPICAL)
        if self.blur is not None and int(wrong.sum()) <= few:
            wrong = wrong & ~within(gap, BLUR_FACTOR * self.blur)
        decided = self.expected.history.decided
        if not bool(wrong.any()) or not (decided or self.is_inflated):
            return wrong
        self.unrest = None
        reach = gaps(self.expected.eager, self.reference)
        for other in answers:
            if other.eager.shape != self.actual.shape:
                continue
            if decided:
                wrong = wrong & ~self._agrees(other)
                self._note_unrest(other)
            else:
                shift = gaps(other.reference, self.reference) * self._share_of_move(other)
                reach = torch.maximum(reach, shift)
                wrong = wrong & ~within(gap, EAGER_FACTOR * reach)
            if not bool(wrong.any()):
                break
        return wrong

    def _is_in_reach(self) -> Tensor:
        """Elements no further off than a few roundings of the inputs would take them."""
        assert self.reach is not None
        factor = EAGER_FACTOR if self.is_inflated else REACH_FACTOR
        return within(gaps(self.actual, self.reference), factor * self.reach)

    def _is_tail(self, wrong: Tensor) -> bool:
        """Whether eager, inflated, has as many elements beyond what is allowed, one half as far."""
        if not self.is_inflated or bool(wrong_non_finite(self.actual, self.reference).any()):
            return False
        ours = self.errors.values[wrong]
        return any(
            float(ours.max()) <= EAGER_FACTOR * theirs.worst
            and ours.numel() <= int((theirs.values > self.tolerance).sum())
            for theirs in self.eager
        )

    def _note_unrest(self, other: Expected) -> None:
        self.unrest = farther(self.unrest, gaps(other.reference, self.reference))

    def _unnamed(self, wrong: Tensor, answers: Iterable[Expected]) -> int:
        """How many elements of an answer agree with no other one, if wrong ones are restless."""
        if self.unrest is None or not are_restless(
            wrong, self.unrest, self._allowed(self.reference)
        ):
            return 0
        # of narrow inputs an ulp shifts more than decisions
        others = [one for one in answers if one.eager.shape == self.actual.shape]
        others = [one for one in others if self._share_of_move(one) == 1.0]
        return unnamed([self.reference, *(one.reference for one in others)], self._allowed)

    def _allowed(self, reference: Tensor) -> Tensor:
        """How far from an answer an element may be, on the first answer's scale."""
        return self.tolerance * (reference.abs() + self.expected.yardstick.scale)

    def _without_restless(self, errors: Errors, answers: Iterable[Expected]) -> Errors:
        """The errors of elements that do not follow decisions made elsewhere, as of a mean."""
        for other in answers:
            if other.eager.shape == self.actual.shape:
                self._note_unrest(other)
        return errors if self.unrest is None else errors.without(self._is_as_restless())

    def _is_as_restless(self) -> Tensor:
        """Elements no further off than answers are."""
        assert self.unrest is not None
        return within(gaps(self.actual, self.reference), EAGER_FACTOR * self.unrest)

    def _agrees(self, other: Expected) -> Tensor:
        """Elements within the tolerance of another answer, on the first answer's scale."""
        close = gaps(self.actual, other.reference) <= self._allowed(other.reference)
        return close & ~wrong_non_finite(self.actual, other.reference)

    def _spread(self, errors: Errors) -> Outcome | None:
        """A failure if the bulk of the elements is worse than eager's, though none is too bad."""
        if errors.worst <= self.median_floor:
            return None
        if self.reach is not None:
            errors = errors.without(self._is_in_reach())
        for share in errors.shares():
            lowest = self.median_floor if share == MEDIAN else self.floor
            if not errors.quantile_exceeds(share, lowest):
                continue
            ours = errors.quantile(share)
            theirs = max(sample.quantile(share) for sample in self.eager)
            allowed = max(EAGER_FACTOR * theirs, lowest)
            if ours > allowed:
                self.excess = ours / allowed if allowed else math.inf
                message = (
                    f"{1 - share:.2g} of the elements have errors above {ours:.3g}; eager's are "
                    f"above {theirs:.3g}, allowed {allowed:.3g}"
                )
                return self._result(errors, "wrong_values", message, errors.values > allowed)
        return None

    def _drift(self, errors: Errors) -> Outcome | None:
        """A failure if elements are rounded as eager's are not (see ``drift``)."""
        if not self.can_drift or not errors.all_finite or self.is_inflated:
            return None
        epsilons = self.expected.eager_errors.worst / epsilon(self.expected.history.rounding)
        if epsilons > BLURRED:
            return None
        readings = [one.roundings(self.actual) for one in (self.expected, *self.uncast)]
        for figure in readings[0]:
            # whether a cast inside the program rounds, or is left out, is a compiler's to choose
            ours = min(one[figure] for one in readings)
            if ours <= drift.floor_of(figure, self.actual):
                continue
            eager = [sample.eager_roundings for sample in (*self.samples, *self._moved_casts)]
            misrounded = max(one[drift.MISROUNDED] for one in eager)
            lowest = drift.floor_of(figure, self.actual, misrounded, by_more=epsilons > 1.0)
            theirs = max(one[figure] for one in eager)
            allowed = max(EAGER_FACTOR * theirs, lowest)
            if figure != drift.MISROUNDED:
                allowed = max(allowed, lowest + self.blurred_drift)
            elif ours > allowed and self.uncast:
                references = [one.reference for one in (self.expected, *self.uncast)]
                ours = drift.misrounded_by_all(self.actual, references)
            if ours > allowed:
                self.excess = NEAR  # however many: a reference without casts may have none
                text = drift.message(figure, ours, theirs, allowed)
                return self._result(errors, "wrong_values", text)
        return None

    @property
    def _moved_casts(self) -> list[Expected]:
        """Eager against a reference without casts, where a product rounds its operands early."""
        return self.uncast if self.expected.history.rounds_operands else []

    def _wrong(self, wrong: Tensor) -> Outcome:
        non_finite = wrong_non_finite(self.actual, self.reference) & wrong
        self.wrong_share = float(wrong.count_nonzero()) / wrong.numel()
        ranked = self.errors.values.masked_fill(~wrong, 0.0).masked_fill(non_finite, math.inf)
        worst = float(ranked.max())
        self.excess = worst / self.tolerance if self.tolerance else math.inf
        at = place(int(ranked.flatten().argmax()), self.actual)
        values = (self.actual, self.reference, self.expected.eager)
        ours, exact, eager = (item(tensor, at) for tensor in values)
        message = (
            f"{int(wrong.sum())} of {wrong.numel()} elements differ; at {at} Triton gives "
            f"{ours}, float64 {exact}, eager {eager}: error {worst:.3g}, allowed "
            f"{self.tolerance:.3g}"
        )
        kind = "wrong_non_finite" if bool(non_finite.any()) else "wrong_values"
        return self._result(self.errors, kind, message, wrong)
