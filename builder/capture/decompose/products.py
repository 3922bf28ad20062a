"""Matrix products in forms that have no template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


def addmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, **_alpha: Any) -> Any:
    """``aten.addmm`` of matrices that have nothing in common: the product is zero."""
    if a.shape[1] or not added.is_floating_point():
        return NotImplemented
    shape = (a.shape[0], b.shape[1])
    return (added * beta).expand(shape).clone(memory_format=torch.contiguous_format)


def empty_product(a: Tensor, b: Tensor) -> Any:
    """``aten.mm`` and ``aten.bmm`` of matrices without elements, as gradients may be."""
    if 0 not in (*a.shape, *b.shape):
        return NotImplemented
    return a.new_zeros((*a.shape[:-1], b.shape[-1]))


def addbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """``aten.addbmm``: the sum of the products of a batch, as one product."""
    if not added.is_floating_point() or 0 in (*a.shape, *b.shape):
        return NotImplemented
    rows, columns = a.shape[1], b.shape[2]
    wide = a.permute(1, 0, 2).reshape(rows, -1)
    product = torch.mm(wide, b.reshape(-1, columns)) * alpha
    return product if beta == 0 else added * beta + product


def trilinear(
    x: Tensor,
    y: Tensor,
    z: Tensor,
    expand_x: Sequence[int],
    expand_y: Sequence[int],
    expand_z: Sequence[int],
    sums: Sequence[int],
    _unroll: int = 1,
) -> Any:
    """``aten._trilinear``: the products of three tensors, summed over some dimensions."""
    x, y, z = (
        _unsqueezed(factor, dims) for factor, dims in ((x, expand_x), (y, expand_y), (z, expand_z))
    )
    return (x * y * z).sum(list(sums))


def _unsqueezed(x: Tensor, dims: Sequence[int]) -> Tensor:
    for dim in dims:
        x = x.unsqueeze(dim)
    return x


EXTENSIONS = {aten.mm.default: empty_product, aten.bmm.default: empty_product}
"""Decompositions that are asked before Inductor's own of the same operation."""

DECOMPOSITIONS = {
    aten.addmm.default: addmm,
    aten.addbmm.default: addbmm,
    aten._trilinear.default: trilinear,  # noqa: SLF001
}
