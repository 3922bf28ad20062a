"""Weights of operators: less for what earlier programs have used more than their share.

Counted are operators, in which floating type they stand, which operator's result which takes, and
what follows what in a chain of three: reductions, products, elementwise work.  From the latter
follows what a fused kernel is made of, long before one is generated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.programs.operators import Operator

    Chain = tuple[Operator | None, Operator | None, Operator]

Use = tuple[str, ...]
"""What is counted, after the word for it: an operator's name and its type; the names of two, the
first of which makes what the second takes; the kinds of three, each of which takes what the one
before makes.
"""
OPERATOR, PAIR, KERNEL = "operator", "pair", "kernel"
LEAST = 0.25
"""Chance of what would be used much too often; operators that fit little else need one."""
_KINDS = {
    "reduction": "reduction", "normalise": "reduction", "scan": "scan", "sort": "sort",
    "product": "product", "convolution": "convolution", "pooling": "window", "index": "gather",
    "token": "gather", "layout": "layout", "join": "layout",
}  # fmt: skip
_POINTWISE = "pointwise"
INPUT = "input"


def kind_of(operator: Operator | None) -> str:
    """The kind of work that an operator is in a kernel; of none, that it is an input."""
    return _KINDS.get(operator.theme, _POINTWISE) if operator else INPUT


class Steering:
    """What earlier programs have used, as it changes the drawing of one.

    What is used no more than its weight says keeps it; the prior is the weights themselves, and one
    use is no reason to avoid what is rare.

    Args:
        operators: to choose from.
        weights: of the same, as the prior has them.
        dtype: of the program that is drawn.
        used: how often each was used.

    Attributes:
        weights: of the operators, after what was used.
    """

    def __init__(
        self,
        operators: Sequence[Operator],
        weights: Sequence[float],
        dtype: str,
        used: Mapping[Use, int],
    ) -> None:
        whole = sum(weights)
        shares = [weight / whole for weight in weights]
        self._used = used
        self._shares = {one.name: share for one, share in zip(operators, shares, strict=True)}
        self._kinds: dict[str, float] = {INPUT: 1.0}
        for one, share in zip(operators, shares, strict=True):
            self._kinds[kind_of(one)] = self._kinds.get(kind_of(one), 0.0) + share
        self._totals = dict.fromkeys((OPERATOR, PAIR, KERNEL), 0)
        for use, count in used.items():
            self._totals[use[0]] += count
        self.weights = self._damped(weights, dtype)

    def chance(self, chain: Chain) -> float:
        """Of taking an operator that was drawn: below 1 where such pairs and chains are many.

        Args:
            chain: of three operators, each takes what the one before it makes; None for an input.
        """
        _, producer, last = chain
        if producer is None:
            return 1.0
        pair = (PAIR, producer.name, last.name)
        expected = self._shares[producer.name] * self._shares[last.name]
        kernel = (KERNEL, *map(kind_of, chain))
        usual = 1.0
        for kind in kernel[1:]:
            usual *= self._kinds[kind]
        return max(LEAST, self._damping(pair, expected) * self._damping(kernel, usual))

    def _damping(self, use: Use, share: float) -> float:
        return _damping(self._used.get(use, 0), self._totals[use[0]] * share)

    def _damped(self, weights: Sequence[float], dtype: str) -> list[float]:
        counts: dict[str, int] = {}
        typed: dict[str, int] = {}
        for (word, name, *rest), count in self._used.items():
            if word == OPERATOR:
                counts[name] = counts.get(name, 0) + count
                if rest == [dtype]:
                    typed[name] = count
        everything, of_type = sum(counts.values()), sum(typed.values())
        return [
            weight
            * _damping(counts.get(name, 0), everything * share)
            * _damping(typed.get(name, 0), of_type * share)
            for weight, (name, share) in zip(weights, self._shares.items(), strict=True)
        ]


def _damping(count: int, expected: float) -> float:
    return min(1.0, (1.0 + expected) / (1.0 + count))


def uses_of(chains: Sequence[Chain], dtype: str) -> list[Use]:
    """What an operator of a program uses.

    Args:
        chains: of three each, which end with the operator, one for each of its operands.
        dtype: of the program.
    """
    uses: list[Use] = [(OPERATOR, chains[0][-1].name, dtype)]
    for chain in chains:
        if chain[1] is not None:
            uses.append((PAIR, chain[1].name, chain[-1].name))
            uses.append((KERNEL, *map(kind_of, chain)))
    return uses
