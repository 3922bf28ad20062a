"""Shape of results: nesting, layout, and which tensors share memory."""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Tensor = torch.Tensor

_CONTAINERS = (dict, OrderedDict, set)


def flatten(value: Any) -> tuple[list[Any], str]:
    """The leaves of a nested result and a text of its nesting.

    Lists, tuples, named tuples, dicts and dataclasses are containers and go by the name of their
    type: each of two files has its own class of that name.
    """
    if isinstance(value, dict):
        return _container(type(value).__name__, value.values(), [repr(key) for key in value])
    if isinstance(value, (list, tuple)):
        return _container(type(value).__name__, value, list(getattr(value, "_fields", ())))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return _container(type(value).__name__, [getattr(value, n) for n in names], names)
    return [value], "*"


def _container(name: str, parts: Iterable[Any], keys: Sequence[str]) -> tuple[list[Any], str]:
    leaves: list[Any] = []
    texts: list[str] = []
    for part in parts:
        inner, text = flatten(part)
        leaves += inner
        texts.append(text)
    if keys:
        texts = [f"{key}: {text}" for key, text in zip(keys, texts, strict=True)]
    return leaves, f"{name}({', '.join(texts)})"


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a nested value, in order."""
    return [leaf for leaf in flatten(value)[0] if isinstance(leaf, Tensor)]


def cloned(value: Any) -> Any:
    """A deep copy: strides kept, tensors that share memory share it again."""
    with torch.no_grad():
        return copy.deepcopy(value, _empty_copies(value))


def _empty_copies(value: Any) -> dict[int, Any]:
    """A memo of copies of what modules hold empty, their dictionaries of hooks above all.

    Each takes ``copy.deepcopy`` as long as a tensor, and a module has a dozen of them.
    """
    modules = [item for item in flatten(value)[0] if isinstance(item, nn.Module)]
    held = (item for top in modules for module in top.modules() for item in vars(module).values())
    return {id(item): type(item)() for item in held if type(item) in _CONTAINERS and not item}


def significant_strides(tensor: Tensor) -> tuple[int, ...]:
    """Strides of the dimensions that have more than one element; none for an empty tensor."""
    if tensor.numel() == 0:
        return ()
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return tuple(stride for size, stride in pairs if size > 1)


def sharing(named: Sequence[tuple[str, Tensor]], outputs: Sequence[Tensor]) -> tuple[str, ...]:
    """For each output, the first input, parameter or earlier output whose memory it shares.

    An output that shares also says where in that memory it begins.
    """
    owners: dict[int, str] = {}
    for name, tensor in named:
        if tensor.untyped_storage().nbytes():
            owners.setdefault(tensor.untyped_storage().data_ptr(), name)
    pattern: list[str] = []
    for index, tensor in enumerate(outputs):
        if not tensor.untyped_storage().nbytes():
            pattern.append("own")
            continue
        address = tensor.untyped_storage().data_ptr()
        owner = owners.setdefault(address, f"output {index}")
        own = owner == f"output {index}"
        pattern.append("own" if own else f"{owner} + {tensor.storage_offset()}")
    return tuple(pattern)
