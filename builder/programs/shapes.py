"""Realistic sizes.

The tables are the dimensions most often seen, with their rounded weights, in operator-input traces
of 155 Hugging Face, timm and torchbench training runs (pytorch-labs/tritonbench, ``input_configs``;
150,445 calls).  To each table a few odd and prime sizes are added, because kernels fail on them
first: class tokens (197, 257, 577), one off a power of two (511, 1023), primes, and sizes people
choose by decimal habit (100, 1000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

Table = tuple[tuple[int, int], ...]

HIDDEN: Table = (
    (768, 24), (1024, 20), (512, 16), (256, 10), (384, 8), (2048, 8), (320, 3), (192, 4), (576, 3),
    (640, 2), (672, 3), (1152, 3), (1280, 3), (1536, 5), (3072, 5), (4096, 8), (100, 1), (257, 2),
    (300, 2), (333, 2), (509, 2), (769, 2), (1000, 3), (1023, 2), (1111, 1), (2047, 1),
)  # fmt: skip
SEQUENCE: Table = (
    (128, 23), (512, 14), (64, 8), (196, 5), (197, 5), (256, 6), (1024, 5), (576, 3), (49, 3),
    (384, 2), (31, 2), (33, 2), (77, 3), (100, 2), (127, 2), (198, 2), (257, 3), (511, 2), (577, 1),
    (2048, 2),
)  # fmt: skip
BATCH: Table = (
    (2, 10), (4, 12), (8, 12), (16, 10), (32, 8), (64, 6), (128, 4), (3, 4), (5, 3), (6, 4), (7, 2),
    (12, 4), (13, 1), (24, 3),
)  # fmt: skip
SPATIAL: Table = (
    (14, 20), (28, 12), (7, 8), (56, 8), (64, 5), (32, 6), (16, 5), (112, 3), (42, 3), (21, 3),
    (11, 3), (17, 3), (19, 2), (35, 2), (40, 2), (20, 2), (24, 2), (48, 2), (8, 3), (12, 2),
    (33, 2), (37, 1),
)  # fmt: skip
CHANNELS: Table = (
    (64, 10), (128, 10), (256, 10), (512, 6), (32, 7), (16, 4), (96, 3), (192, 4), (384, 3),
    (72, 3), (88, 3), (104, 2), (48, 3), (24, 2), (160, 2), (36, 2), (18, 2), (40, 2), (80, 2),
    (320, 2), (1024, 3),
)  # fmt: skip
HEADS: Table = ((12, 10), (8, 8), (16, 6), (4, 5), (6, 3), (2, 2), (3, 2), (10, 1), (32, 1))
HEAD_DIM: Table = ((64, 20), (32, 8), (128, 5), (16, 3), (48, 2), (80, 2), (96, 1))
VOCABULARY: Table = (
    (8192, 4), (16384, 4), (32000, 4), (32768, 3), (30522, 3), (28996, 2), (10000, 3), (8191, 1),
    (21128, 1), (12289, 1),
)  # fmt: skip
CLASSES: Table = (
    (1000, 10),
    (10, 3),
    (100, 4),
    (21, 3),
    (91, 2),
    (80, 2),
    (365, 2),
    (151, 2),
    (527, 1),
)
ROWS: Table = (
    (1024, 8), (2048, 8), (512, 8), (4096, 5), (256, 5), (8192, 3), (1152, 2), (965, 3), (3136, 2),
    (128, 4), (1000, 2), (1537, 1), (777, 1), (509, 2), (2039, 1), (6272, 1), (12544, 1),
)  # fmt: skip
MATMUL: Table = (
    (512, 10), (256, 8), (768, 8), (1024, 6), (384, 4), (640, 2), (320, 2), (288, 1), (576, 2),
    (500, 1), (333, 2), (509, 2), (257, 2), (771, 1),
)  # fmt: skip


def draw(
    rng: Random, table: Table, low: int = 1, high: int | None = None, multiple: int = 1
) -> int:
    """One size of ``table`` in [low, high] that ``multiple`` divides, by weight."""
    fit = [
        (size, weight)
        for size, weight in table
        if low <= size and (high is None or size <= high) and size % multiple == 0
    ]
    if not fit:
        raise ValueError(f"no size in [{low}, {high}] is a multiple of {multiple}")
    sizes, weights = zip(*fit, strict=True)
    return int(rng.choices(sizes, weights)[0])


def fitting(rng: Random, table: Table, budget: int, low: int = 2) -> int:
    """One size of ``table`` that is at most ``budget``, or the budget's power of two below it."""
    smallest = min(size for size, _ in table)
    if budget < max(low, smallest):
        return max(low, 1 << (max(budget, 1).bit_length() - 1))
    return draw(rng, table, low, budget)


def token_batch(rng: Random, hidden: int, budget: int = 1 << 20) -> tuple[int, int]:
    """(batch, sequence) such that batch · sequence · hidden is at most ``budget`` elements."""
    sequence = fitting(rng, SEQUENCE, budget // hidden // 2)
    return fitting(rng, BATCH, budget // (hidden * sequence)), sequence


def image_batch(rng: Random, channels: int, budget: int = 1 << 20) -> tuple[int, int, int]:
    """(batch, height, width) such that the batch of images holds at most ``budget`` elements."""
    side = int((budget / (2 * channels)) ** 0.5)
    height = fitting(rng, SPATIAL, side, low=7)
    width = height if rng.random() < 0.7 else fitting(rng, SPATIAL, side, low=7)
    return fitting(rng, BATCH, budget // (channels * height * width)), height, width


def divisors(number: int, candidates: Iterable[int]) -> list[int]:
    """Those of ``candidates`` that divide ``number``."""
    return [candidate for candidate in candidates if number % candidate == 0]


LARGEST_VARIANT = {"batch": 6, "height": 24, "width": 24, "other": 48}
"""About the largest size of a role in shape variants."""


def other_sizes(rng: Random, declared: int, most: int = 1 << 30) -> tuple[int, int, int]:
    """Three sizes of at least 2 that differ from the declared one: smaller, odd, another.

    Args:
        rng: chooses.
        declared: the size they differ from.
        most: the variants are about as large as this where the declared size is larger.
    """
    size = min(declared, max(most, 4))
    odd = {1: 3, 2: 3, 3: 5}.get(size, size - 1 - size % 2)
    options = (max(2, size // 2), rng.randint(max(2, size // 3), size + 1), size + 2, size + 3)
    small, another = list(dict.fromkeys(n for n in options if n not in {declared, size, odd}))[:2]
    return small, odd, another
