"""Results of a graph that is never computed: tensors of the right geometry, without its values."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch._subclasses import FakeTensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class _Geometry:
    size: tuple[Any, ...]
    stride: tuple[Any, ...]
    dtype: torch.dtype
    device: torch.device

    def empty(self) -> torch.Tensor:
        return torch.empty_strided(self.size, self.stride, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class _Argument:
    """A result that is an argument, handed back."""

    position: int
    geometry: _Geometry | None


def _geometry(value: torch.Tensor) -> _Geometry:
    return _Geometry(tuple(value.size()), tuple(value.stride()), value.dtype, value.device)


def result_plan(gm: torch.fx.GraphModule) -> list[Any]:
    """For each result of a graph: the argument it is, its geometry, or a number or None itself."""
    placeholders = [node for node in gm.graph.nodes if node.op == "placeholder"]

    def plan(node: Any) -> Any:
        if not isinstance(node, torch.fx.Node):
            return node
        value = node.meta["val"]
        is_tensor = isinstance(value, torch.Tensor)
        if node in placeholders:
            position = placeholders.index(node)
            return _Argument(position, _geometry(value) if is_tensor else None)
        return _geometry(value) if is_tensor else value

    results: Any = gm.graph.output_node().args[0]
    return [plan(node) for node in results]


def as_laid_out(plan: Sequence[Any], strides: Sequence[tuple[int, ...] | None]) -> list[Any]:
    """The plan with the strides that Inductor chose.

    What it saves for backward it may pad, and of an argument it may save a copy that it made for a
    convolution, with channels last.
    """
    if len(plan) != len(strides):
        return list(plan)
    return [_laid_out(item, own) for item, own in zip(plan, strides, strict=True)]


def _laid_out(item: Any, strides: tuple[int, ...] | None) -> Any:
    geometry = item.geometry if isinstance(item, _Argument) else item
    if strides is None or not isinstance(geometry, _Geometry) or geometry.stride == strides:
        return item
    return replace(geometry, stride=strides)


def stand_ins(plan: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Results of a graph that was never computed: right geometry, each with its own storage.

    They are symbolic where the arguments are.
    """
    fake = next((value for value in arguments if isinstance(value, FakeTensor)), None)

    def stand_in(item: Any) -> Any:
        if isinstance(item, _Argument):
            return arguments[item.position]
        return item.empty() if isinstance(item, _Geometry) else item

    with fake.fake_mode if fake is not None else contextlib.nullcontext():
        return [stand_in(item) for item in plan]
