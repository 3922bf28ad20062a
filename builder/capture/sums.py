"""Sums of two matrix products: Inductor's template for them has no tile for few summands.

``torch/_inductor/template_heuristics/triton.py`` (torch 2.11 to 2.13) allows it only blocks that
are shorter than the dimension that is summed over, and the shortest block is 16.  Gradients of a
shared weight are such sums.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch._inductor.kernel import mm_plus_mm
from torch._inductor.lowering import lowerings
from torch._inductor.virtualized import V

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHORTEST_BLOCK = 16

aten = torch.ops.aten


def _tuned(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def tuned_mm_plus_mm(a: Any, b: Any, c: Any, d: Any, *, layout: Any = None) -> Any:
        summed = a.get_size()[-1]
        if V.graph.sizevars.statically_known_gt(summed, SHORTEST_BLOCK):
            return theirs(a, b, c, d, layout=layout)
        return lowerings[aten.add](lowerings[aten.mm](a, b), lowerings[aten.mm](c, d))

    return tuned_mm_plus_mm


@contextlib.contextmanager
def short_sums_apart() -> Iterator[None]:
    """Lowers those for which there is no tile as two products and an addition."""
    tuned = _tuned(mm_plus_mm.tuned_mm_plus_mm)
    with mock.patch.object(mm_plus_mm, "tuned_mm_plus_mm", tuned):
        yield
