"""The integers that a program declares: those that ``torch.randint(0, 100, ...)`` can give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from builder.verify.draws import derived_seed
from builder.verify.seams import (
    TorchDispatchMode,
    overload_name,
    packet_name,
    schema_arguments,
)
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.verify.domain import Domain

Bounds: TypeAlias = tuple[int, int]
"""The least and the greatest integer, both included."""

_COPIES = frozenset({"_to_copy", "clone", "contiguous", "copy", "detach", "lift_fresh"})
_REORDERS = frozenset(
    {"flip", "roll", "sort", "index", "index_select", "gather", "repeat", "cat", "stack"}
)
_ONES = frozenset({"ones", "ones_like", "new_ones"})
_ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})


class DeclaredIntegers(TorchDispatchMode):
    """Notes the bounds of every integer tensor made while it is on.

    They follow from the arguments of the calls, so that they hold for every draw.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[torch.dtype, Bounds]] = {}
        self._independent: set[int] = set()
        self._kept: list[torch.UntypedStorage] = []

    def bounds(self, tensor: torch.Tensor) -> Bounds | None:
        """The bounds of a tensor's elements; None if it was made in another way."""
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return None
        if tensor.dtype == torch.bool:
            return (0, 1)
        dtype, bounds = self._known.get(_key(tensor), (None, None))
        return bounds if dtype == tensor.dtype else None  # of the same bits read as another type

    def free_bounds(self, tensor: torch.Tensor) -> Bounds | None:
        """Likewise, if each element may be any of them: drawn, not sorted or put together."""
        return self.bounds(tensor) if _key(tensor) in self._independent else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        if any(a.alias_info is not None and a.alias_info.is_write for a in schema_arguments(func)):
            for tensor in tensors_in([*args, *(kwargs or {}).values()]):
                self._known.pop(_key(tensor), None)
            return out
        made = [t for t in tensors_in(out) if not t.dtype.is_floating_point]
        bounds = self._bounds_of(packet_name(func), func, args) if made else None
        if bounds is not None and _holds(made[0].dtype, bounds):
            self._note(made[0], bounds, is_drawn=self._is_drawn(packet_name(func), args))
        return out

    def _note(self, tensor: torch.Tensor, bounds: Bounds, *, is_drawn: bool) -> None:
        self._kept.append(tensor.untyped_storage())  # so that its address is not given to another
        self._known[_key(tensor)] = tensor.dtype, bounds
        if is_drawn:
            self._independent.add(_key(tensor))

    def _is_drawn(self, name: str, args: Sequence[Any]) -> bool:
        return name == "randint" or (name in _COPIES and _key(args[0]) in self._independent)

    def _bounds_of(self, name: str, func: Any, args: Sequence[Any]) -> Bounds | None:
        if name in _ZEROS:
            return (0, 0)
        if name in _ONES:
            return (1, 1)
        if name == "randperm":
            return (0, max(int(args[0]) - 1, 0))
        if name == "randint":
            low, high = args[:2] if overload_name(func).startswith("low") else (0, args[0])
            return (int(low), int(high) - 1)
        if name in _COPIES | _REORDERS:
            return self._joined(tensors_in([args[0]]))
        return None

    def put_ends(self, inputs: Sequence[Any], first: Sequence[Domain], seed: int) -> None:
        """Lets drawn integers reach both ends of their range: the first row, the last, no more."""
        for place, (tensor, domain) in enumerate(zip(tensors_in(inputs), first, strict=True)):
            bounds = self.free_bounds(tensor)
            if bounds is not None and not domain.has_two:
                _put_ends(tensor, bounds, derived_seed(seed, "ends", place))

    def _joined(self, tensors: Sequence[torch.Tensor]) -> Bounds | None:
        every = [self.bounds(tensor) for tensor in tensors]
        known = [bounds for bounds in every if bounds is not None]
        if not known or len(known) < len(every):
            return None
        return min(low for low, _ in known), max(high for _, high in known)


def _put_ends(tensor: torch.Tensor, bounds: Bounds, seed: int) -> None:
    """Gives two elements of a tensor the least and the greatest value, in place."""
    if tensor.numel() < 2 or not tensor.is_contiguous():
        return
    places = torch.randperm(tensor.numel(), generator=torch.Generator().manual_seed(seed))[:2]
    tensor.view(-1)[places] = torch.tensor(bounds, dtype=tensor.dtype)


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _holds(dtype: torch.dtype, bounds: Bounds) -> bool:
    """Whether a type holds them as they are."""
    if dtype == torch.bool or dtype.is_complex:
        return False
    limits = torch.iinfo(dtype)
    return limits.min <= bounds[0] and bounds[1] <= limits.max
