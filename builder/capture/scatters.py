"""Scatters that Inductor leaves to a library, or cannot lower without the device's driver.

Reaches into private parts of torch 2.11 to 2.13; ``tests/capture/test_scatters.py`` fails if one of
the seams moves.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch.fx
from torch._inductor import lowering
from torch._inductor.fx_passes import reinplace
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def scatters_in_triton() -> Iterator[None]:
    """Lowers additions of 64-bit integers at an index to atomics, and scatters of scatters."""
    needs_fallback = lowering.needs_fallback_due_to_atomic_add_limitations
    use_fallback = lowering.use_scatter_fallback

    def needs_fallback_of(dtype: torch.dtype) -> bool:
        return bool(needs_fallback(_as_atomic(dtype)))

    def use_fallback_of(
        op: Any, reduction: Any, own: torch.dtype, source: torch.dtype, *rest: Any
    ) -> bool:
        return bool(use_fallback(op, reduction, _as_atomic(own), _as_atomic(source), *rest))

    with (
        mock.patch.object(
            lowering, "needs_fallback_due_to_atomic_add_limitations", needs_fallback_of
        ),
        mock.patch.object(lowering, "use_scatter_fallback", use_fallback_of),
        _without_driver(),
    ):
        yield


def _as_atomic(dtype: torch.dtype) -> torch.dtype:
    """The type that stands for this one where Inductor asks what atomics there are.

    ``torch/_inductor/utils.py`` excludes int64, which Triton adds atomically on every target.
    """
    return torch.int32 if dtype == torch.int64 else dtype


@contextlib.contextmanager
def _without_driver() -> Iterator[None]:
    theirs = reinplace._inplace_generalized_scatter  # noqa: SLF001
    before = theirs.__code__
    theirs.__code__ = _generalized_scatter.__code__
    try:
        yield
    finally:
        theirs.__code__ = before


def _generalized_scatter(inp: Any, src: Any, view_ops: Sequence[Any]) -> Any:
    """As the function of that name in ``torch/_inductor/fx_passes/reinplace.py``.

    That one calls the method ``copy_``, whose binding asks for the device's driver; the operator
    does not.  Its code is put into theirs, which graphs hold, and finds its names there.
    """
    view = inp
    for step in view_ops:
        args, kwargs = pytree.tree_map(
            lambda node: node.meta["val"] if isinstance(node, torch.fx.Node) else node,
            (step.args, step.kwargs),
        )
        view = step.target(view, *args, **kwargs)
    torch.ops.aten.copy_.default(view, src)
    return inp
