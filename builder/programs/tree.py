"""Nested containers of tensors: walking, naming, comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All leaves of nested lists, tuples and dicts with their paths, ``[0]['key']``."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for position, part in enumerate(value):
            yield from leaves(part, f"{path}[{position}]")
    else:
        yield path, value


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors among the leaves, in order."""
    return [leaf for _, leaf in leaves(value) if isinstance(leaf, torch.Tensor)]


def aliased(value: Any) -> tuple[str, str] | None:
    """The paths of two leaves that are one tensor, if there are such."""
    first: dict[int, str] = {}
    for path, leaf in leaves(value):
        if isinstance(leaf, torch.Tensor) and first.setdefault(id(leaf), path) != path:
            return first[id(leaf)], path
    return None


def replaced(value: Any, path: str, new: Any, here: str = "") -> Any:
    """The same containers with the leaf at ``path`` replaced."""
    if isinstance(value, dict):
        return {k: replaced(part, path, new, f"{here}[{k!r}]") for k, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [replaced(part, path, new, f"{here}[{i}]") for i, part in enumerate(value)]
        if isinstance(value, tuple):
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return parts
    return new if here == path else value


def identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Same type, shape and values; NaN equals NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if torch.equal(a, b):
        return True
    if not (a.is_floating_point() or a.is_complex()):
        return False
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
