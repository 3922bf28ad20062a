"""Results that hang on more decisions than any list of answers can name.

Each answer takes some decisions another way, as rounding might.  A value behind few decisions
agrees with one of them.  Where many decisions are near, every run is an answer of its own: then
what agrees with none need not be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from builder.verify.norm import gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tensor = torch.Tensor

MANY = 0.5
FEW = 1.0 / 32.0
OWN_ANSWERS = 5
"""The first, and those in which eager's operations round another way (``reruns.other_answers``)."""
USUAL = 0.75


def are_restless(wrong: Tensor, unrest: Tensor, allowed: Tensor) -> bool:
    """Whether half of the wrong elements shift, from answer to answer, by more than allowed.

    Args:
        wrong: a mask.
        unrest: how far each element shifts.
        allowed: how far each may be off.
    """
    restless = wrong & ((unrest > allowed) | ~torch.isfinite(unrest))
    return bool(wrong.any()) and int(restless.sum()) >= MANY * int(wrong.sum())


def unnamed(answers: Sequence[Tensor], allowed: Callable[[Tensor], Tensor]) -> int:
    """How many elements of an answer agree with no other one: of eager's own, or of the rest.

    It is what three quarters of either kind have at most: a kind may take all decisions alike.
    Where there are none the list of answers is complete, and what is not on it is wrong.

    Args:
        answers: exact values, eager's own first; of one shape.
        allowed: how far from an answer an element may be.
    """
    alone = []
    for place, one in enumerate(answers):
        named = torch.zeros_like(one, dtype=torch.bool)
        for other in (*answers[:place], *answers[place + 1 :]):
            named |= gaps(one, other) <= allowed(other)
        alone.append(int((~named).sum()))
    kinds = (sorted(alone[:OWN_ANSWERS]), sorted(alone[OWN_ANSWERS:]))
    return max(kind[int(USUAL * (len(kind) - 1))] for kind in kinds if kind)
