"""An input tensor's values in each distribution of ``draws``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import torch

from builder.verify.rows import IMAGE, ROW, cancelled, with_empty_row, with_number

if TYPE_CHECKING:
    from builder.verify.domain import Domain

Tensor = torch.Tensor

FLIPPED_SHARES = (1.0, 0.4)
LARGE = (32.0, 4.0)
SPARSE = (0.125, 0.5)
FAR = (1024.0, 128.0)
FARTHEST = (2.0**17, 2.0**12)  # more than float16 holds; the second for such types
TINY = 2.0**-10
AWAY = 1.0  # from zero, before it is made tiny: what is below zero has a maximum that is not zero
VANISHING = tuple(2.0**-power for power in range(16, 52, 4))
SUBNORMAL = 2.0**-6  # of the normal numbers: a few bits are left
GRID = 0.5
GOLDEN = 0.6180339887498949
SPIKES = (2.0**10, 2.0**7)  # the second for types that cannot hold the first one's square
HIGHER = 1.5  # times the second, where eager survives it: a divisor may take from a spike
HIGHEST = 16.0  # times the rest, once; beyond all that cancel, too
THIN = 1.0 / 16.0
TWIN = 5  # of eight rows the one with two spikes side by side: of equals the first is chosen
BELOW = 14  # of 24 one that ends in a spike, which is made a minimum there
PAIR = 2.0**9  # in a small image, where windows that see one of it are many
OFFSETS = (16.0, 4.0, 0.0)
"""By strength; so near that bfloat16 still holds the grid there, and twice the offset's."""
STEP = 0.7313  # no binary fraction: eager must round where another order of operations does
ZERO_SHARE = 0.3
_END = 1.0 / 32.0


class Strength(IntEnum):
    """How far a draw goes; the next where eager does not survive one."""

    FULL = 0
    GENTLE = 1
    MILD = 2


