"""Views of tensors whose sizes are symbols."""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor
aten = torch.ops.aten


def unbind(x: Tensor, dim: int = 0) -> Any:
    """``aten.unbind.int``, one dimension fewer whatever its size is called.

    PyTorch's (``torch/_refs/__init__.py``, torch 2.11 to 2.13) squeezes slices of a size of one,
    and keeps the dimension where that is an expression: the first three rows of any number.
    """
    if isinstance(x.shape[dim], int):
        return NotImplemented
    return [x.select(dim, place) for place in range(int(x.shape[dim]))]


DECOMPOSITIONS = {aten.unbind.int: unbind}
