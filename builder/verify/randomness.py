"""Checks on a random program, before any Triton module is held against it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from builder.errors import VerificationRejected
from builder.verify.draws import derived_seed
from builder.verify.laws import check_laws
from builder.verify.match import match
from builder.verify.runner import Case, Plan, held_tensors, random_calls, run_original

if TYPE_CHECKING:
    from torch import nn

    from builder.verify.runner import Original

_ATTEMPTS = 8


def check_randomness(case: Case, original: Original, *, must_be_seen: bool = True) -> None:
    """Sees to it that agreeing with the program shows that random numbers are right.

    Args:
        case: an input set.
        original: the program's run on it.
        must_be_seen: whether a call that no result depends on is refused.

    Raises:
        VerificationRejected: ``wrong_distribution``: what a call is answered with has another law
            than eager's; ``unseen_random``: another draw in the place of one call's gives results
            that comparison does not tell apart.
    """
    check_laws(random_calls(case), derived_seed(case.seed, "laws"))
    for index in range(original.random_calls if must_be_seen else 0):
        if not _is_seen(case, original, index):
            raise VerificationRejected(
                "unseen_random",
                f"no result shows what random call {index} draws; use it, or leave it out",
            )


def check_takes_seed(new: nn.Module) -> None:
    """Raises unless ``forward`` has a keyword for the seed.

    Raises:
        VerificationRejected: ``seed``.
    """
    parameter = inspect.signature(new.forward).parameters.get("seed")
    if parameter is None or parameter.default is not None:
        raise VerificationRejected(
            "seed", "the program draws random numbers; forward needs a keyword seed=None"
        )


def _is_seen(case: Case, original: Original, index: int) -> bool:
    """Whether results are wrong if one call draws otherwise; a few numbers may be so by chance."""
    before = held_tensors(case.module, case.inputs)
    for attempt in range(1, _ATTEMPTS + 1):
        other = run_original(case, Plan(changed=(index, attempt)))
        try:
            match(original, other.run, before, ())
        except VerificationRejected:
            return True
    return False
