"""Watches host code of a Triton module while it runs.

Host code may allocate, zero a workspace and take views; ``Guard`` sees every ATen operation that it
really runs, whatever its syntax looked like, and keeps the names of all others.  It also poisons
what ``empty`` gives: NaN in the first run, another pattern in the second, so that an element that
no kernel wrote is neither right nor the same twice.

``backward`` may also copy a tangent to make it contiguous, and zeros that stand for an absent one.

The executor leaves all dispatch modes while it runs a launch, so its work is not seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.errors import VerificationRejected
from builder.verify.allowed import names as words
from builder.verify.library import LibraryCalls
from builder.verify.seams import (
    TorchDispatchMode,
    outside_dispatch_modes,
    packet_name,
    tree_flatten,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALLOWED = words(
    "empty empty_like empty_permuted empty_strided new_empty new_empty_strided new_zeros zeros "
    "zeros_like zero_ _unsafe_view _reshape_alias sym_size sym_stride sym_numel "
    "sym_storage_offset is_contiguous device"
)


class Guard(TorchDispatchMode):
    """Records forbidden operations of host code and poisons its allocations.

    Args:
        library: operators that host code may call besides.
        second: poison with the second pattern.
        poisons: without, allocations are left as they are: fake tensors hold nothing.

    Attributes:
        forbidden: names of the operations that host code must not run, in order.
    """

    def __init__(
        self, library: LibraryCalls | None = None, *, second: bool = False, poisons: bool = True
    ) -> None:
        super().__init__()
        self._library = library or LibraryCalls()
        self.second = second
        self.poisons = poisons
        self.forbidden: list[str] = []
        self._copied: set[int] = set()

    def check(self) -> None:
        """Refuses host code that ran what it must not.

        Raises:
            VerificationRejected: ``host_compute``.
        """
        if self.forbidden:
            names = ", ".join(dict.fromkeys(self.forbidden))
            message = f"the module computes with torch: {names}; kernels must do that"
            raise VerificationRejected("host_compute", message)

    def let_copy(self, tangents: Iterable[torch.Tensor]) -> None:
        """Lets host code copy these."""
        self._copied |= {tensor.untyped_storage().data_ptr() for tensor in tangents}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = packet_name(func)
        if name == "zeros":
            self.let_copy([out])
        is_allowed = func.is_view or name in _ALLOWED or self._lays_out(name, args)
        if not self._library.admits(func) and not is_allowed:
            self.forbidden.append(str(func))
        if self.poisons and "empty" in name:
            # Outside of all modes: the executor's own must not take it for a write.
            with outside_dispatch_modes():
                for leaf in tree_flatten(out)[0]:
                    poison(leaf, second=self.second)
        return out

    def _lays_out(self, name: str, args: tuple[Any, ...]) -> bool:
        return name == "clone" and args[0].untyped_storage().data_ptr() in self._copied


def poison(tensor: torch.Tensor, *, second: bool = False) -> None:
    """Fills a fresh tensor with values that no right output holds."""
    dtype = tensor.dtype
    if dtype.is_floating_point or dtype.is_complex:
        tensor.fill_(-3.0 if second else float("nan"))
    elif dtype == torch.bool:
        tensor.fill_(not second)
    else:
        limits = torch.iinfo(dtype)
        tensor.fill_(limits.min if second else limits.max)
