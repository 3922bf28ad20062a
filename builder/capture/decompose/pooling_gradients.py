"""Gradients of pooling that Inductor leaves to a library."""

from __future__ import annotations

import math
from typing import Any

import torch

from builder.capture.decompose.pooling import windows

Tensor = torch.Tensor
aten = torch.ops.aten


def _returned(grad: Tensor, x: Tensor, places: Tensor, rank: int) -> Any:
    """Each window's gradient, added to the place within the last ``rank`` dimensions it is of."""
    if not x.numel() or not grad.numel():
        return NotImplemented
    lead = x.shape[: x.dim() - rank]
    zeros = grad.new_zeros((*lead, math.prod(x.shape[x.dim() - rank :])))
    found = zeros.scatter_add(-1, places.reshape(*lead, -1), grad.reshape(*lead, -1))
    return found.reshape(x.shape)


def max_pool3d_backward(grad: Tensor, x: Tensor, *options: Any) -> Any:
    """``aten.max_pool3d_with_indices_backward``; the last option is the maxima's places."""
    return _returned(grad, x, options[-1], 3)


def max_pool2d_backward(grad: Tensor, x: Tensor, *options: Any) -> Any:
    """Gradients of adaptive and fractional maxima over two dimensions."""
    return _returned(grad, x, options[-1], 2)


def _adaptive_gradient(grad: Tensor, x: Tensor, rank: int) -> Any:
    """A mean gives each element of its window the same share, one dimension after the other."""
    if not x.numel() or not grad.numel():
        return NotImplemented
    for axis in range(-rank, 0):
        size, out = x.shape[axis], grad.shape[axis]
        places, inside, count = windows(size, out, x.device)
        start, end = places[:, :1], places[:, :1] + inside.sum(1, keepdim=True)
        number = torch.arange(size, device=x.device)
        share = ((number >= start) & (number < end)) / count.unsqueeze(1)
        spread = grad.movedim(axis, -1).unsqueeze(-1) * share.to(grad.dtype)
        grad = spread.sum(-2).movedim(-1, axis)
    return grad.contiguous()


def adaptive_avg_pool2d_backward(grad: Tensor, x: Tensor) -> Any:
    """``aten._adaptive_avg_pool2d_backward`` of (..., H, W)."""
    return _adaptive_gradient(grad, x, 2)


def adaptive_avg_pool3d_backward(grad: Tensor, x: Tensor) -> Any:
    """``aten._adaptive_avg_pool3d_backward`` of (..., D, H, W)."""
    return _adaptive_gradient(grad, x, 3)


DECOMPOSITIONS = {
    aten._adaptive_avg_pool2d_backward.default: adaptive_avg_pool2d_backward,  # noqa: SLF001
    aten._adaptive_avg_pool3d_backward.default: adaptive_avg_pool3d_backward,  # noqa: SLF001
    aten.adaptive_max_pool2d_backward.default: max_pool2d_backward,
    aten.adaptive_max_pool3d_backward.default: max_pool3d_backward,
    aten.fractional_max_pool2d_backward.default: max_pool2d_backward,
    aten.fractional_max_pool3d_backward.default: max_pool3d_backward,
    aten.max_pool3d_with_indices_backward.default: max_pool3d_backward,
}
