"""The random numbers that a Triton module should draw, computed anew.

A module's text says how: ``random_seeds`` makes the seed of each random call from the caller's by
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), and an
element takes what ``tl.rand``, ``tl.randn`` or 64 bits of ``tl.randint4x`` give for that seed and
its place, that is Philox 4x32 with ten rounds (Salmon, Moraes, Dror and Shaw, "Parallel random
numbers: as easy as 1, 2, 3", 2011).  Nothing here is shared with what it is compared with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

Tensor = torch.Tensor

_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_SCALE = 4.6566127342e-10
"""What ``tl.rand`` multiplies 31 bits by: the largest float32 that keeps it below one."""
_LEAST = 1.0e-7
"""What ``tl.randn`` takes the logarithm of at least."""
_CHUNK = 1 << 18


def call_seed(seed: int, index: int) -> int:
    """The seed of a program's random call: the output of SplitMix64, halved to 63 bits.

    Args:
        seed: the caller's.
        index: calls are counted from 0, in the program's order.
    """
    state = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _LONG
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _LONG
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _LONG
    return (state ^ (state >> 31)) >> 1


def words(seed: int, count: int) -> Iterator[Tensor]:
    """Four words of 32 bits for each counter from 0 to below ``count``.

    Yields:
        int64 of shape (4, n), part by part, the last or only one perhaps empty.
    """
    for start in range(0, count + 1, _CHUNK):
        yield _philox(torch.arange(start, min(start + _CHUNK, count)), seed)


def _philox(counter: Tensor, seed: int) -> Tensor:
    zero = torch.zeros_like(counter)
    state = [counter & _WORD, zero, zero, zero]
    keys = [seed & _WORD, seed >> 32 & _WORD]
    for _ in range(_ROUNDS):
        (high_a, low_a), (high_b, low_b) = (
            _product(state[2 * i], _MULTIPLIERS[i]) for i in range(2)
        )
        state = [high_b ^ state[1] ^ keys[0], low_b, high_a ^ state[3] ^ keys[1], low_a]
        keys = [(key + step) & _WORD for key, step in zip(keys, _WEYL, strict=True)]
    return torch.stack(state)


def _product(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """The upper and lower half of a product of 32-bit words; int64 holds its bits, if not its
    sign.
    """
    product = word * factor
    return product >> 32 & _WORD, product & _WORD


def uniform(word: Tensor) -> Tensor:
    """A word as ``tl.rand`` makes it a float32 in [0, 1)."""
    signed = torch.where(word > _WORD >> 1, _WORD - word, word)  # -x - 1 of a negative x
    return signed.to(torch.float32) * torch.tensor(_SCALE, dtype=torch.float32)


def normal(first: Tensor, second: Tensor) -> Tensor:
    """Two uniform numbers as ``tl.randn`` makes them normal (Box and Muller, 1958)."""
    angle = second * (2.0 * math.pi)
    return torch.sqrt(-2.0 * torch.log(first.clamp(min=_LEAST))) * torch.cos(angle)


def integers(word: Tensor, upper: Tensor, low: int, high: int) -> Tensor:
    """Two words, the lower first, as an integer from ``low`` to below ``high``: their remainder.

    Args:
        word: lower 32 bits.
        upper: upper 32 bits.
        low: the least integer.
        high: one above the greatest; ``high - low`` is below 2^63.
    """
    size = high - low
    # 64 bits without a sign, in halves: 2 * (x // 2) + x % 2.
    half = (upper << 31) | (word >> 1)
    rest = half % size
    doubled = torch.where(rest >= size - rest, rest - (size - rest), rest + rest)
    return (doubled + (word & 1) % size) % size + low
