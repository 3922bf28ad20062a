"""Which bytes of fresh allocations something has written.

While a tracker is active, what ``torch.empty`` and its kin return is filled with poison (NaN,
large integers) and every byte of it counts as unwritten until a kernel or a torch operation
writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.seams import StorageWeakRef, TorchDispatchMode, schema_of, storage_key
from builder.execute.written import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

POISON_BYTE = 0x5A
_ALLOCATIONS = frozenset(
    {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
)
_PURGE_AT = 64


class Tracker:
    """The unwritten bytes of known storages."""

    def __init__(self) -> None:
        self._shadows: dict[int, tuple[StorageWeakRef, Written]] = {}
        self._purge_at = _PURGE_AT

    def add(self, tensor: torch.Tensor) -> None:
        """Poison a fresh allocation and count all of it as unwritten."""
        storage = tensor.untyped_storage()
        fill_with_poison(tensor)
        written = Written(storage.nbytes())
        self._shadows[storage_key(storage)] = (StorageWeakRef(storage), written)
        self._purge()

    def defined(self, storage: torch.UntypedStorage) -> Written | None:
        """What of the storage is written; None where all of it is."""
        known = self._shadows.get(storage_key(storage))
        if known is None:
            return None
        if not known[1].complete:
            return known[1]
        del self._shadows[storage_key(storage)]
        return None

    def note_write(self, tensor: torch.Tensor) -> None:
        """Count the elements of a tensor as written."""
        written = self.defined(tensor.untyped_storage())
        if written is None:
            return
        item = tensor.element_size()
        if tensor.is_contiguous():
            start = int(tensor.storage_offset())
            written.mark(slice(start, start + tensor.numel()), item)
            return
        strides = [stride * item for stride in tensor.stride()]
        place = int(tensor.storage_offset()) * item
        written.mark_strided((*tensor.shape, item), (*strides, 1), place)

    def _purge(self) -> None:
        if len(self._shadows) < self._purge_at:
            return
        self._shadows = {k: v for k, v in self._shadows.items() if not v[0].expired()}
        self._purge_at = max(_PURGE_AT, 2 * len(self._shadows))


def fill_with_poison(tensor: torch.Tensor) -> None:
    """NaN, large integers or true, in the whole storage."""
    storage = tensor.untyped_storage()
    dtype = tensor.dtype
    count = storage.nbytes() // dtype.itemsize
    with torch.no_grad():
        flat = torch.empty(0, dtype=dtype).set_(storage, 0, (count,), (1,))
        if (dtype.is_floating_point and dtype.itemsize > 1) or dtype.is_complex:
            flat.fill_(float("nan"))
        elif dtype == torch.bool:
            flat.fill_(1)
        else:
            fill = 0x7F if dtype.is_floating_point else POISON_BYTE
            flat.view(torch.uint8).fill_(fill)


class TrackingMode(TorchDispatchMode):
    """Tells a tracker of allocations and of what torch itself writes."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self._tracker = tracker

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = schema_of(func).name.partition("::")[2]
        if name in _ALLOCATIONS:
            if isinstance(result, torch.Tensor) and _is_real(result):
                self._tracker.add(result)
        elif schema_of(func).is_mutable:
            self._note_writes(func, args, kwargs)
        return result

    def _note_writes(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for number, argument in enumerate(schema_of(func).arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            for tensor in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(tensor, torch.Tensor) and _is_real(tensor):
                    self._tracker.note_write(tensor)


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.layout == torch.strided
