"""Library operations as several, for another sample of what rounding does.

Libraries round once; a compiler that writes the operation itself may round in between, computes
interpolation weights or variances by another formula, and divides by a constant as a product.
What is added up at an index has no order, so here another is taken: draws may alternate, and sums
in their order be too good.  Libraries also add up with more care than a kernel, in trees; here sums
and products go from block to block, as a kernel's loop does, and sums in two halves, as what is
split among program instances: each rounds at its own size, though they may cancel.  Variances and
their means are taken in one pass, as kernels do (``moments``).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from builder.verify.allowed import names
from builder.verify.floors import WIDE
from builder.verify.memory import let_memory_failures_pass
from builder.verify.moments import BLOCK, block_size, mean_and_deviations
from builder.verify.rules import is_random, name_of
from builder.verify.seams import (
    TorchDispatchMode,
    decomposition,
    schema_arguments,
    tree_flatten,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Tensor = torch.Tensor

ADDED_PRODUCTS = names("addmm addmv addbmm baddbmm")
MOST_PRODUCTS = 16
SILENT_WRITES = names("native_batch_norm")
"""Operations that update running statistics, which their schemas do not say."""


def taken_apart(func: Any, args: tuple[Any, ...], order: int = 0) -> Callable[..., Any] | None:
    """The operation as several, each rounded to its type; None if it is not known as such.

    Args:
        func: the operation.
        args: its arguments.
        order: a seed, of the order in which means take what they are of.
    """
    name = name_of(func)
    if func == _VAR_MEAN and args[0].dtype in WIDE:
        return partial(_moments, order)
    if name in _IN_BLOCKS and args[0].dtype in WIDE:
        return partial(_IN_BLOCKS[name], func)
    if name.rstrip("_") == "index_add":
        return partial(_index_add_shuffled, func)
    if name.rstrip("_") == "scatter_add":
        return partial(_scatter_add_shuffled, func)
    if name in ("convolution", "_convolution") and args[2] is not None:
        return partial(_convolution_apart, func)
    if name in ADDED_PRODUCTS:
        return partial(_addmm_apart, func)
    if _is_by_constant(func, args):
        return partial(_by_reciprocal, func)
    writes = any(written.is_write for written in _aliases(func))
    is_plain = not writes and not is_random(func, name)
    parts = decomposition(func) if is_plain else None
    return partial(_decomposed, func, parts, order) if parts is not None else None


def _aliases(func: Any) -> list[Any]:
    return [a.alias_info for a in schema_arguments(func) if a.alias_info is not None]


def _decomposed(func: Any, parts: Callable[..., Any], order: int, *args: Any, **kwargs: Any) -> Any:
    """What the parts give, if it is the kind of result that the operation gives."""
    spared = args
    if name_of(func) in SILENT_WRITES:
        spared = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
    whole = func(*spared, **kwargs)
    try:
        with _Apart(order):
            found = parts(*args, **kwargs)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
        let_memory_failures_pass(error)
        return func(*args, **kwargs) if spared is not args else whole
    pairs = list(zip(tree_flatten(found)[0], tree_flatten(whole)[0], strict=False))
    alike = all(
        isinstance(a, Tensor) and isinstance(b, Tensor) and (a.dtype, a.shape) == (b.dtype, b.shape)
        for a, b in pairs
    )
    same_count = len(tree_flatten(found)[0]) == len(tree_flatten(whole)[0])
    return found if alike and same_count else whole


class _Apart(TorchDispatchMode):
    """Takes apart what an operation was taken apart into."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self._order = order

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        parts = None if func.is_view else taken_apart(func, args, self._order)
        return (parts or func)(*args, **kwargs or {})


