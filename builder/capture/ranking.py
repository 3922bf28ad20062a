"""Which tile configurations Inductor's templates are offered: one, ranked by what is computed.

``template_heuristics`` is private to Inductor; written against torch 2.11 to 2.13, held by
``tests/capture/test_ranking.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch._inductor.template_heuristics import triton as template_heuristics
from torch._inductor.virtualized import V

from builder.capture import gemm

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from builder.capture.targets import Target

_CONVOLUTION = torch.ops.aten.convolution.default
_GROUPS = 8  # place among a convolution's arguments
_FUSED = 16  # operations before a product that are looked at
_CASTS = (torch.ops.prims.convert_element_type.default, torch.ops.aten._to_copy.default)  # noqa: SLF001
HEURISTIC: Any = template_heuristics.BaseConfigHeuristic
_SUM_OF_TWO: Any = template_heuristics.MMPlusMMTemplateConfigMixin
"""Takes blocks alone that are shorter than the dimension that is summed over."""


def one_ranked(target: Target, seed: int, rank: int) -> AbstractContextManager[Any]:
    """Leaves Inductor one configuration a template."""
    original = HEURISTIC.preprocess_mm_configs

    def preprocess_mm_configs(
        self: Any, m: Any, n: Any, k: Any, configs: list[Any], **kwargs: Any
    ) -> Any:
        hint = V.graph.sizevars.optimization_hint
        if isinstance(self, _SUM_OF_TWO):  # torch 2.11 and 2.12 leave the others out afterwards
            shorter = V.graph.sizevars.statically_known_lt
            configs = [one for one in configs if shorter(one.block_k, k)]
        itemsize = kwargs.get("dtype_size") or 4
        product = _product((hint(m), hint(n), hint(k)), itemsize, V.graph.current_node)
        chosen = gemm.choose(configs, product, target, seed, rank)
        return original(self, m, n, k, chosen, **kwargs)

    return mock.patch.object(HEURISTIC, "preprocess_mm_configs", preprocess_mm_configs)


def _product(sizes: tuple[int, int, int], itemsize: int, node: Any) -> gemm.Product:
    """What a node computes, of which Inductor tells its templates only the sizes of a matrix."""
    value = getattr(node, "meta", {}).get("val")
    if not isinstance(value, torch.Tensor):
        return gemm.Product(*sizes, itemsize)
    shape = [V.graph.sizevars.optimization_hint(extent) for extent in map(_expression, value.shape)]
    if node.target is _CONVOLUTION:
        return _convolution(sizes, itemsize, node, shape)
    batch = shape[0] if len(shape) == 3 else 1
    return gemm.Product(*sizes, itemsize, batch=batch, loaded=_loaded(node))


def _loaded(node: Any) -> int:
    """Bytes of the widest element that a product's operands are computed of, if it is as they go.

    What comes before a product may be fused into it, and is then what its pipeline holds.
    """
    widest, ahead = 0, list(node.all_input_nodes)
    for _ in range(_FUSED):
        if not ahead:
            break
        one = ahead.pop()
        value = one.meta.get("val")
        if isinstance(value, torch.Tensor):
            widest = max(widest, value.dtype.itemsize)
        if _is_fused(one.target):
            ahead += one.all_input_nodes
    return widest


def _is_fused(target: Any) -> bool:
    """Whether an operation works element by element, or gives a view."""
    return isinstance(target, torch._ops.OpOverload) and (  # noqa: SLF001
        torch.Tag.pointwise in target.tags or target.is_view or target in _CASTS
    )


def _expression(extent: Any) -> Any:
    return extent.node.expr if isinstance(extent, torch.SymInt) else extent


def _convolution(
    sizes: tuple[int, int, int], itemsize: int, node: Any, shape: list[int]
) -> gemm.Product:
    """Output pixels by output channels, a product for each group."""
    groups, window = int(node.args[_GROUPS]), node.args[1].meta["val"].shape[2:]
    pixels = math.prod(shape) // max(shape[1], 1)
    return gemm.Product(
        max(pixels, 1),
        max(shape[1] // groups, 1),
        sizes[2] * math.prod(map(int, window)),
        itemsize,
        batch=groups,
        seen=sizes,
    )
