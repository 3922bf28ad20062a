"""Random graphs of operators, over tokens, rows, images and matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from builder.programs.draft import Draft
from builder.programs.families.pointwise import image_sizes, token_sizes
from builder.programs.families.registry import family
from builder.programs.shapes import HIDDEN, ROWS, draw

if TYPE_CHECKING:
    from random import Random


Uses = Mapping[tuple[str, ...], int]
NOTHING: Uses = MappingProxyType({})
_VARY = 0.8
_OF_IMAGES = {"convolution": 3.0, "pooling": 2.5, "product": 0.5}
_SHARE = 6
"""In each round of families; all others occur once."""


@family(level=3, share=_SHARE, is_steered=True)
def token_graph(rng: Random, used: Uses = NOTHING) -> Draft:
    """Operators over a batch of sequences."""
    return _tokens(rng, used, length(rng), {"product": 2.0, "normalise": 1.5, "token": 1.5})


@family(level=4, share=_SHARE, is_steered=True)
def token_network(rng: Random, used: Uses = NOTHING) -> Draft:
    """Many operators over a batch of sequences."""
    return _tokens(rng, used, length(rng, 25.0), {"product": 2.5, "normalise": 2.0}, budget=1 << 18)


@family(level=3, share=_SHARE, is_steered=True)
def image_graph(rng: Random, used: Uses = NOTHING) -> Draft:
    """Operators over a batch of images."""
    return _images(rng, used, length(rng))


@family(level=4, share=_SHARE, is_steered=True)
def image_network(rng: Random, used: Uses = NOTHING) -> Draft:
    """Many operators over a batch of images."""
    return _images(rng, used, length(rng, 20.0), budget=1 << 17)


@family(level=3, share=_SHARE, is_steered=True)
def row_graph(rng: Random, used: Uses = NOTHING) -> Draft:
    """Operators over the rows of a matrix."""
    weights = {"reduction": 2.0, "normalise": 2.0, "product": 1.5}
    return _rows(rng, used, length(rng), weights)


@family(level=3, share=_SHARE, is_steered=True)
def product_graph(rng: Random, used: Uses = NOTHING) -> Draft:
    """Products of matrices, and a few operators around them."""
    weights = {"product": 8.0, "activation": 2.0, "binary": 2.0}
    return _rows(rng, used, length(rng, 5.0), weights)


@family(level=2, share=_SHARE, is_steered=True)
def elementwise_graph(rng: Random, used: Uses = NOTHING) -> Draft:
    """Elementwise operators alone."""
    return _tokens(
        rng, used, length(rng, 6.0, 24), dict.fromkeys(_OTHER_THEMES, 0.02), budget=1 << 20
    )


@family(level=1, share=_SHARE, is_steered=True)
def operator(rng: Random, used: Uses = NOTHING) -> Draft:
    """One operator, or two."""
    draw_one = rng.choice((_tokens, _images, _rows))
    few = {"layout": 0.1, "cast": 0.3, "index": 0.5}  # alone they only move data
    return draw_one(rng, used, rng.choice((1, 1, 1, 2)), few)


_OTHER_THEMES = (
    "normalise", "reduction", "scan", "sort", "layout", "index", "product", "token",
)  # fmt: skip


def length(rng: Random, middle: float = 7.4, longest: int = 60) -> int:
    """How many operators: log-normal around ``middle``, half of all within a factor of 1.8."""
    return max(1, min(longest, round(middle * math.exp(rng.gauss(0.0, 0.9)))))


def _drawn(
    rng: Random,
    used: Uses,
    draft: Draft,
    dims: str,
    count: int,
    weights: Mapping[str, float],
) -> Draft:
    """The draft with its graph; only such programs need torch to be drawn."""
    from builder.programs.compose.graphs import draw_graph  # noqa: PLC0415

    draw_graph(rng, draft, dims, count, weights, used)
    return draft


def _tokens(
    rng: Random, used: Uses, count: int, weights: Mapping[str, float], budget: int = 1 << 19
) -> Draft:
    draft = Draft(rng)
    dims = token_sizes(draft, budget=budget, multiple=2, high=1024)
    draft.vary("batch", "seq", chance=_VARY)
    return _drawn(rng, used, draft, dims, count, weights)


def _rows(rng: Random, used: Uses, count: int, weights: Mapping[str, float]) -> Draft:
    draft = Draft(rng)
    draft.size("rows", draw(rng, ROWS, high=2048))
    draft.size("hidden", draw(rng, HIDDEN, high=1024))
    draft.vary("rows", chance=_VARY)
    return _drawn(rng, used, draft, "rows hidden", count, weights)


def _images(
    rng: Random,
    used: Uses,
    count: int,
    weights: Mapping[str, float] = _OF_IMAGES,
    budget: int = 1 << 18,
) -> Draft:
    draft = Draft(rng)
    dims = image_sizes(draft, rng.choice((16, 24, 32, 64, 12)), budget=budget)
    draft.vary("batch", "height", "width", chance=_VARY)
    return _drawn(rng, used, draft, dims, count, {**_OF_IMAGES, **weights})
