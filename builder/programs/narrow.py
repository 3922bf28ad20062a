"""Products of float16 on a CPU, which adds them up a hundred times as slowly as float32's.

They are computed in float32 and rounded once, as a GPU does.  (bfloat16's are quick.)
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

aten = torch.ops.aten
_PRODUCTS = frozenset((
    aten.addmm.default, aten.baddbmm.default, aten.bmm.default, aten.convolution.default,
    aten.mm.default,
))  # fmt: skip


def quick_products(held: Iterable[torch.Tensor]) -> AbstractContextManager[Any]:
    """Takes over the products of float16, if a program holds any."""
    return _Products() if any(t.dtype == torch.float16 for t in held) else nullcontext()


class _Products(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS and args[1].dtype == torch.float16 and args[1].is_cpu:
            wide = pytree.tree_map_only(torch.Tensor, torch.Tensor.float, args)
            return func(*wide, **kwargs).half()
        return func(*args, **kwargs)