def _is_by_constant(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation divides floating-point numbers by a constant."""
    return (
        name_of(func) == "div"
        and isinstance(args[1], (int, float))
        and args[1] != 0
        and args[0].is_floating_point()
    )


def _by_reciprocal(func: Any, x: Tensor, divisor: float, **kwargs: Any) -> Any:
    """The product with the reciprocal, as in ``div_prim`` of ``torch/_inductor/lowering.py``."""
    return func(x, divisor, **kwargs) if kwargs else x * (1.0 / divisor)


def _convolution_apart(func: Any, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Tensor:
    product: Tensor = func(x, weight, None, *rest)
    return product + bias.reshape([-1] + [1] * (product.dim() - 2))


def _addmm_apart(
    func: Any, added: Tensor, *factors: Tensor, beta: float = 1, alpha: float = 1
) -> Tensor:
    plain = _PLAIN_PRODUCTS.get(name_of(func))
    if plain is not None and added.dtype in WIDE:
        product = _product_in_blocks(plain, *factors) * alpha
    else:
        product = func(added, *factors, beta=0, alpha=alpha)
    return product + added * beta


def _product_in_blocks(func: Any, left: Tensor, right: Tensor) -> Tensor:
    """``mm`` or ``bmm``."""
    size = block_size(left.shape[-1], MOST_PRODUCTS)
    parts = zip(left.split(size, -1), right.split(size, -2), strict=True)
    total: Tensor = func(*next(parts))
    for part in parts:
        total += func(*part)
    return total


def _sum_in_blocks(func: Any, x: Tensor, dims: Any = None, *rest: Any, **kwargs: Any) -> Tensor:
    """``sum`` or ``mean``."""
    whole: Tensor = func(x, *([] if dims is None and not rest else [dims, *rest]), **kwargs)
    summed = _reduced(x, dims)
    count = math.prod(x.shape[dim] for dim in summed)
    if whole.dtype != x.dtype or count < 2 * BLOCK or not x.numel():
        return whole
    halves = _as_rows(x, summed).split(math.ceil(count / 2), 1)
    left, right = (_lanes_summed(half).sum(1) for half in halves)
    result = (left + right).reshape(whole.shape)
    return result / count if name_of(func) == "mean" else result


def _moments(
    order: int, x: Tensor, dims: Any = None, *, correction: float | None = None, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """``var_mean``."""
    var, mean = _VAR_MEAN(x, dims, correction=correction, **kwargs)
    if not x.dim() or not x.numel():
        return var, mean
    rows = _as_rows(x, _reduced(x, dims))
    means, deviations = mean_and_deviations(rows, order)
    freedom = max(0.0, rows.shape[1] - (1.0 if correction is None else correction))
    return (deviations / freedom).reshape(var.shape), means.reshape(mean.shape)


def _reduced(x: Tensor, dims: Any) -> list[int]:
    return sorted({dim % x.dim() for dim in dims or range(x.dim())}) if x.dim() else []


def _as_rows(x: Tensor, reduced: list[int]) -> Tensor:
    """Of shape (results, elements of each)."""
    kept = [dim for dim in range(x.dim()) if dim not in reduced]
    count = math.prod(x.shape[dim] for dim in reduced)
    return x.permute(*kept, *reduced).reshape(-1, count)


def _lanes_summed(rows: Tensor) -> Tensor:
    """The sum of the blocks of each row."""
    first, *others = rows.split(block_size(rows.shape[1]), 1)
    total = first.clone()
    for part in others:
        total[:, : part.shape[1]] += part
    return total


_VAR_MEAN = torch.ops.aten.var_mean.correction
_PLAIN_PRODUCTS = {"addmm": torch.ops.aten.mm.default, "baddbmm": torch.ops.aten.bmm.default}
_IN_BLOCKS: dict[str, Callable[..., Tensor]] = {
    "sum": _sum_in_blocks,
    "mean": _sum_in_blocks,
    "mm": _product_in_blocks,
    "bmm": _product_in_blocks,
}


def _index_add_shuffled(
    func: Any, added: Tensor, dim: int, index: Tensor, source: Tensor, **kwargs: Any
) -> Any:
    if not index.dim():
        return func(added, dim, index, source, **kwargs)
    order = _order(index.shape[0], source)
    return func(added, dim, index[order], source.index_select(dim, order), **kwargs)


def _scatter_add_shuffled(func: Any, added: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    if not index.dim():
        return func(added, dim, index, source)
    used = source[tuple(slice(extent) for extent in index.shape)]
    order = _order(index.shape[dim], source)
    return func(added, dim, index.index_select(dim, order), used.index_select(dim, order))


def _order(count: int, source: Tensor) -> Tensor:
    """An order that the data decides, so that each sample, whose inputs are moved, has its own."""
    seed = int(source.flatten()[:64].to(torch.float64).view(torch.int64).sum())
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
