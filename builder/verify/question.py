"""One question of a verification: an input set, the program's answer, and what else is right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch

from builder.errors import ProgramRejected, Rejected, VerificationRejected
from builder.verify.bits import all_finite
from builder.verify.draws import APART, SHIFTED, distribution_of
from builder.verify.expected import is_float
from builder.verify.memory import let_memory_failures_pass
from builder.verify.missing import with_missing
from builder.verify.modules import summary
from builder.verify.noise import ILL_CONDITIONED, usable
from builder.verify.reruns import Reruns, eager_samples, other_answers
from builder.verify.runner import (
    Case,
    Original,
    Run,
    held_tensors,
    run_original,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.verify.costs import Costs
    from builder.verify.floors import History
    from builder.verify.shapes import OtherShape

_Found = TypeVar("_Found")
RESTLESS = 1.0 / 8.0
"""The share of a result that may hang on how operations round."""
TRIALS = 2


@dataclass(frozen=True)
class Question:
    """One input set with the program's answer.

    Attributes:
        case: module and inputs, never run themselves.
        original: the program's run and its reference.
        before: inputs, parameters and buffers by name, before either run.
        answers: other right answers, computed as they are asked for.
        samples: other samples of eager's rounding, likewise.
        replaced: input sets thrown away before this one.
        plain: the inputs are as drawn.
        draw: which draw it is of, whose distribution the inputs have unless they are plain.
        shape: which variant of the program's inputs it is, or another shape.
    """

    case: Case
    original: Original
    before: dict[str, torch.Tensor]
    answers: Reruns
    samples: Reruns
    replaced: int
    plain: bool
    draw: int
    shape: int | OtherShape | None

    @property
    def replaceable(self) -> bool:
        """Whether a milder input set can take its place."""
        return not self.plain

    @property
    def is_apart(self) -> bool:
        """Whether its inputs are of one sign, or nearly so, for the sake of what adds up."""
        return distribution_of(self.draw) in APART

    @property
    def averages_out(self) -> bool:
        """Whether roundings go to either side; near one large number a narrow type has few others.

        A sum of a few numbers and a constant is then rounded to the same side everywhere.
        """
        return distribution_of(self.draw) != SHIFTED

    def noise(self, history: History) -> float:
        """The largest error of eager that does not drown a value, see ``floats``."""
        return ILL_CONDITIONED if self.plain else usable(history)


def asked(
    case: Case,
    original: Original,
    costs: Costs,
    replaced: int = 0,
    *,
    plain: bool = True,
    draw: int = 0,
    shape: int | OtherShape | None = None,
) -> Question:
    return Question(
        case,
        original,
        held_tensors(case.module, case.inputs),
        other_answers(case, costs),
        eager_samples(case, costs),
        replaced,
        plain,
        draw,
        shape,
    )


def run_program(case: Case, costs: Costs) -> Original:
    """Runs the program on a case.

    Raises:
        VerificationRejected: ``program_error``, ``unknown_random`` or ``random_generator``.
    """
    return _in_program(run_original, case, costs)


def check_decisions(question: Question) -> None:
    """Rejects a program whose decisions hang on rounding, on inputs as drawn.

    Sorting, comparing or rounding numbers that are equal but for rounding (sums of what a clamp
    made equal) gives results that no two devices agree on.

    Raises:
        ProgramRejected: ``unstable``.
    """
    expected = question.original.expected
    decided = [name for name, found in expected.items() if found.history.decided]
    # the first answers: eager's own, where each operation rounds another way
    for answer in islice(question.answers, TRIALS) if decided else ():
        for name in decided:
            share = expected[name].share_apart(answer[name]) if name in answer else 0.0
            if share > RESTLESS:
                raise ProgramRejected(
                    "unstable",
                    f"{share:.2g} of {name} hangs on how operations round; keep away from "
                    "comparing, sorting or rounding numbers that are equal but for rounding",
                )


def filled(case: Case, costs: Costs) -> Case:
    """See ``with_missing``; raises what ``run_program`` raises."""
    return _in_program(with_missing, case, costs)


def _in_program(function: Callable[[Case], _Found], case: Case, costs: Costs) -> _Found:
    try:
        with costs.of("reference"):
            return function(case)
    except Rejected:
        raise
    except Exception as error:
        let_memory_failures_pass(error)
        message = f"the program fails: {summary(error)}"
        raise VerificationRejected("program_error", message) from error


def is_finite(run: Run) -> bool:
    """Whether all floating outputs and gradients are finite."""
    leaves = [leaf for leaf in run.leaves if isinstance(leaf, torch.Tensor)]
    leaves += run.gradients.tensors.values()
    return all(all_finite(leaf) for leaf in leaves if is_float(leaf.dtype))
