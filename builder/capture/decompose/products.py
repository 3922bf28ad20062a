"""Matrix products in forms that have no template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor
aten = torch.ops.aten


UNTEMPLATED = (torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
"""Types that ``tl.dot`` does not take on every target, or not with sums as wide as they are."""


def addmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """``aten.addmm`` of matrices that have nothing in common, where the product is zero, and of
    types that have no template.
    """
    shape = (a.shape[0], b.shape[1])
    if not a.shape[1] and added.is_floating_point():
        return (added * beta).expand(shape).clone(memory_format=torch.contiguous_format)
    if a.dtype not in UNTEMPLATED or 0 in (*a.shape, *b.shape):
        return NotImplemented
    return _plus(added, product(a, b), beta, alpha)


def baddbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """``aten.baddbmm`` of types that have no template."""
    if a.dtype not in UNTEMPLATED or 0 in (*a.shape, *b.shape):
        return NotImplemented
    return _plus(added, product(a, b), beta, alpha)


def _plus(added: Tensor, result: Tensor, beta: float, alpha: float) -> Tensor:
    """``beta * added + alpha * result``; what is added counts for nothing if ``beta`` is zero."""
    result = result if alpha == 1 else result * alpha
    return result if beta == 0 else result + (added if beta == 1 else added * beta)


def product(a: Tensor, b: Tensor) -> Any:
    """``aten.mm`` and ``aten.bmm`` of matrices without elements, as gradients may be, and of types
    that have no template: a sum of products, which is one kernel.
    """
    if 0 in (*a.shape, *b.shape):
        return a.new_zeros((*a.shape[:-1], b.shape[-1]))
    if a.dtype not in UNTEMPLATED:
        return NotImplemented
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2, dtype=a.dtype)


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


EXTENSIONS = {aten.mm.default: product, aten.bmm.default: product}
"""Decompositions that are asked before Inductor's own of the same operation."""

DECOMPOSITIONS = {
    aten.addmm.default: addmm,
    aten.addbmm.default: addbmm,
    aten.baddbmm.default: baddbmm,
    aten._trilinear.default: trilinear,  # noqa: SLF001
}
