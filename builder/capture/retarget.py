"""Moves a graph that was traced on the CPU to the described GPU.

Reaches into private parts of torch 2.11 to 2.13, held by ``tests/capture/test_inductor.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils import _pytree as pytree

from builder.capture.device import CUDA
from builder.capture.sizes import is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NO_DRIVER = "not linked with support for cuda"


def fake_mode(gm: torch.fx.GraphModule) -> FakeTensorMode:
    for node in gm.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, FakeTensor):
            return value.fake_mode
    return FakeTensorMode()


class OnGpu(FakeTensorProp):
    """Propagates the fake values of the GPU; what would ask its driver has the CPU's, moved.

    Python's bindings of indexing and of ``copy_`` hold a device guard, which a torch that is not
    built for the device refuses.
    """

    def __init__(
        self,
        gm: torch.fx.GraphModule,
        mode: FakeTensorMode | None = None,
        moved: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        super().__init__(gm, mode=mode)
        self._moved = moved
        self._known: Any = None

    def run_node(self, n: torch.fx.Node) -> Any:
        self._known = n.meta.get("val")
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        try:
            return super().call_function(target, args, kwargs)
        except RuntimeError as error:
            sizes = [
                t.size() for t in pytree.tree_leaves(self._known) if isinstance(t, torch.Tensor)
            ]
            is_fixed = all(is_known(extent) for size in sizes for extent in size)
            if _NO_DRIVER not in str(error) or not sizes or not is_fixed:
                raise
            return pytree.tree_map(self._moved, self._known)


def retarget(gm: torch.fx.GraphModule, inputs: Sequence[Any]) -> tuple[list[Any], FakeTensorMode]:
    """Moves a CPU graph to the described GPU: device arguments, then every node's fake value."""
    mode = fake_mode(gm)

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        with mode:
            return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=CUDA)

    def renamed(argument: Any) -> Any:
        return CUDA if isinstance(argument, torch.device) else argument

    for node in gm.graph.nodes:
        node.args = torch.fx.node.map_aggregate(node.args, renamed)
        node.kwargs = torch.fx.node.map_aggregate(node.kwargs, renamed)
    for inner in _inner_graphs(gm):
        for node in inner.graph.nodes:
            node.args = torch.fx.node.map_aggregate(node.args, renamed)
            node.kwargs = torch.fx.node.map_aggregate(node.kwargs, renamed)
            node.meta["val"] = pytree.tree_map(moved, node.meta.get("val"))
        inner.recompile()
    on_gpu = [moved(value) for value in inputs]
    OnGpu(gm, mode, moved).propagate_dont_convert_inputs(*on_gpu)
    gm.recompile()
    return on_gpu, mode


def _inner_graphs(gm: torch.fx.GraphModule) -> list[torch.fx.GraphModule]:
    """The graphs that a graph's operators call: modifiers of scores, branches, bodies of loops."""
    modules = [module for module in gm.modules() if module is not gm]
    return [module for module in modules if isinstance(module, torch.fx.GraphModule)]
