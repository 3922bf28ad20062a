"""The table of decompositions that graphs are traced with.

``torch._inductor.decomposition`` is private; written against torch 2.11 to 2.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch._inductor.decomposition import select_decomp_table

from builder.capture.decompose import (
    averages,
    convolution,
    distance,
    ordering,
    padding,
    pooling,
    pooling_gradients,
    products,
    random,
    scatter,
    special,
    views,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MODULES = (
    averages,
    convolution,
    distance,
    ordering,
    padding,
    pooling,
    pooling_gradients,
    products,
    random,
    scatter,
    special,
    views,
)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Inductor's own table, and ours over it."""
    table = dict(select_decomp_table())
    for module in _MODULES:
        table.update(module.DECOMPOSITIONS)
    for operation, ours in products.EXTENSIONS.items():
        table[operation] = _extended(ours, table.get(operation))
    return table


def _extended(ours: Callable[..., Any], theirs: Callable[..., Any] | None) -> Callable[..., Any]:
    def decomposition(*args: Any, **kwargs: Any) -> Any:
        found = ours(*args, **kwargs)
        if found is NotImplemented and theirs is not None:
            return theirs(*args, **kwargs)
        return found

    return decomposition
