"""Adaptive pooling over three dimensions, one dimension after the other.

Windows are products of intervals, so a mean over one is a mean of means, and a maximum a maximum of
maxima.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def windows(size: int, out: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Places and mask of each window, of shape (out, widest), and how many each has.

    Window ``i`` is from ``floor(i n / out)`` to ``ceil((i + 1) n / out)``
    (``aten/src/ATen/native/AdaptivePooling.h``).
    """
    number = torch.arange(out, device=device)
    start = number * size // out
    end = ((number + 1) * size + out - 1) // out
    widest = max(-(-(n + 1) * size // out) - n * size // out for n in range(out))
    places = start[:, None] + torch.arange(widest, device=device)
    inside = places < end[:, None]
    return places.clamp(max=size - 1), inside, end - start


def adaptive_avg_pool3d(x: Tensor, output_size: Sequence[int]) -> Any:
    """``aten._adaptive_avg_pool3d`` of (..., D, H, W)."""
    if 0 in x.shape or 0 in output_size:
        return NotImplemented
    for axis, out in zip((-1, -2, -3), reversed(list(output_size)), strict=True):
        x = x.movedim(axis, -1)
        places, inside, count = windows(x.shape[-1], out, x.device)
        parts = torch.where(inside, x[..., places], 0.0)
        x = (parts.sum(-1) / count).movedim(-1, axis)
    return x.contiguous()


def adaptive_max_pool3d(x: Tensor, output_size: Sequence[int]) -> Any:
    """``aten.adaptive_max_pool3d`` of (..., D, H, W): values and places within D * H * W.

    Of equal elements the first counts, so it is looked for from the last dimension on.
    """
    if 0 in x.shape or 0 in output_size:
        return NotImplemented
    depth, height, width = x.shape[-3:]
    index = torch.arange(depth * height * width, device=x.device)
    index = index.reshape(depth, height, width).expand(x.shape)
    for axis, out in zip((-1, -2, -3), reversed(list(output_size)), strict=True):
        x, index = x.movedim(axis, -1), index.movedim(axis, -1)
        places, inside, _ = windows(x.shape[-1], out, x.device)
        parts = torch.where(inside, x[..., places], float("-inf"))
        first = parts.argmax(-1, keepdim=True)
        x = parts.gather(-1, first).squeeze(-1).movedim(-1, axis)
        index = index[..., places].gather(-1, first).squeeze(-1).movedim(-1, axis)
    return x.contiguous(), index.contiguous()


DECOMPOSITIONS = {
    aten._adaptive_avg_pool3d.default: adaptive_avg_pool3d,  # noqa: SLF001
    aten.adaptive_max_pool3d.default: adaptive_max_pool3d,
}
