"""Which plain attributes of a module a forward changes.

A Triton module keeps tensors that are registered as buffers; Python state beside them would be
lost.  Leans on private parts of torch 2.11 to 2.13: the registries in ``vars(nn.Module())``, the
pre-hooks among them, and ``Tensor._version``, which counts writes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_REGISTRIES = frozenset(vars(nn.Module())) - {"training"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_MISSING = object()


def attribute_images(module: nn.Module) -> dict[str, Any]:
    """What can be compared of every plain attribute of every submodule, by dotted name.

    Numbers, strings and containers count by value, tensors by identity and number of writes, other
    objects by identity.  Registered parameters and buffers may be written to, under whatever name
    they are held; what torch's own hooks recompute (``weight_norm``) is left out.
    """
    registered = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
    return {
        f"{path}.{name}" if path else name: _image(value, registered)
        for path, part in module.named_modules()
        for name, value in _plain_attributes(part).items()
    }


def changed_attributes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of the attributes that differ, came or went, sorted."""
    names = sorted(before.keys() | after.keys())
    # in a tuple, so that a NaN equals itself
    return [n for n in names if (before.get(n, _MISSING),) != (after.get(n, _MISSING),)]


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Instance attributes over those of the module's own classes."""
    found: dict[str, Any] = {}
    for owner in reversed(type(module).__mro__):
        if owner not in (nn.Module, object):
            found |= {n: value for n, value in vars(owner).items() if _is_data(n, value)}
    found |= vars(module)
    hooks = module._forward_pre_hooks.values()  # noqa: SLF001
    recomputed = {getattr(hook, "name", None) for hook in hooks}
    return {n: value for n, value in found.items() if n not in _REGISTRIES and n not in recomputed}


def _is_data(name: str, value: Any) -> bool:
    """Whether a class's attribute is no method, descriptor or nested class."""
    return not (name.startswith("__") or callable(value) or hasattr(value, "__get__"))


@dataclass(frozen=True, eq=False)
class _Held:
    """An object by identity; holding it keeps its address from being given to another."""

    value: Any
    version: int = 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Held) and self.value is other.value and self.version == other.version
        )

    def __hash__(self) -> int:
        return id(self.value)


def _image(value: Any, registered: set[int], outer: frozenset[int] = frozenset()) -> Any:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, torch.Tensor):
        uncounted = id(value) in registered or value.is_inference()
        return _Held(value, 0 if uncounted else value._version)  # noqa: SLF001
    if id(value) in outer:  # a container that holds itself
        return _Held(value)
    inner = outer | {id(value)}
    if isinstance(value, dict):
        pairs = value.items()
        return dict, tuple(
            (_image(k, registered, inner), _image(v, registered, inner)) for k, v in pairs
        )
    if isinstance(value, (list, tuple, deque)):
        return type(value), tuple(_image(part, registered, inner) for part in value)
    if isinstance(value, (set, frozenset)):
        return type(value), frozenset(_image(part, registered, inner) for part in value)
    return _Held(value)
