"""What is found by sorting: k-th values and medians; and sorts too long for Inductor's kernel."""

from __future__ import annotations

import math
from typing import Any

import torch

Tensor = torch.Tensor
aten = torch.ops.aten

LONGEST_SORT = 512
"""Elements of a row that Inductor sorts in one block (``torch/_inductor/ir.py``, ``Sort``)."""
MOST_COMPARISONS = 1 << 30


def _sorted(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    values, indices = aten.sort.stable(x, stable=True, dim=dim, descending=False)
    return values, indices


def _picked(
    values: Tensor, indices: Tensor, place: Tensor, dim: int, *, keepdim: bool
) -> tuple[Tensor, Tensor]:
    found = values.gather(dim, place), indices.gather(dim, place)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """``aten.kthvalue``: the k-th smallest of each row, and where it is."""
    if x.dim() == 0 or 0 in x.shape:
        return NotImplemented
    values, indices = _sorted(x, dim)
    place = torch.full_like(indices.narrow(dim, 0, 1), k - 1)
    return _picked(values, indices, place, dim, keepdim=keepdim)


def median_dim(x: Tensor, dim: int, keepdim: bool = False) -> Any:
    """``aten.median.dim``: the lower median of each row; NaN if there is one."""
    return _median(x, dim, keepdim=keepdim, skips=False)


def nanmedian_dim(x: Tensor, dim: int, keepdim: bool = False) -> Any:
    """``aten.nanmedian.dim``: of the elements that are not NaN."""
    return _median(x, dim, keepdim=keepdim, skips=True)


def median(x: Tensor) -> Any:
    """``aten.median`` of all elements."""
    return NotImplemented if x.numel() == 0 else _median_of_all(x, skips=False)


def nanmedian(x: Tensor) -> Any:
    """``aten.nanmedian`` of all elements."""
    return NotImplemented if x.numel() == 0 else _median_of_all(x, skips=True)


def _median_of_all(x: Tensor, *, skips: bool) -> Tensor:
    values: Tensor = _median(x.reshape(-1), 0, keepdim=False, skips=skips)[0]
    return values


def _median(x: Tensor, dim: int, *, keepdim: bool, skips: bool) -> Any:
    """NaN is sorted last: ``skips`` leaves it out, otherwise the first NaN is the median."""
    if x.dim() == 0 or 0 in x.shape:
        return NotImplemented
    values, indices = _sorted(x, dim)
    count = x.shape[dim]
    missing = torch.isnan(x).sum(dim, keepdim=True)
    if skips:
        place = torch.div((count - missing - 1).clamp(min=0), 2, rounding_mode="floor")
    else:
        place = torch.where(missing > 0, count - missing, (count - 1) // 2)
    return _picked(values, indices, place, dim, keepdim=keepdim)


def sort_stable(x: Tensor, *, dim: int = -1, descending: bool = False, **_stable: Any) -> Any:
    """``aten.sort.stable`` of long rows: an element's place is the number of those before it."""
    if x.dim() == 0 or x.shape[dim] <= LONGEST_SORT:
        return NotImplemented
    if math.prod(x.shape) * x.shape[dim] > MOST_COMPARISONS or x.dtype == torch.bool:
        return NotImplemented
    rows = x.movedim(dim, -1)
    place = _rank(rows, rows.dim() - 1, descending=descending)
    index = torch.arange(x.shape[dim], device=x.device).expand(rows.shape)
    return tuple(_put(values, place).movedim(-1, dim) for values in (rows, index))


def _put(values: Tensor, place: Tensor) -> Tensor:
    """The elements of each row at their places, which are all different."""
    size = values.shape[-1]
    first = torch.arange(values.numel() // size, device=values.device) * size
    flat = first.unsqueeze(1) + place.reshape(-1, size)
    result = values.new_empty(values.numel())
    return result.index_put((flat.reshape(-1),), values.reshape(-1)).reshape(values.shape)


def sort_default(x: Tensor, dim: int = -1, descending: bool = False) -> Any:
    """``aten.sort``, which leaves the order of ties open."""
    return sort_stable(x, dim=dim, descending=descending)


def topk(
    x: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: A002, ARG001
) -> Any:
    """``aten.topk``: the first of the sorted row; sorted in any case."""
    if x.dim() == 0 or 0 in x.shape or k == 0:
        return NotImplemented
    values, indices = aten.sort.stable(x, stable=True, dim=dim, descending=largest)
    return values.narrow(dim, 0, k).clone(), indices.narrow(dim, 0, k).clone()


def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """``aten.mode``: the most frequent element of each row, of several the smallest."""
    if x.dim() == 0 or 0 in x.shape or x.numel() * x.shape[dim] > MOST_COMPARISONS:
        return NotImplemented
    if x.dtype == torch.bool:
        return NotImplemented
    dim %= x.dim()
    count = (x.unsqueeze(dim) == x.unsqueeze(dim + 1)).sum(dim + 1)
    most = count.amax(dim, keepdim=True)
    top = torch.finfo(x.dtype).max if x.is_floating_point() else torch.iinfo(x.dtype).max
    value = torch.where(count == most, x, top).amin(dim, keepdim=True)
    index = torch.arange(x.shape[dim], device=x.device).reshape(-1, *[1] * (x.dim() - 1 - dim))
    place = torch.where(x == value, index, -1).amax(dim, keepdim=True)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


def _rank(x: Tensor, dim: int, *, descending: bool) -> Tensor:
    ours, others = x.unsqueeze(dim + 1), x.unsqueeze(dim)
    before = others > ours if descending else others < ours
    equal = others == ours
    if x.is_floating_point():
        ours_nan, others_nan = ours != ours, others != others  # noqa: PLR0124 - NaN is greatest
        odd, even = (others_nan, ours_nan) if descending else (ours_nan, others_nan)
        before = before | (odd & ~even)
        equal = equal | (ours_nan & others_nan)
    index = torch.arange(x.shape[dim], device=x.device)
    behind = [1] * (x.dim() - 1 - dim)
    earlier = index.reshape(1, -1, *behind) < index.reshape(-1, 1, *behind)
    return (before | (equal & earlier)).sum(dim + 1)


DECOMPOSITIONS = {
    aten.kthvalue.default: kthvalue,
    aten.median.default: median,
    aten.median.dim: median_dim,
    aten.nanmedian.default: nanmedian,
    aten.nanmedian.dim: nanmedian_dim,
    aten.mode.default: mode,
    aten.sort.default: sort_default,
    aten.sort.stable: sort_stable,
    aten.topk.default: topk,
}
