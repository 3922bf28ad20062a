"""What Inductor asks of the graphs that an operator calls, answered for a described GPU.

Parts of ``torch/_inductor/fx_utils.py`` are private; written against torch 2.11 to 2.13, held by
``tests/capture/test_subgraphs.py``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch.fx
from torch._inductor import fx_utils

if TYPE_CHECKING:
    from collections.abc import Iterator

_SELECT = torch.ops.aten.select.int
_EXTRACT = "_extract_subgraphs_and_args"


@contextlib.contextmanager
def without_driver() -> Iterator[None]:
    """Lets Inductor find what an associative scan's function is called with.

    Since torch 2.13 it takes the first slices of the arguments by indexing, whose binding asks for
    the device's driver.
    """
    theirs: Any = getattr(fx_utils, _EXTRACT, None)
    if theirs is None:
        yield
        return

    def extracted(node: torch.fx.Node, known: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if node.target is not torch.ops.higher_order.associative_scan:
            yield from theirs(node, known, *args, **kwargs)
            return
        slices = [_SELECT(x, 0, 0) for x in args[1]]
        yield args[0], (*slices, *slices, *args[2])

    with mock.patch.object(fx_utils, _EXTRACT, extracted):
        yield


def without_fallbacks(gm: torch.fx.GraphModule) -> None:
    """Removes the marks by which PyTorch's own code asks for library calls, in place.

    ``create_block_mask`` marks its sort so.
    """
    for node in gm.graph.nodes:
        node.meta.get("custom", {}).pop("fallback_to_eager", None)
