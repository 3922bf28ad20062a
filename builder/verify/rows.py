"""Rows of drawn values in which something stands that a wrong sum or maximum misses."""

from __future__ import annotations

import torch

Tensor = torch.Tensor

ROW = 8
"""Elements of the shortest row that has a spike."""
IMAGE = 4
"""Dimensions of the tensors whose rows are those of images."""
CANCELLING = 2.0**12  # beside what lies on the grid, more than float16 or bfloat16 hold


def with_number(values: Tensor, place: Tensor, number: float) -> Tensor:
    """The same with a number at one place of the elements in their order."""
    return values.flatten().index_fill(0, place, number).reshape(values.shape)


def cancelled(values: Tensor, places: Tensor) -> Tensor:
    """Rows with a number and its negative, half a row on, or beside it in an image's window."""
    rows = values.reshape(-1, values.shape[-1])
    away = 1 if values.dim() >= IMAGE else rows.shape[1] // 2
    opposite = (places + away) % rows.shape[1]
    both = torch.cat((places, opposite), 1)
    given = torch.tensor([[CANCELLING, -CANCELLING]], dtype=values.dtype)
    return rows.scatter(1, both, given.expand(both.shape)).reshape(values.shape)


def with_empty_row(values: Tensor) -> Tensor:
    """The first row, which has no spike, of zeros, if there are others."""
    rows = values.reshape(-1, values.shape[-1])
    if rows.shape[0] < ROW:
        return values
    return torch.cat((torch.zeros_like(rows[:1]), rows[1:])).reshape(values.shape)
