"""Per-item random generators: a function of (root seed, index, stage) and of nothing else."""

from __future__ import annotations

import hashlib
from random import Random


def item_seed(root_seed: int, index: int, stage: str) -> int:
    """A 64-bit seed for one stage of one item."""
    digest = hashlib.sha256(f"{root_seed}/{index}/{stage}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def item_rng(root_seed: int, index: int, stage: str) -> Random:
    """A generator of its own for one stage of one item."""
    return Random(item_seed(root_seed, index, stage))  # noqa: S311 - data, not cryptography
