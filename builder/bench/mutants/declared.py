"""The integers that a program declares: those that ``torch.randint(0, 100, ...)`` can give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from builder.execute import seams
from builder.verify.seams import overload_name
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from builder.verify.preparation import Prepared

Bounds: TypeAlias = tuple[int, int]
"""The least and the greatest integer, both included."""

_KEEPS = frozenset(
    {
        "_to_copy", "clone", "contiguous", "copy", "flip", "roll", "sort", "index", "index_select",
        "gather", "repeat", "cat", "stack", "detach", "lift_fresh",
    }
)  # fmt: skip
_ONES = frozenset({"ones", "ones_like", "new_ones"})
_ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})


def declared_bounds(prepared: Prepared, index: int) -> dict[str, Bounds]:
    """The bounds of an input set's integer tensors that follow from how they are made.

    Args:
        prepared: the program.
        index: of the input set.

    Returns:
        bounds by the input's name, ``input 0``; tensors made in other ways have none.
    """
    recorder = _Recorder()
    with prepared.surroundings(), recorder:
        inputs = prepared.declared_inputs(index)
    found = {f"input {place}": recorder.bounds(t) for place, t in enumerate(tensors_in(inputs))}
    return {name: bounds for name, bounds in found.items() if bounds is not None}


class _Recorder(seams.TorchDispatchMode):
    """Notes the bounds of every integer tensor made while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, Bounds] = {}
        self._kept: list[torch.UntypedStorage] = []

    def bounds(self, tensor: torch.Tensor) -> Bounds | None:
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return None
        if tensor.dtype == torch.bool:
            return (0, 1)
        return self._known.get(seams.storage_key(tensor.untyped_storage()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.is_view:
            return out
        name = func.overloadpacket.__name__
        if any(a.alias_info is not None and a.alias_info.is_write for a in _arguments(func)):
            for tensor in tensors_in(args):
                self._known.pop(seams.storage_key(tensor.untyped_storage()), None)
            return out
        made = [t for t in tensors_in(out) if not t.dtype.is_floating_point]
        bounds = self._of(name, func, args) if made else None
        if bounds is not None:
            self._note(made[0], bounds)
        return out

    def _note(self, tensor: torch.Tensor, bounds: Bounds) -> None:
        if tensor.dtype != torch.bool:
            limits = torch.iinfo(tensor.dtype)
            if bounds[0] < limits.min or bounds[1] > limits.max:
                return
        storage = tensor.untyped_storage()
        self._kept.append(storage)  # so that its address is not given to another
        self._known[seams.storage_key(storage)] = bounds

    def _of(self, name: str, func: Any, args: Any) -> Bounds | None:
        if name in _ZEROS:
            return (0, 0)
        if name in _ONES:
            return (1, 1)
        if name == "randperm":
            return (0, max(int(args[0]) - 1, 0))
        if name == "randint":
            low, high = args[:2] if overload_name(func).startswith("low") else (0, args[0])
            return (int(low), int(high) - 1)
        if name in _KEEPS:
            first = args[0]
            sources = [self.bounds(tensor) for tensor in tensors_in([first])]
            if sources and all(source is not None for source in sources):
                known = [source for source in sources if source is not None]
                return min(low for low, _ in known), max(high for _, high in known)
        return None


def _arguments(func: Any) -> list[Any]:
    return list(seams.schema_of(func).arguments)