@dataclass(frozen=True)
class Draw:
    """One input tensor's new values, in each distribution.

    Attributes:
        values: as drawn.
        domain: what they must keep to.
        generator: of random choices.
        strength: see ``reshape_inputs``.
        side: the sign of the first slices that have one.
        divides: it is of one sign where others are not, such as what others are divided by.
        vanishes: a tiny draw is of vanishing size.
        loses: one of its slices is.
        has_spikes: a sparse draw has spikes.
    """

    values: Tensor
    domain: Domain
    generator: torch.Generator
    strength: Strength
    side: float
    divides: bool
    vanishes: bool
    loses: bool
    has_spikes: bool

    @property
    def mild(self) -> bool:
        return self.strength is Strength.MILD

    def reshaped(self, distribution: str) -> Tensor:
        result: Tensor = getattr(self, f"_{distribution}")()
        return result

    def _tied(self) -> Tensor:
        """Multiples of a step; zeros and signs as draw 0 has them."""
        lowest, highest = self.domain.lowest, self.domain.highest
        step = STEP * min(1.0, max(abs(lowest), abs(highest)))
        chance = self._chance()
        values = torch.round(self.values / step) * step
        if lowest <= 0 <= highest:
            values = values.masked_fill(chance < ZERO_SHARE, 0.0)
        if self.domain.has_signs:
            share = FLIPPED_SHARES[self.side > 0]
            return torch.where(chance < share, values.abs(), values)
        nearest = step if lowest > 0 else -step if highest < 0 else 0.0
        return values.masked_fill(values == 0, nearest)

    def _mixed(self) -> Tensor:
        """Ordinary, large, tiny and, ever smaller, vanishing slices by turns.

        What may divide others stays as drawn, or quotients would all be ordinary.
        """
        if self.divides:
            return self.values
        sizes = [1.0, LARGE[self.mild], TINY]
        if not any(extent > len(sizes) for extent in self.values.shape):
            return (
                self.values * torch.tensor(sizes, dtype=self.values.dtype)[turns_of(self.values, 3)]
            )
        cycle = [part for size in VANISHING for part in (*sizes, self._held(size))]
        shape = turns_of(self.values, len(sizes) + 1).shape
        turns = torch.arange(math.prod(shape)) % len(cycle)
        return self.values * torch.tensor(cycle, dtype=self.values.dtype)[turns].reshape(shape)

    def _tiny(self) -> Tensor:
        values = self.values.abs() if self.domain.has_signs else self.values
        if self.domain.has_signs and self.side < 0.0:
            values = torch.where(turns_of(values, 2) == 1, -values - AWAY, values)
        if not self.loses or (not values.dim() and not self.vanishes):
            return values * TINY
        smallest = max(VANISHING[-1], torch.finfo(self.domain.model.dtype).tiny * SUBNORMAL)
        if self.vanishes:
            return values * smallest
        sizes = torch.full((values.shape[0] if values.dim() > 1 else 1,), TINY, dtype=values.dtype)
        if sizes.numel() > 1:
            sizes[sizes.numel() // 4 * 2] = smallest  # not a negative one
        return values * sizes.reshape(-1, *[1] * (values.dim() - 1))

    def _vanishing(self) -> Tensor:
        return self.values * (TINY if self.mild else self._held(VANISHING[1]))

    def _muted(self) -> Tensor:
        return self.values.abs() if self.domain.has_signs else self.values

    def _shifted(self) -> Tensor:
        return self.values + (OFFSETS[self.strength] if self.domain.can_shift else 0.0)

    def _held(self, size: float) -> float:
        """A size, or the smallest whose square the type can hold."""
        normal = torch.finfo(self.domain.model.dtype).smallest_normal
        return max(size, min(TINY, normal**0.5))

    def _large(self) -> Tensor:
        values = self.values * LARGE[self.mild]
        if self.mild or not self.domain.has_signs:
            return values
        far, turn = values.abs() + FAR[self.strength], turns_of(values, 6, 3)
        below = (turn % 3 == 2) if self.side > 0.0 else (turn % 6 == 1) | (turn % 6 == 5)
        values = torch.where(turn % 3 == 0, values, torch.where(below, -far, far))
        if self.side < 0.0 and self.strength is Strength.FULL and values.numel():
            farthest = FARTHEST[not self._holds_square_of(FARTHEST[0])]
            values = with_number(values, torch.tensor([0]), farthest)
        return values

    def _sparse(self) -> Tensor:
        """A grid that keeps to the domain: a value that it would leave stays as it is."""
        empty = min(max(self.domain.lowest, 0.0), self.domain.highest)
        values = torch.round(self.values / GRID) * GRID
        left = (values < self.domain.lowest) | (values > self.domain.highest)
        values = torch.where(left, self.values, values)
        values = values.masked_fill(self._chance() >= SPARSE[self.mild], empty)
        return values if self.mild or not self.has_spikes else self._spiked(values)

    def _spiked(self, values: Tensor) -> Tensor:
        """One element of each row of the last dimension far out, in two of three slices.

        A short row is a few factors of others rather than a row, and divides a spike away.
        """
        length = values.shape[-1] if values.dim() else 1
        cancels = self.strength is Strength.FULL and self.domain.has_signs
        cancels = cancels and not self.domain.is_unit
        if length < ROW:
            return _with_pairs(values) if cancels and values.dim() >= IMAGE else values
        turn = turns_of(values[..., :1], 4, 2)
        rows = values.reshape(-1, length)
        is_first = (turn == 1).expand(*values.shape[:-1], 1).reshape(-1)
        is_spiked = torch.ones(rows.shape[0], dtype=torch.bool)
        if rows.shape[0] > 1:
            taken = (turn == 1) | ((turn == 2) & (not cancels))
            is_spiked = taken.expand(*values.shape[:-1], 1).reshape(-1)
        twins = is_first & (torch.arange(rows.shape[0]) % 8 == TWIN)
        places = self._places(length, is_spiked)
        places[twins] = places[twins] // 2 * 2
        is_spike = torch.zeros(rows.shape, dtype=torch.bool).scatter_(1, places, value=True)
        is_spike[:, 1:] |= is_spike[:, :-1] & twins.unsqueeze(1)
        is_spike = (is_spike & is_spiked.unsqueeze(1)).reshape(values.shape)
        size = self._spike()
        size = size if self.domain.highest > 0 else -size
        values = values.masked_fill(is_spike, size)
        if abs(size) == SPIKES[0] and bool(is_spike.any()):
            highest = is_spike.flatten().nonzero()[-1]
            values = with_number(values, highest, HIGHEST * size)
        if not self.domain.has_signs or self.domain.is_unit:
            return values
        if cancels:
            values = torch.where(turn == 2, cancelled(self._thinned(values), places), values)
            is_below = (torch.arange(rows.shape[0]) % 24 == BELOW).reshape(*values.shape[:-1], 1)
            values = with_empty_row(torch.where(is_below & (turn == 2), -values, values))
        return torch.where(turn == 3, values + OFFSETS[self.strength], values)

    def _places(self, length: int, is_spiked: Tensor) -> Tensor:
        """Where each row's spike stands."""
        start = torch.rand(1, generator=self.generator, dtype=torch.float64)
        turns = torch.arange(is_spiked.shape[0], dtype=torch.float64)
        shares = (turns * GOLDEN + start) % 1.0  # spread over any few rows
        shares[1::6] = shares[1::6] * _END  # what a loop is likely to miss: where it starts
        shares[2::6] = 1.0 - shares[2::6] * _END  # and where it ends
        if self.side < 0.0:  # not of all inputs, whose spikes would meet
            shares[1::12], shares[2::12] = 0.0, 1.0  # the very first and last
            shares[is_spiked.nonzero()[-1:]] = 1.0
        return (shares * length).long().clamp_(max=length - 1).unsqueeze(1)

    def _thinned(self, values: Tensor) -> Tensor:
        """Of every other four rows a few elements, lest a sum of them saturates what follows it."""
        rows = values.reshape(-1, values.shape[-1])
        is_thin = (torch.arange(rows.shape[0]) // 4 % 2 == 1).unsqueeze(1)
        lost = torch.rand(rows.shape, generator=self.generator) >= THIN
        return rows.masked_fill(is_thin & lost, 0.0).reshape(values.shape)

    def _spike(self) -> float:
        if self._holds_square_of(SPIKES[0]):
            return SPIKES[0]
        return SPIKES[1] * (HIGHER if self.strength is Strength.FULL else 1.0)

    def _holds_square_of(self, number: float) -> bool:
        return torch.finfo(self.domain.model.dtype).max >= number**2

    def _chance(self) -> Tensor:
        return torch.rand(self.values.shape, generator=self.generator)


def _with_pairs(images: Tensor) -> Tensor:
    """A number and its negative side by side amid a quarter of small images.

    Amid all of them alike, or hardly a window of a convolution would see both of each.
    """
    height, width = images.shape[-2:]
    if width < 2:
        return images
    pair = torch.zeros(height, width, dtype=images.dtype)
    pair[height // 2, width // 2 - 1], pair[height // 2, width // 2] = PAIR, -PAIR
    is_paired = (pair != 0) & (turns_of(images[..., :1, :1], 4, 2) == 2)
    return torch.where(is_paired, pair, images)


def turns_of(tensor: Tensor, count: int, least: int | None = None) -> Tensor:
    """Which of ``count`` turns each slice takes, along the first dimension with room.

    There is room for all turns, or, if there is none, for the first ``least``.
    """
    roomy = [dim for dim, extent in enumerate(tensor.shape) if extent >= count]
    if least and not roomy:
        roomy = [dim for dim, extent in enumerate(tensor.shape) if extent >= least]
    if not roomy:
        return torch.zeros((), dtype=torch.int64)
    shape = [1] * tensor.dim()
    shape[roomy[0]] = -1
    return (torch.arange(tensor.shape[roomy[0]]) % count).reshape(shape)
