"""Depthwise convolutions: each channel by kernels of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def is_depthwise(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether a convolution that is not transposed mixes no channels."""
    return groups > 1 and groups == x.shape[1] and weight.shape[1] == 1


def depthwise(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """A depthwise convolution as a sum over the places of the kernel, which is one reduction.

    The template multiplies tiles of 16 channels and more, of which a channel of its own fills one.

    Args:
        x: (N, C, ...).
        weight: (C * m, 1, ...).
        stride: of each dimension of the kernel, as what follows.
        padding: on both sides.
        dilation: distance of the kernel's elements.

    Returns:
        (N, C * m, ...).
    """
    rank, channels = x.dim() - 2, x.shape[1]
    pads = [amount for amount in reversed(padding) for _ in range(2)]
    windows = aten.constant_pad_nd.default(x, pads, 0.0) if any(pads) else x
    for axis in range(rank):
        reach = (weight.shape[2 + axis] - 1) * dilation[axis] + 1
        windows = windows.unfold(2 + axis, reach, stride[axis])[..., :: dilation[axis]]
    windows = windows.unsqueeze(2)  # (N, C, 1, places, kernel), kernels (C, m, ones, kernel)
    kernels = weight.reshape(channels, -1, *[1] * rank, *weight.shape[2:])
    products = windows * kernels
    return products.sum(list(range(-rank, 0))).flatten(1, 2)
