"""Distances between rows, by differences."""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor
aten = torch.ops.aten


def _norm(difference: Tensor, p: float) -> Tensor:
    """The p-norm over the last dimension."""
    size = difference.abs()
    if p == 0.0:
        return (difference != 0).to(difference.dtype).sum(-1)
    if p == 1.0:
        return size.sum(-1)
    if p == 2.0:
        return difference.square().sum(-1).sqrt()
    if p == float("inf"):
        return size.amax(-1)
    return size.pow(p).sum(-1).pow(1.0 / p)


def cdist(x: Tensor, y: Tensor, p: float, _mode: int | None) -> Any:
    """``aten._cdist_forward``: of all rows of (..., P, M) and (..., R, M), shape (..., P, R)."""
    if 0 in (*x.shape, *y.shape):
        return NotImplemented
    return _norm(x.unsqueeze(-2) - y.unsqueeze(-3), p)


def pdist(x: Tensor, p: float = 2.0) -> Any:
    """``aten._pdist_forward``: of all pairs of different rows of (N, M), shape (N (N - 1) / 2,)."""
    count = x.shape[0]
    if count < 2 or 0 in x.shape:
        return NotImplemented
    row, column = torch.triu_indices(count, count, 1, device=x.device)
    return _norm(x[row] - x[column], p)


def _norm_gradient(difference: Tensor, grad: Tensor, distance: Tensor, p: float) -> Tensor:
    """The gradient of the p-norm over the last dimension, zero where the norm has none.

    The cases are those of ``aten/src/ATen/native/cpu/DistanceOpsKernel.cpp``.
    """
    sign, size = difference.sign(), difference.abs()
    grad, distance = grad.unsqueeze(-1), distance.unsqueeze(-1)
    if p == 0.0:
        return torch.zeros_like(difference)
    if p == 1.0:
        return grad * sign
    if p == float("inf"):
        return torch.where(size == distance, grad * sign, 0.0)
    if p == 2.0:
        slope = grad * difference / distance
    else:
        slope = grad * sign * size.pow(p - 1.0) / distance.pow(p - 1.0)
    return torch.where((distance == 0) | ((size == 0) & (p < 1.0)), 0.0, slope)


def cdist_backward(grad: Tensor, x: Tensor, y: Tensor, p: float, distance: Tensor) -> Any:
    """``aten._cdist_backward``: the gradient of ``x``, of its shape."""
    if 0 in (*x.shape, *y.shape):
        return NotImplemented
    difference = x.unsqueeze(-2) - y.unsqueeze(-3)
    return _norm_gradient(difference, grad, distance, p).sum(-2)


def pdist_backward(grad: Tensor, x: Tensor, p: float, distance: Tensor) -> Any:
    """``aten._pdist_backward``: each row gathers from the pairs that it is in."""
    count = x.shape[0]
    if count < 2 or 0 in x.shape:
        return NotImplemented
    number = torch.arange(count, device=x.device)
    row, column = number.unsqueeze(1), number.unsqueeze(0)
    first, second = torch.minimum(row, column), torch.maximum(row, column)
    pair = first * (2 * count - first - 1) // 2 + second - first - 1
    pair = torch.where(first == second, 0, pair)
    difference = x.unsqueeze(1) - x.unsqueeze(0)
    found = _norm_gradient(difference, grad[pair], distance[pair], p)
    return torch.where((first == second).unsqueeze(-1), 0.0, found).sum(1)


DECOMPOSITIONS = {
    aten._cdist_forward.default: cdist,  # noqa: SLF001 - operators' names begin so
    aten._cdist_backward.default: cdist_backward,  # noqa: SLF001
    aten._pdist_forward.default: pdist,  # noqa: SLF001
    aten._pdist_backward.default: pdist_backward,  # noqa: SLF001
}
