"""Convolutions that Inductor's template does not have, by those that it has.

The template (``torch/_inductor/kernel/conv.py``) is for two and three dimensions, without dilation
and not transposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._prims_common import suggest_memory_format

from builder.capture.decompose.depthwise import depthwise, is_depthwise

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    """``aten.convolution`` over one, two or three dimensions of ``x`` of shape (N, C, ...)."""
    rank = x.dim() - 2
    full = [_of_rank(values, rank) for values in (stride, padding, dilation, output_padding)]
    if 0 in (*x.shape, *weight.shape):
        return NotImplemented
    if not transposed and is_depthwise(x, weight, groups):
        product = depthwise(x, weight, *full[:3])
    elif rank == 1:
        product = _as_2d(x, weight, full, groups, transposed=transposed)
    elif transposed:
        product = _transposed(x, weight, full, groups)
    elif max(full[2]) > 1:
        product = _dilated(x, weight, full, groups)
    else:
        return NotImplemented
    result = product if bias is None else product + bias.reshape(-1, *[1] * rank)
    return result.contiguous(memory_format=_layout(x, weight))


def _layout(x: Tensor, weight: Tensor) -> torch.memory_format:
    """Channels last if either operand has them last, as in convolutions of a library."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim())
    if last in (suggest_memory_format(x), suggest_memory_format(weight)):
        return last
    return torch.contiguous_format


def _of_rank(values: Sequence[int], rank: int) -> list[int]:
    return list(values) * rank if len(values) == 1 else list(values)


def _as_2d(
    x: Tensor, weight: Tensor, options: list[list[int]], groups: int, *, transposed: bool
) -> Tensor:
    stride, padding, dilation, output_padding = options
    result = aten.convolution.default(
        x.unsqueeze(2),
        weight.unsqueeze(2),
        None,
        [1, *stride],
        [0, *padding],
        [1, *dilation],
        transposed,
        [0, *output_padding],
        groups,
    )
    return result.squeeze(2)


