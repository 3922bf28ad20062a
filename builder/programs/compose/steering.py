"""Weights of operators: less for what earlier programs have used more than their share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Use = tuple[str, str]
"""An operator's name and the floating type of the program that it stands in."""


def steered(
    weights: Sequence[float], names: Sequence[str], dtype: str, used: Mapping[Use, int]
) -> list[float]:
    """Weights after what was used.

    What is used no more than its weight says keeps it; the prior is the weights themselves, and one
    use is no reason to avoid what is rare.

    Args:
        weights: of the operators, as the prior has them.
        names: of the operators.
        dtype: of the program that is drawn.
        used: how often each operator was used in each type.
    """
    counts: dict[str, int] = {}
    for (name, _), count in used.items():
        counts[name] = counts.get(name, 0) + count
    typed = {name: count for (name, other), count in used.items() if other == dtype}
    everything, of_type = sum(counts.values()), sum(typed.values())
    whole = sum(weights)
    return [
        weight
        * _damping(counts.get(name, 0), everything * weight / whole)
        * _damping(typed.get(name, 0), of_type * weight / whole)
        for name, weight in zip(names, weights, strict=True)
    ]


def _damping(count: int, expected: float) -> float:
    return min(1.0, (1.0 + expected) / (1.0 + count))
