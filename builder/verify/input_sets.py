"""Which draws and shapes a verification takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.verify.draws import APART, DISTRIBUTIONS, MUTED, SHIFTED
from builder.verify.shapes import OtherShape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.verify.domain import Domain

Shape = int | OtherShape | None
"""Of an input set: a shape variant's, another, or that of ``get_inputs``."""
AWAY_FROM_BASE = tuple(map(DISTRIBUTIONS.index, ("tied", "mixed", "tiny")))
"""Draws that shape variants take, if there are any; spikes need size, which few of these have."""
LARGE = DISTRIBUTIONS.index("large")
OF_LARGEST = "tied"
OF_OTHERS = ("sparse", OF_LARGEST, "large", "vanishing")
"""The distributions of shapes that no input set has: ones, the largest, odd ones, odd again.

In the largest nothing cancels, so that a block shows which a mean of all leaves out or adds twice.
It takes those of ``APART`` as well.
"""
_CENTRES = re.compile(r"(?i)mean|norm|corrcoef|var_mean|\b(?:cov|std|sum|var)\b")


def input_sets(
    draws: int, base: int | None, variants: Sequence[Shape], apart: Sequence[int]
) -> list[tuple[int, Shape]]:
    """The draw and the shape of each input set, those of the declared shape first.

    A variant takes a draw from the declared shape, which most variants are smaller than.

    Args:
        draws: how many are taken.
        base: the declared shape.
        variants: of its shape variants, in order.
        apart: further draws, which variants take by turns.
    """
    away = [draw for draw in AWAY_FROM_BASE if draw < draws]
    taken = dict(zip(variants, away, strict=False))
    kept = [draw for draw in range(draws) if draw not in taken.values()]
    sets = [(draw, base) for draw in kept] + [(taken.get(one, 0), one) for one in variants]
    shapes = variants or [base]
    return sets + [(draw, shapes[place % len(shapes)]) for place, draw in enumerate(apart)]


def draws_apart(first: Sequence[Domain], text: str, *, has_matrix: bool) -> list[int]:
    """The draws of ``APART`` that have anything to tell apart.

    Args:
        first: the domain of each input.
        text: the program's, which must name what takes a mean, or a sum, for inputs to be shifted.
        has_matrix: the program has a parameter that products are taken with.
    """
    free = [domain for domain in first if domain.is_free]
    can_shift = any(domain.can_shift for domain in free)
    differs = {
        MUTED: has_matrix and bool(free),
        SHIFTED: can_shift and _CENTRES.search(text) is not None,
    }
    return [DISTRIBUTIONS.index(name) for name in APART if differs[name]]
