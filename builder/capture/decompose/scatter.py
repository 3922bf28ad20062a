"""Scatters and histograms as reductions over what falls on a place, without atomics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten

MOST_COMPARISONS = 1 << 26
_MEAN, _MAX = 1, 2


def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Any:
    """``aten.masked_scatter``: the n-th place of the mask takes the source's n-th element."""
    x, mask = torch.broadcast_tensors(x, mask)
    if not x.numel() or not source.numel():
        return NotImplemented
    rank = mask.reshape(-1).to(torch.int64).cumsum(0) - 1
    taken = source.reshape(-1)[rank.clamp(0, source.numel() - 1)]
    return torch.where(mask, taken.reshape(mask.shape), x)


def masked_scatter_backward(grad: Tensor, mask: Tensor, sizes: Sequence[int]) -> Any:
    """``aten.masked_scatter_backward``: the source's elements, from where the mask has put them."""
    grad, mask = torch.broadcast_tensors(grad, mask)
    count = math.prod(sizes)
    if not grad.numel() or not count:
        return NotImplemented
    rank = mask.reshape(-1).to(torch.int64).cumsum(0) - 1
    taken = torch.where(mask, grad, 0.0).reshape(-1)
    return grad.new_zeros(count).index_add(0, rank.clamp(0, count - 1), taken).reshape(sizes)


def index_reduce(
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Any:
    """``aten.index_reduce``: rows of a source, combined with the row that their index names."""
    if x.dim() == 0:
        return NotImplemented
    shape = [1] * x.dim()
    shape[dim] = index.numel()
    whole = index.reshape(shape).expand(source.shape)
    return scatter_reduce(x, dim, whole, source, reduce, include_self=include_self)


def scatter_reduce(
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Any:
    """``aten.scatter_reduce``: elements of a source, combined with those that their index names.

    A sum stays as it is: Inductor has atomic additions.
    """
    if x.dim() == 0 or not index.numel() or reduce not in _REDUCTIONS:
        return NotImplemented
    if index.numel() * x.shape[dim] > MOST_COMPARISONS or not x.is_floating_point():
        return NotImplemented
    neutral, combine = _REDUCTIONS[reduce]
    used = source[tuple(slice(extent) for extent in index.shape)].movedim(dim, 0)
    named, ours = index.movedim(dim, 0), x.movedim(dim, 0)
    place = torch.arange(ours.shape[0], device=x.device).reshape(-1, *[1] * named.dim())
    falls = named.unsqueeze(0) == place
    whole = [
        amount
        for extent, all_of in zip(reversed(named.shape[1:]), reversed(ours.shape[1:]), strict=True)
        for amount in (0, all_of - extent)
    ]
    parts = torch.where(falls, used.unsqueeze(0), neutral)
    parts = aten.constant_pad_nd.default(parts, whole, neutral)
    count = aten.constant_pad_nd.default(falls.sum(1), whole, 0)
    if include_self:
        parts = torch.cat((ours.unsqueeze(1), parts), 1)
    found = combine(parts)
    if reduce == "mean":
        found = found / (count + int(include_self)).clamp(min=1)
    result = found if include_self else torch.where(count > 0, found, ours)
    return result.movedim(0, dim).contiguous()


_REDUCTIONS: dict[str, Any] = {
    "prod": (1.0, lambda parts: parts.prod(1)),
    "amin": (float("inf"), lambda parts: parts.amin(1)),
    "amax": (float("-inf"), lambda parts: parts.amax(1)),
    "mean": (0.0, lambda parts: parts.sum(1)),
}


def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Any:  # noqa: A002
    """``aten.histc``: how many elements fall into each of ``bins`` equal parts of a range.

    A range of no width is that of the elements
    (``aten/src/ATen/native/cuda/SummaryOps.cu``).
    """
    if not x.is_floating_point() or not x.numel() or bins * x.numel() > MOST_COMPARISONS:
        return NotImplemented
    x = x.reshape(-1)
    low, high = x.new_full((), min), x.new_full((), max)
    if min == max:
        low, high = x.amin(), x.amax()
        low, high = torch.where(low == high, low - 1, low), torch.where(low == high, high + 1, high)
    place = ((x - low) * bins / (high - low)).to(torch.int64)
    place = torch.where(x == high, bins - 1, place)
    place = torch.where((x >= low) & (x <= high), place, -1)
    number = torch.arange(bins, device=x.device)
    return (place.unsqueeze(0) == number.unsqueeze(1)).to(x.dtype).sum(1)


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,  # noqa: ARG001 - the operator's signature
    mode: int = 0,
    sparse: bool = False,  # noqa: ARG001
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    """``aten._embedding_bag_forward_only``: sums (0), means (1) or maxima (2) of rows, by bag.

    Returns:
        those, of shape (bags, columns); the bag of each index; each bag's size; and, for maxima,
        where they are, which is left zero: only a backward pass reads it.
    """
    bags = offsets.shape[0] - int(include_last_offset)
    if not indices.numel() or bags < 1 or indices.numel() * bags > MOST_COMPARISONS:
        return NotImplemented
    place = torch.arange(indices.numel(), device=indices.device)
    bag = (place.unsqueeze(1) >= offsets[:bags].unsqueeze(0)).sum(1) - 1
    kept = indices != padding_idx
    sizes = torch.zeros_like(offsets[:bags]).index_add(0, bag, kept.to(offsets.dtype))
    rows = weight[indices]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    empty = weight.new_zeros(bags, weight.shape[1])
    if mode == _MAX:
        rows = torch.where(kept.unsqueeze(1), rows, float("-inf"))
        whole = bag.unsqueeze(1).expand(rows.shape)
        found = empty.scatter_reduce(0, whole, rows, "amax", include_self=False)
        found = torch.where(sizes.unsqueeze(1) > 0, found, 0.0)
    else:
        found = empty.index_add(0, bag, torch.where(kept.unsqueeze(1), rows, 0.0))
        if mode == _MEAN:
            found = found / sizes.clamp(min=1).unsqueeze(1)
    return found, bag.to(indices.dtype), sizes, torch.zeros_like(sizes)


DECOMPOSITIONS = {
    aten._embedding_bag_forward_only.default: embedding_bag,  # noqa: SLF001
    aten.masked_scatter.default: masked_scatter,
    aten.masked_scatter_backward.default: masked_scatter_backward,
    aten.index_reduce.default: index_reduce,
    aten.scatter_reduce.two: scatter_reduce,
    aten.histc.default: histc,
}
