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


DECOMPOSITIONS = {
    aten._cdist_forward.default: cdist,  # noqa: SLF001 - operators' names begin so
    aten._pdist_forward.default: pdist,  # noqa: SLF001
}
