"""Further runs of the program: other right answers, other samples of how eager rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.verify.costs import Costs
from builder.verify.memory import let_memory_failures_pass
from builder.verify.runner import Case, Plan, run_original

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.verify.expected import Expected

PERTURBATIONS = 24
NUDGES = (4.0, -4.0)
SAMPLES = 9
JITTERS = 4
OTHER_JITTERS = range(JITTERS, 2 * JITTERS)
BLURS = range(JITTERS, 3 * JITTERS)
"""So many that not all of them are by luck far nearer at an element than they mostly are."""


class Reruns:
    """Further runs of the program, computed as they are asked for, and kept.

    Args:
        case: the input set.
        plans: how to run, one after the other.
        costs: counts the core-seconds.
    """

    def __init__(self, case: Case, plans: Sequence[Plan], costs: Costs | None = None) -> None:
        self._case = case
        self._plans = list(plans)
        self._costs = costs or Costs()
        self._known: list[dict[str, Expected]] = []

    def __iter__(self) -> Iterator[dict[str, Expected]]:
        given = 0
        while given < len(self._known) or self._compute():
            yield self._known[given]
            given += 1

    def _compute(self) -> bool:
        """One more run; False when there is none left."""
        while self._plans:
            plan = self._plans.pop(0)
            # A perturbed input may leave the program's domain; that one gives nothing.
            try:
                with self._costs.of("reference"):
                    found = run_original(self._case, plan)
            except Exception as error:  # noqa: BLE001
                let_memory_failures_pass(error)
                continue
            self._known.append(found.expected)
            return True
        return False


def other_answers(case: Case, costs: Costs | None = None) -> Reruns:
    """Answers besides the first: eager's, where each operation rounds another way.

    And float64's own decisions, alone, nudged and on moved inputs.
    """
    plans = [Plan(taken_apart=True, jitter=which) for which in OTHER_JITTERS]
    plans += [Plan(own_decisions=True, nudge=nudge) for nudge in (0.0, *NUDGES)]
    plans += [Plan(own_decisions=True, pattern=which) for which in range(PERTURBATIONS)]
    return Reruns(case, plans, costs)


def eager_samples(case: Case, costs: Costs | None = None) -> Reruns:
    """Other samples of eager's rounding: operations taken apart, alone and on moved inputs.

    The first is as written, against a reference in which casts do not round.  In the last ones each
    operation rounds another way: where eager is near by luck in all of the others (one element, a
    product that the library adds up with more care for few rows), these are not.  The very last
    move results that are rounded to narrow types, too, and say how far off single elements may be.
    """
    patterns = (None, *range(SAMPLES - 1))
    plans = [Plan(taken_apart=True, pattern=which) for which in patterns]
    plans += [Plan(taken_apart=True, jitter=which) for which in range(JITTERS)]
    plans += [Plan(taken_apart=True, jitter=which, is_blurred=True) for which in BLURS]
    return Reruns(case, [Plan(casts_round=False), *plans], costs)
