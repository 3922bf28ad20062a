"""Pooling over windows that Inductor leaves to a library, one dimension after the other.

Windows are products of intervals, so a mean over one is a mean of means, and a maximum a maximum of
maxima.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch._prims_common import suggest_memory_format

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


WIDEST_WINDOW = 25
"""Elements of a window that Inductor averages itself (``_avg_poolnd`` of its ``lowering.py``)."""


def avg_pool2d(x: Tensor, kernel_size: Sequence[int], *options: Any, **named: Any) -> Any:
    """``aten.avg_pool2d`` of (..., H, W)."""
    return _avg_pool(2, x, kernel_size, *options, **named)


def avg_pool3d(x: Tensor, kernel_size: Sequence[int], *options: Any, **named: Any) -> Any:
    """``aten.avg_pool3d`` of (..., D, H, W)."""
    return _avg_pool(3, x, kernel_size, *options, **named)


def _avg_pool(
    rank: int,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Sums over windows, divided by their sizes."""
    kernel = _of_rank(kernel_size, rank)
    step, pads = _of_rank(stride or kernel_size, rank), _of_rank(padding, rank)
    if 0 in x.shape or not x.is_floating_point() or math.prod(kernel) <= WIDEST_WINDOW:
        return NotImplemented
    total = x.to(torch.float32) if x.dtype in (torch.float16, torch.bfloat16) else x
    size: Tensor | float = 1.0
    for axis in range(-rank, 0):
        reach = kernel[axis], step[axis], pads[axis]
        places, inside, padded = _strided_windows(x.shape[axis], *reach, ceil_mode, x.device)
        moved = torch.where(inside, total.movedim(axis, -1)[..., places], 0.0)
        total = moved.sum(-1).movedim(-1, axis)
        count = padded if count_include_pad else inside.sum(-1)
        size = size * count.reshape([-1] + [1] * (-1 - axis))
    mean = total / (size if divisor_override is None else divisor_override)
    return mean.to(x.dtype).contiguous(memory_format=suggest_memory_format(x))


def _of_rank(values: Sequence[int], rank: int) -> list[int]:
    return list(values) * rank if len(values) == 1 else list(values)


def _strided_windows(
    size: int, kernel: int, step: int, pad: int, ceil_mode: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Places and mask of each window, of shape (out, kernel), and how many each has with padding.

    As ``aten/src/ATen/native/Pool.h``: with ``ceil_mode`` a last window may reach beyond the
    padding, if it begins before it.
    """
    room = size + 2 * pad - kernel
    out = (-(-room // step) if ceil_mode else room // step) + 1
    if ceil_mode and (out - 1) * step >= size + pad:
        out -= 1
    start = torch.arange(out, device=device) * step - pad
    places = start[:, None] + torch.arange(kernel, device=device)
    inside = (places >= 0) & (places < size)
    padded = (start + kernel).clamp(max=size + pad) - start
    return places.clamp(0, size - 1), inside, padded


DECOMPOSITIONS = {
    aten.avg_pool2d.default: avg_pool2d,
    aten.avg_pool3d.default: avg_pool3d,
    aten._adaptive_avg_pool3d.default: adaptive_avg_pool3d,  # noqa: SLF001
    aten.adaptive_max_pool3d.default: adaptive_max_pool3d,
}
