"""Scaled dot-product attention as flex attention, whose template is one fused kernel.

Parts of ``torch/_higher_order_ops/flex_attention.py`` and ``torch/nn/attention/flex_attention.py``
are private; written against torch 2.11 to 2.13, held by ``tests/capture/test_flex.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch.fx
from torch.nn.attention.flex_attention import BlockMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Tensor = torch.Tensor
# The package hides the module of that name behind the operator.
operators: Any = importlib.import_module("torch._higher_order_ops.flex_attention")

SPARSE_BLOCK = 128
"""Queries, and keys, of a block that a causal mask may leave out as a whole."""

LEAST_WIDTH = 16
"""Features of a head that ``tl.dot`` takes at least."""

_WHOLE = 1 << 30  # more queries or keys than there are: one block
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_ATTENTION = torch._C._nn.scaled_dot_product_attention  # noqa: SLF001
_OPTIONS = {
    "BACKEND": "TRITON",
    "PRESCALE_QK": False,
    "ROWS_GUARANTEED_SAFE": False,
    "BLOCKS_ARE_CONTIGUOUS": False,
    "WRITE_DQ": True,
    "OUTPUT_LOGSUMEXP": False,
    "OUTPUT_MAX": False,
}


def with_flex_attention(gm: torch.fx.GraphModule) -> None:
    """Makes each call of scaled dot-product attention one of flex attention, in place."""
    for node in gm.graph.nodes:
        if node.op == "call_function" and node.target is _ATTENTION:
            node.target = attention
    gm.recompile()


def settle_options(gm: torch.fx.GraphModule) -> None:
    """Makes what a program calls itself take the template, whatever the CPU would take.

    Other settings of its own (block sizes, say) stay.  Gradients need the logarithms of the sums.
    """
    settled = {"BACKEND": "TRITON"} | (
        {"OUTPUT_LOGSUMEXP": True} if torch.is_grad_enabled() else {}
    )
    for graph in gm.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            if node.target is operators.flex_attention:
                *before, options = node.args[:7]
                node.args = (*before, {**options, **settled}, *node.args[7:])


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``torch.nn.functional.scaled_dot_product_attention``, by flex attention where that can.

    Where it cannot (dropout, narrow heads, broadcast batches), the math form stays.
    """
    if dropout_p or not _is_plain(query, key, value, enable_gqa):
        return _ATTENTION(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    has_heads = query.dim() == 4
    if not has_heads:
        query, key, value = (tensor.unsqueeze(1) for tensor in (query, key, value))
        attn_mask = (
            attn_mask.unsqueeze(1) if attn_mask is not None and attn_mask.dim() > 2 else attn_mask
        )
    out = _flex(query, key, value, attn_mask, is_causal, scale)
    return out if has_heads else out.squeeze(1)


def _is_plain(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> bool:
    if query.dim() not in (3, 4) or query.dtype not in _FLOATS:
        return False
    if query.dim() == 3 and query.dtype != torch.float32:
        return False  # eager computes it in float32 throughout, the template only in part
    widths = (query.shape[-1], value.shape[-1])
    has_own_heads = query.dim() == 3 or enable_gqa or query.shape[1] == key.shape[1]
    is_batched = query.shape[0] == key.shape[0] == value.shape[0]
    return min(widths) >= LEAST_WIDTH and has_own_heads and is_batched


def _flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    added: Tensor | None,
    is_causal: bool,
    scale: float | None,
) -> Tensor:
    """Of tensors with a dimension of heads."""
    score_mod, mask_mod = _as_it_is, _causal if is_causal else _everywhere
    buffers: dict[bool, tuple[Tensor, ...]] = {}
    if added is not None and added.dtype == torch.bool:
        mask_mod, buffers[True] = _picked(added, mask=True)
    elif added is not None:
        score_mod, buffers[False] = _picked(added, mask=False)
    blocks = _causal_blocks(query, key) if is_causal else _one_block(query, mask_mod)
    scale = scale if scale is not None else 1 / math.sqrt(query.shape[-1])
    out: Tensor = operators.flex_attention(
        query,
        key,
        value,
        score_mod,
        blocks.as_tuple(),
        scale,
        dict(_OPTIONS),
        buffers.get(False, ()),
        buffers.get(True, ()),
    )[0]
    return out


def _as_it_is(score: Tensor, *_: Any) -> Tensor:
    return score


def _everywhere(batch: Tensor, *_: Any) -> Tensor:
    return batch.new_ones((), dtype=torch.bool)


def _causal(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return query >= key


def _picked(added: Tensor, *, mask: bool) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """A modifier that takes the element of a mask, and the mask without what it broadcasts."""
    sizes = (1,) * (4 - added.dim()) + tuple(added.shape)
    places = [place for place, size in enumerate(sizes) if size != 1]
    small = added.reshape([sizes[place] for place in places])

    def element(*where: Tensor) -> Tensor:
        *indices, held = where
        return held[tuple(indices[place] for place in places)]

    def modified(score: Tensor, *where: Tensor) -> Tensor:
        return score + element(*where)

    return (element if mask else modified), (small,)


def _one_block(query: Tensor, mask_mod: Callable[..., Tensor]) -> BlockMask:
    """All queries with all keys."""
    return BlockMask.from_kv_blocks(
        torch.ones((1, 1, 1), dtype=torch.int32, device=query.device),
        torch.zeros((1, 1, 1, 1), dtype=torch.int32, device=query.device),
        BLOCK_SIZE=_WHOLE,
        mask_mod=mask_mod,
        seq_lengths=(1, 1),
    )


def _causal_blocks(query: Tensor, key: Tensor) -> BlockMask:
    """Blocks below the diagonal are whole, those on it are masked, the others left out."""
    lengths = (query.shape[-2], key.shape[-2])
    rows, columns = (math.ceil(length / SPARSE_BLOCK) for length in lengths)
    row = torch.arange(rows, dtype=torch.int32, device=query.device).view(1, 1, rows)
    column = torch.arange(columns, dtype=torch.int32, device=query.device)
    return BlockMask.from_kv_blocks(
        (row < columns).to(torch.int32),
        row.clamp(max=columns - 1)[..., None].expand(1, 1, rows, columns),
        row.clamp(max=columns),
        column.expand(1, 1, rows, columns),
        BLOCK_SIZE=SPARSE_BLOCK,
        mask_mod=_causal,
        seq_lengths=lengths,
    )


@contextlib.contextmanager
def without_driver() -> Iterator[None]:
    """Lets the operator's fake form give results on a described GPU.

    It lays its result out by ``copy_``, whose binding asks for the device's driver.
    """
    theirs = operators._permute_strides  # noqa: SLF001

    def laid_out(out: Tensor, strides: tuple[int, ...]) -> Tensor:
        example = theirs(torch.empty_like(out, device="meta"), strides)
        return out.new_empty_strided(out.shape, example.stride())

    with mock.patch.object(operators, "_permute_strides", laid_out):
        yield
