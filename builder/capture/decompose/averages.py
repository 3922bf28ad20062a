"""Average pooling that Inductor leaves to a library: of large windows, or tersely given.

Windows are products of intervals, so a sum over one is a sum of sums, one dimension after the
other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten

_MOST_PLACES = 25
"""The largest window that Inductor's own pooling unrolls (``torch/_inductor/lowering.py``, torch
2.11 to 2.13)."""
_MOST_WINDOWS = {2: 25, 3: 125}
"""How many windows of one place its gradient unrolls, by dimensions."""
_DEFAULTS: tuple[Any, ...] = ((), (0,), False, True, None)


@dataclass(frozen=True)
class Window:
    """The windows along one dimension.

    Attributes:
        kernel: places of each.
        stride: from one to the next.
        padding: zeros before the first place, and behind the last.
        ceil_mode: a last window may reach beyond the padding.
    """

    kernel: int
    stride: int
    padding: int
    ceil_mode: bool

    @property
    def overlapping(self) -> int:
        """In how many windows a place is, at most."""
        return -(-self.kernel // self.stride)

    def number(self, size: int) -> int:
        """How many there are (``pooling_output_shape`` of ``aten/src/ATen/native/Pool.h``)."""
        rest = size + 2 * self.padding - self.kernel
        if not self.ceil_mode:
            return rest // self.stride + 1
        found = -(-rest // self.stride) + 1
        return found - ((found - 1) * self.stride >= size + self.padding)

    def sums(self, x: Tensor) -> Tensor:
        """The sum of each window over the last dimension."""
        start = self._starts(x.shape[-1], x.device)
        places = start[:, None] + torch.arange(self.kernel, device=x.device)
        return _sums_at(x, places, places >= 0)

    def returned(self, grad: Tensor, size: int) -> Tensor:
        """The transpose of ``sums``: for each place the sum over the windows that it is in."""
        place = torch.arange(size, device=grad.device)[:, None] + self.padding
        windows = place // self.stride - torch.arange(self.overlapping, device=grad.device)
        return _sums_at(
            grad, windows, (windows >= 0) & (windows * self.stride + self.kernel > place)
        )

    def counts(self, size: int, device: torch.device, *, padded: bool) -> Tensor:
        """How many places each window has, of the padding, too, if that is ``padded``
        (``aten/src/ATen/native/cpu/AvgPoolKernel.cpp``).
        """
        start = self._starts(size, device)
        end = (start + self.kernel).clamp(max=size + self.padding if padded else size)
        return end - (start if padded else start.clamp(min=0))

    def _starts(self, size: int, device: torch.device) -> Tensor:
        return torch.arange(self.number(size), device=device) * self.stride - self.padding


def _sums_at(x: Tensor, places: Tensor, inside: Tensor) -> Tensor:
    inside = inside & (places < x.shape[-1])
    return torch.where(inside, x[..., places.clamp(0, x.shape[-1] - 1)], 0.0).sum(-1)


@dataclass(frozen=True)
class Pooling:
    """The options of an average pooling over some dimensions, the last ones of a tensor."""

    windows: tuple[Window, ...]
    padded: bool
    divisor: int | None

    @classmethod
    def of(cls, rank: int, kernel: Sequence[int], *options: Any) -> Pooling:
        """From the arguments of ``aten.avg_pool2d`` and ``aten.avg_pool3d``."""
        stride, padding, ceil_mode, padded, divisor = (*options, *_DEFAULTS[len(options) :])
        kernels, strides, paddings = (
            _of_rank(values, rank) for values in (kernel, stride or kernel, padding)
        )
        windows = tuple(
            Window(kernels[axis], strides[axis], paddings[axis], ceil_mode) for axis in range(rank)
        )
        return cls(windows, padded, divisor)

    def means(self, x: Tensor) -> Tensor:
        """The mean of each window."""
        found = _wide(x)
        for axis, window in self._axes():
            found = window.sums(found.movedim(axis, -1)).movedim(-1, axis)
        return self._divided(found, x).to(x.dtype).contiguous()

    def gradient(self, grad: Tensor, x: Tensor) -> Tensor:
        """The gradient of ``x``, from that of its means."""
        found = self._divided(_wide(grad), x)
        for axis, window in self._axes():
            found = window.returned(found.movedim(axis, -1), x.shape[axis]).movedim(-1, axis)
        return found.to(x.dtype).contiguous()

    def _axes(self) -> list[tuple[int, Window]]:
        return list(enumerate(self.windows, -len(self.windows)))

    def _divided(self, of_windows: Tensor, x: Tensor) -> Tensor:
        """A value of each window of ``x`` divided by what its mean is divided by."""
        if self.divisor is not None:
            return of_windows / self.divisor
        for axis, window in self._axes():
            count = window.counts(x.shape[axis], x.device, padded=self.padded)
            of_windows = of_windows / count.reshape(-1, *[1] * (-axis - 1))
        return of_windows


def _of_rank(values: Sequence[int], rank: int) -> list[int]:
    return list(values) * rank if len(values) == 1 else list(values)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _pooled(x: Tensor, rank: int, kernel: Sequence[int], *options: Any) -> Any:
    pooling = Pooling.of(rank, kernel, *options)
    is_small = math.prod(window.kernel for window in pooling.windows) <= _MOST_PLACES
    is_apart = all(window.kernel == window.stride for window in pooling.windows)
    if is_small or is_apart or not x.numel() or not x.is_floating_point():
        return NotImplemented
    return pooling.means(x)


def _returned(grad: Tensor, x: Tensor, rank: int, kernel: Sequence[int], *options: Any) -> Any:
    pooling = Pooling.of(rank, kernel, *options)
    is_terse = any(0 < len(values) < rank for values in (kernel, *options[:2]))
    is_small = math.prod(window.overlapping for window in pooling.windows) <= _MOST_WINDOWS[rank]
    if (is_small and not is_terse) or not grad.numel():
        return NotImplemented
    return pooling.gradient(grad, x)


def avg_pool2d(x: Tensor, *options: Any) -> Any:
    """``aten.avg_pool2d`` of (..., H, W)."""
    return _pooled(x, 2, *options)


def avg_pool3d(x: Tensor, *options: Any) -> Any:
    """``aten.avg_pool3d`` of (..., D, H, W)."""
    return _pooled(x, 3, *options)


def avg_pool2d_backward(grad: Tensor, x: Tensor, *options: Any) -> Any:
    """``aten.avg_pool2d_backward`` of (..., H, W)."""
    return _returned(grad, x, 2, *options)


def avg_pool3d_backward(grad: Tensor, x: Tensor, *options: Any) -> Any:
    """``aten.avg_pool3d_backward`` of (..., D, H, W)."""
    return _returned(grad, x, 3, *options)


DECOMPOSITIONS = {
    aten.avg_pool2d.default: avg_pool2d,
    aten.avg_pool2d_backward.default: avg_pool2d_backward,
    aten.avg_pool3d.default: avg_pool3d,
    aten.avg_pool3d_backward.default: avg_pool3d_backward,
}
