"""Single elements, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def place(flat: int, tensor: Tensor) -> tuple[int, ...]:
    """The indices of an element by its number."""
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), tensor.shape))


def item(tensor: Tensor, at: tuple[int, ...]) -> str:
    """An element, for people."""
    value = tensor[at].item()
    return f"{value:.9g}" if isinstance(value, float) else str(value)
