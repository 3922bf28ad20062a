"""One tile configuration a template, chosen without a benchmark.

Inductor lists about twenty configurations for a matrix product or convolution and would time them
on the device.  Here they are ranked by a small model of the device instead, and one of the best is
taken by a hash of seed and shape, so that a data set shows many tilings and no toy ones.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.capture.targets import Target

MAX_ACCUMULATORS = 128
"""Accumulators a lane may hold; 255 registers must serve operands and addresses as well."""

MAX_UNROLLED = 1024
"""Multiply-adds a lane may unroll before instruction fetches count."""

MAX_OPERANDS = 384
"""Operands a lane without tensor cores may hold in a step before they spill."""

TOP = 4
"""How many of the best-ranked configurations the seed chooses from."""

SLACK, MOST_SLACK = 1.25, 1.75
"""How much longer than the best one of them may take; the second, if there is no other."""

LONGEST = 16
"""How many times longer than wide a tile may be where there is more than its width."""


@dataclass(frozen=True)
class Product:
    """A matrix product.

    Attributes:
        m: rows of the result.
        n: its columns.
        k: elements of a row that is multiplied.
        itemsize: bytes of one of them.
        batch: how many products there are.
        seen: the three sizes that Inductor shrinks tiles to, where they are others.
        loaded: bytes that are loaded for an element, where it is computed on the way.
    """

    m: int
    n: int
    k: int
    itemsize: int
    batch: int = 1
    seen: tuple[int, int, int] | None = None
    loaded: int = 0


def estimated_cost(config: Any, product: Product, target: Target) -> float:
    """Relative time of a product with that tiling; smaller is better.

    The model is the usual one of wave quantisation (NVIDIA, "Matrix Multiplication Background
    User's Guide"): full waves of tiles over the multiprocessors, each tile paying its
    multiply-adds and its loads, the latter hidden the better the deeper the pipeline.
    """
    block_m, block_n, block_k = _clipped(config, product)
    loaded = max(product.itemsize, product.loaded)
    shared = config.num_stages * (block_m + block_n) * block_k * loaded
    lanes = target.warp_size * config.num_warps
    accumulators = block_m * block_n / lanes
    if shared > target.shared_memory or accumulators > MAX_ACCUMULATORS:
        return math.inf
    if block_m > LONGEST * block_n and product.n > block_n:
        return math.inf  # the rows would be read again for each few of the columns
    tiles = math.ceil(product.m / block_m) * math.ceil(product.n / block_n) * product.batch
    resident = max(1, min(target.shared_memory // max(shared, 1), 16 // config.num_warps, 4))
    waves = math.ceil(tiles / (target.multiprocessors * resident)) * resident
    steps = math.ceil(product.k / block_k)
    multiply = block_m * block_n * block_k / min(1.0, config.num_warps / 4)
    if product.itemsize >= 4:
        # IEEE float32 has no tensor cores: every lane unrolls its multiply-adds of a step and
        # holds their operands.
        operands = 2 * math.sqrt(accumulators) * block_k
        multiply *= 8 * max(1.0, accumulators * block_k / MAX_UNROLLED)
        multiply *= max(1.0, operands / MAX_OPERANDS) ** 2
    multiply *= 1.0 + 2.0 / math.sqrt(accumulators)  # operands are read from shared memory
    load = (block_m + block_n) * block_k * 16 * product.itemsize / min(config.num_stages, 3)
    return waves * (steps * (multiply + load) + block_m * block_n * 8)


def _clipped(config: Any, product: Product) -> tuple[int, int, int]:
    """The tile as Inductor shrinks it to sizes that are smaller."""
    sizes = product.seen or (product.m, product.n, product.k)
    blocks = (config.block_m, config.block_n, config.block_k)
    m, n, k = (
        max(16, min(block, 1 << (size - 1).bit_length()))
        for block, size in zip(blocks, sizes, strict=True)
    )
    return m, n, k


def choose(
    configs: Sequence[Any], product: Product, target: Target, seed: int, rank: int = 0
) -> list[Any]:
    """One configuration as a list, or none if none was offered.

    Args:
        configs: objects with ``block_m``, ``block_n``, ``block_k``, ``num_stages``, ``num_warps``.
        product: what is to be computed.
        target: the described GPU.
        seed: spreads the choice among the ``TOP`` best.
        rank: how many places further the choice goes, so that another rank gives another one.
    """
    costs = [estimated_cost(config, product, target) for config in configs]
    usable = [index for index, cost in enumerate(costs) if math.isfinite(cost)]
    ranked = sorted(usable, key=lambda index: (costs[index], index))[:TOP]
    if not ranked:
        return list(configs[:1])
    best = _nearly_best([costs[index] for index in ranked])
    digest = hashlib.sha256(f"{seed}/{product.m}/{product.n}/{product.k}".encode()).digest()
    return [configs[ranked[(digest[0] % best + rank) % len(ranked)]]]


def _nearly_best(costs: Sequence[float]) -> int:
    """How many of the ranked costs are near enough to the first."""
    near = sum(cost <= SLACK * costs[0] for cost in costs)
    return 2 if near == 1 and costs[1:] and costs[1] <= MOST_SLACK * costs[0] else near
