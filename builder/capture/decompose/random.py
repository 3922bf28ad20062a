"""Random numbers by the two draws that Inductor has: uniform in [0, 1), and normal."""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor
aten = torch.ops.aten


def uniform(x: Tensor, low: float = 0.0, high: float = 1.0, **_generator: Any) -> Any:
    """``aten.uniform``: uniform in [low, high), of the shape of ``x``."""
    return torch.rand_like(x) * (high - low) + low


def normal_functional(x: Tensor, mean: float = 0.0, std: float = 1.0, **_generator: Any) -> Any:
    """``aten.normal_functional``: normal, of the shape of ``x``."""
    return torch.randn_like(x) * std + mean


def normal_tensors(mean: Any, std: Any = 1.0, **_generator: Any) -> Any:
    """``aten.normal`` with tensors of means, deviations or both."""
    if not isinstance(mean, Tensor):
        return torch.randn_like(std) * std + mean
    if not isinstance(std, Tensor):
        return torch.randn_like(mean) * std + mean
    mean, std = torch.broadcast_tensors(mean, std)
    return torch.randn_like(mean) * std + mean


DECOMPOSITIONS = {
    aten.uniform.default: uniform,
    aten.normal_functional.default: normal_functional,
    aten.normal.Tensor_float: normal_tensors,
    aten.normal.float_Tensor: normal_tensors,
    aten.normal.Tensor_Tensor: normal_tensors,
}