def _transposed(x: Tensor, weight: Tensor, options: list[list[int]], groups: int) -> Tensor:
    """A convolution of the input with zeros between its elements, by the flipped kernel.

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
    """
    stride, padding, dilation, output_padding = options
    rank = x.dim() - 2
    for axis in range(rank):
        reach = dilation[axis] * (weight.shape[2 + axis] - 1) - padding[axis]
        x = _spread(x, 2 + axis, stride[axis])
        pads = [0] * (2 * rank)
        pads[2 * (rank - 1 - axis)] = reach
        pads[2 * (rank - 1 - axis) + 1] = reach + output_padding[axis]
        x = aten.constant_pad_nd.default(x, pads, 0.0)
    into, out = weight.shape[0], weight.shape[1]
    kernel = weight.flip(list(range(2, 2 + rank))).reshape(
        groups, into // groups, out, *weight.shape[2:]
    )
    kernel = kernel.transpose(1, 2).reshape(groups * out, into // groups, *weight.shape[2:])
    return _plain(x, kernel, dilation, groups)


def _plain(x: Tensor, weight: Tensor, dilation: Sequence[int], groups: int) -> Tensor:
    """Without stride and padding."""
    ones, zeros = [1] * len(dilation), [0] * len(dilation)
    result: Tensor = aten.convolution.default(
        x,
        weight,
        None,
        ones,
        zeros,
        dilation,
        transposed=False,
        output_padding=zeros,
        groups=groups,
    )
    return result


def _spread(x: Tensor, dim: int, step: int) -> Tensor:
    """Zeros between the elements of a dimension: its size is then ``(n - 1) * step + 1``."""
    if step == 1:
        return x
    size = x.shape[dim]
    spaced = aten.constant_pad_nd.default(x.unsqueeze(dim + 1), _tail_pad(x, dim, step), 0.0)
    return spaced.flatten(dim, dim + 1).narrow(dim, 0, (size - 1) * step + 1)


def _tail_pad(x: Tensor, dim: int, step: int) -> list[int]:
    """Pads of ``x.unsqueeze(dim + 1)`` that make its new dimension ``step`` long."""
    behind = x.dim() - dim - 1
    return [0] * (2 * behind) + [0, step - 1]


def _dilated(x: Tensor, weight: Tensor, options: list[list[int]], groups: int) -> Tensor:
    """Each phase of the input by a kernel without holes.

    That is "space to batch" (Yu and Koltun, "Multi-scale context aggregation by dilated
    convolutions", 2016, and TensorFlow's ``atrous_conv2d``).  A stride is taken afterwards.
    """
    stride, padding, dilation, _ = options
    rank, (count, channels) = x.dim() - 2, x.shape[:2]
    sizes = [x.shape[2 + n] + 2 * padding[n] for n in range(rank)]
    outputs = [sizes[n] - dilation[n] * (weight.shape[2 + n] - 1) for n in range(rank)]
    blocks = [-(-sizes[n] // dilation[n]) for n in range(rank)]
    pads = [
        amount
        for n in reversed(range(rank))
        for amount in (padding[n], blocks[n] * dilation[n] - sizes[n] + padding[n])
    ]
    x = aten.constant_pad_nd.default(x, pads, 0.0)
    split = [extent for n in range(rank) for extent in (blocks[n], dilation[n])]
    x = x.reshape(count, channels, *split)
    places, phases = [2 + 2 * n for n in range(rank)], [3 + 2 * n for n in range(rank)]
    x = x.permute(0, *phases, 1, *places).reshape(-1, channels, *blocks)
    result = _plain(x, weight, [1] * rank, groups)
    shape = result.shape[2:]
    result = result.reshape(count, *dilation, weight.shape[0], *shape)
    order = [axis for n in range(rank) for axis in (2 + rank + n, 1 + n)]
    result = result.permute(0, 1 + rank, *order)
    result = result.reshape(
        count, weight.shape[0], *[d * s for d, s in zip(dilation, shape, strict=True)]
    )
    for n in range(rank):
        result = aten.slice.Tensor(result, 2 + n, 0, outputs[n], stride[n])
    return result


def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> Any:
    """``aten.convolution_backward``: gradients of input, weight and bias, as far as asked for.

    Inductor's templates are for two dimensions, not transposed.
    """
    rank = x.dim() - 2
    full = [_of_rank(values, rank) for values in (stride, padding, dilation, output_padding)]
    if 0 in (*x.shape, *weight.shape, *grad.shape):
        return NotImplemented
    if rank == 1:
        options = (full, transposed, groups)
        return _backward_as_2d(grad, x, weight, bias_sizes, *options, output_mask)
    if transposed and any(extra >= step for extra, step in zip(full[3], full[0], strict=True)):
        return NotImplemented
    if not transposed and rank == 2:
        return NotImplemented
    gradients = _transposed_gradients if transposed else _plain_gradients
    of_x, of_weight = gradients(grad, x, weight, full, groups, output_mask)
    of_bias = grad.sum([0, *range(2, 2 + rank)]) if output_mask[2] else None
    return of_x, of_weight, of_bias


def _backward_as_2d(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    options: list[list[int]],
    transposed: bool,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    stride, padding, dilation, output_padding = options
    of_x, of_weight, of_bias = aten.convolution_backward.default(
        grad.unsqueeze(2),
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias_sizes,
        [1, *stride],
        [0, *padding],
        [1, *dilation],
        transposed,
        [0, *output_padding],
        groups,
        output_mask,
    )
    return (
        of_x.squeeze(2) if output_mask[0] else None,
        of_weight.squeeze(2) if output_mask[1] else None,
        of_bias,
    )


def _transposed_gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    options: list[list[int]],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """A transposed convolution is the adjoint of a plain one, which takes its gradient back."""
    stride, padding, dilation, _ = options
    zeros = [0] * len(stride)
    of_x = of_weight = None
    if output_mask[0]:
        of_x = aten.convolution.default(
            grad,
            weight,
            None,
            stride,
            padding,
            dilation,
            transposed=False,
            output_padding=zeros,
            groups=groups,
        )
    if output_mask[1]:
        of_weight = aten.convolution_backward.default(
            x,
            grad,
            weight,
            None,
            stride,
            padding,
            dilation,
            transposed=False,
            output_padding=zeros,
            groups=groups,
            output_mask=[False, True, False],
        )[1]
    return of_x, of_weight


def _plain_gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    options: list[list[int]],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """By a transposed convolution, and by gradients over two dimensions."""
    stride, padding, dilation, _ = options
    of_x = of_weight = None
    if output_mask[0]:
        missing = [
            x.shape[2 + n]
            - ((grad.shape[2 + n] - 1) * stride[n] - 2 * padding[n])
            - (dilation[n] * (weight.shape[2 + n] - 1) + 1)
            for n in range(len(stride))
        ]
        of_x = aten.convolution.default(
            grad,
            weight,
            None,
            stride,
            padding,
            dilation,
            transposed=True,
            output_padding=missing,
            groups=groups,
        )
    if output_mask[1]:
        of_weight = _weight_gradient(grad, x, weight, options, groups)
    return of_x, of_weight


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, options: list[list[int]], groups: int
) -> Tensor:
    """Each depth of the kernel over two dimensions, with the depths of the input in the batch.

    Inductor's template for that adds up many products at once, which a convolution by the gradient
    would do one place after the other.
    """
    stride, padding, dilation, _ = options
    x = aten.constant_pad_nd.default(x, [0, 0, 0, 0, padding[0], padding[0]], 0.0)
    reach = (grad.shape[2] - 1) * stride[0] + 1
    gradients = []
    for depth in range(weight.shape[2]):
        start = depth * dilation[0]
        slices = aten.slice.Tensor(x, 2, start, start + reach, stride[0])
        _, of_weight, _ = aten.convolution_backward.default(
            _depths_in_batch(grad),
            _depths_in_batch(slices),
            weight.select(2, depth),
            None,
            stride[1:],
            padding[1:],
            dilation[1:],
            transposed=False,
            output_padding=[0, 0],
            groups=groups,
            output_mask=[False, True, False],
        )
        gradients.append(of_weight)
    return torch.stack(gradients, 2)


def _depths_in_batch(x: Tensor) -> Tensor:
    """(N, C, D, H, W) as (N D, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


DECOMPOSITIONS = {
    aten.convolution.default: convolution,
    aten.convolution_backward.default: convolution_backward,
}
