"""Gradients of padding that Inductor leaves to a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def replication_pad_backward(grad: Tensor, x: Tensor, padding: Sequence[int]) -> Any:
    """``aten.replication_pad1d_backward`` and those of two and three dimensions.

    An element gathers from every place that repeats it, one dimension after the other.
    """
    if not x.numel() or not grad.numel():
        return NotImplemented
    for number, before in enumerate(padding[::2]):
        axis = -1 - number
        size, out = x.shape[axis], grad.shape[axis]
        source = (torch.arange(out, device=x.device) - before).clamp(0, size - 1)
        repeats = source.unsqueeze(1) == torch.arange(size, device=x.device)
        spread = torch.where(repeats, grad.movedim(axis, -1).unsqueeze(-1), 0.0)
        grad = spread.sum(-2).movedim(-1, axis)
    return grad.contiguous()


DECOMPOSITIONS = {
    aten.replication_pad1d_backward.default: replication_pad_backward,
    aten.replication_pad2d_backward.default: replication_pad_backward,
    aten.replication_pad3d_backward.default: replication_pad_backward,
}
