"""Mean and variance as a kernel computes them in one pass.

Libraries add up first and divide then: of integers, such as ``floor`` gives, that sum is exact.  A
running mean is rounded at every step, at the size of the numbers it is of, whatever is left of them
(Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products", 1962; pairs of
them are joined as in Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm", 1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

Tensor = torch.Tensor
BLOCK = 32
"""Elements that are added at once, at least."""
MOST_BLOCKS = 256


def block_size(count: int, most: int = MOST_BLOCKS) -> int:
    """How many elements are added up at once."""
    return max(BLOCK, math.ceil(count / most))


@dataclass
class _Lanes:
    """Running means and sums of squared deviations, (rows, lanes), and counts, (lanes,)."""

    mean: Tensor
    deviations: Tensor
    count: Tensor

    def take(self, values: Tensor) -> None:
        """One more value in each of the first lanes."""
        width = values.shape[1]
        self.count[:width] += 1
        delta = values - self.mean[:, :width]
        self.mean[:, :width] += delta / self.count[:width]
        self.deviations[:, :width] += delta * (values - self.mean[:, :width])

    def halved(self) -> _Lanes:
        """The first half, joined by the second one."""
        width = self.count.shape[0]
        kept = (width + 1) // 2
        moved = width - kept
        mean, deviations, count = self.mean[:, :kept], self.deviations[:, :kept], self.count[:kept]
        total = count[:moved] + self.count[kept:]
        share = self.count[kept:] / total
        delta = self.mean[:, kept:] - mean[:, :moved]
        deviations[:, :moved] += self.deviations[:, kept:] + delta**2 * count[:moved] * share
        mean[:, :moved] += delta * share
        count[:moved] = total
        return _Lanes(mean, deviations, count)


def mean_and_deviations(rows: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Of each row the mean and the sum of squared deviations from it.

    Args:
        rows: of shape (rows, columns), of at least one column.
        order: a seed, of the order in which columns are taken.
    """
    count = rows.shape[1]
    generator = torch.Generator().manual_seed(order)
    shuffled = rows[:, torch.randperm(count, generator=generator)]
    first, *others = shuffled.split(block_size(count), 1)
    ones = torch.ones(first.shape[1], dtype=rows.dtype)
    lanes = _Lanes(first.clone(), torch.zeros_like(first), ones)
    for part in others:
        lanes.take(part)
    while lanes.count.shape[0] > 1:
        lanes = lanes.halved()
    return lanes.mean[:, 0], lanes.deviations[:, 0]
