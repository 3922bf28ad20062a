"""The random draws of a lowered graph.

Inductor replaces random operations by draws from Philox, each with a seed of its own
(``torch/_inductor/fx_passes/replace_random.py``); one call makes all seeds.  That is private to
torch; written against torch 2.11 to 2.13, held by ``tests/capture/test_randomness.py``.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch._inductor import inductor_prims as prims

from builder.errors import CaptureRejected

_SEEDS = re.compile(
    r"aten\.randint\.low_out\(-9223372036854775808, 9223372036854775807, \[\d+\], out=\w+\)"
)


UNKNOWN = ("binomial", "poisson", "randperm", "_sample_dirichlet", "_standard_gamma")
"""Random functions of torch for which nobody has Triton."""


@dataclass(frozen=True)
class Draw:
    """One random draw: every element takes the counter of its place among ``size``, row-major.

    Attributes:
        law: ``rand``, uniform in [0, 1); ``randn``, normal; ``randint``.
        size: how many elements, by dimension; a size that varies is a name or an expression.
        dtype: float32, or int64 of integers.
        seed: number of its seed; seeds are numbered in the order of the program's calls.
        low: the least integer; None for floats.
        high: one above the greatest; None for floats.
    """

    law: str
    size: tuple[int | str, ...]
    dtype: str
    seed: int
    low: int | str | None = None
    high: int | str | None = None


def makes_seeds(node: ast.AST) -> bool:
    """Whether a node of an Inductor module is the call that makes its seeds, no computation."""
    return isinstance(node, ast.Call) and _SEEDS.fullmatch(ast.unparse(node)) is not None


def reject_unknown(graph: torch.fx.GraphModule) -> None:
    """Refuses random functions that have no Triton, in a graph as Dynamo traced it.

    Raises:
        CaptureRejected: ``unknown_random``.
    """
    named = {getattr(torch, name): name for name in UNKNOWN}
    found = sorted({named[node.target] for node in graph.graph.nodes if node.target in named})
    methods = {str(node.target) for node in graph.graph.nodes if node.op == "call_method"}
    found += sorted(methods & {"random_", *UNKNOWN})
    if found:
        raise CaptureRejected(
            "unknown_random",
            f"forward draws by {', '.join(found)}, for which there is no Triton; draw by rand, "
            "randn, randint, bernoulli or what follows from these",
        )


def draws(graph: torch.fx.GraphModule) -> tuple[Draw, ...]:
    """The draws of a lowered graph, in the order of their seeds.

    Raises:
        CaptureRejected: ``shared_seed``: two draws have one seed, so that they are not independent.
    """
    found = [draw for node in graph.graph.nodes if (draw := _draw(node)) is not None]
    found.sort(key=lambda draw: draw.seed)
    seeds = [draw.seed for draw in found]
    if len(set(seeds)) < len(seeds):
        raise CaptureRejected(
            "shared_seed", "Inductor draws two tensors from one seed; draw them apart"
        )
    return tuple(found)


def _draw(node: torch.fx.Node) -> Draw | None:
    if node.target is prims.random:
        size, seed, law = node.args[:3]
        return Draw(str(law), _extents(size), "float32", _number(seed))
    if node.target is prims.randint:
        low, high, size, seed = node.args[:4]
        bounds = _extent(low), _extent(high)
        return Draw("randint", _extents(size), "int64", _number(seed), *bounds)
    return None


def _extents(size: Any) -> tuple[int | str, ...]:
    return tuple(_extent(extent) for extent in size)


def _extent(value: Any) -> int | str:
    return value if isinstance(value, int) else str(getattr(value, "meta", {}).get("val", value))


def _number(seed: Any) -> int:
    """The index of the look-up that gave a seed."""
    if getattr(seed, "target", None) is not prims.lookup_seed:
        raise CaptureRejected("random_seed", "a random draw's seed is none that Inductor made")
    return int(seed.args[1])
