"""What operators need of their operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.programs.compose.values import Value

_MODERATE = 6.0
_POSITIVE = 0.02
_LONG = 4


def fits(need: str, value: Value, first: Value) -> bool:
    """Whether a value is what an operator needs, given its first operand."""
    return _NEEDS[need](value, first)


def _is_float(value: Value, _first: Value) -> bool:
    return value.is_float


def _is_single(value: Value, _first: Value) -> bool:
    return value.dtype == torch.float32


def _is_narrow(value: Value, _first: Value) -> bool:
    return value.dtype in (torch.float16, torch.bfloat16)


def _is_moderate(value: Value, _first: Value) -> bool:
    return value.is_float and bool(value.probe.abs().amax() <= _MODERATE)


def _is_positive(value: Value, _first: Value) -> bool:
    return value.is_float and bool(value.probe.amin() >= _POSITIVE)


def _is_unit(value: Value, _first: Value) -> bool:
    return value.is_float and bool((value.probe >= 0).all()) and bool((value.probe <= 1).all())


def _is_long(value: Value, _first: Value) -> bool:
    return value.is_float and value.rank > 1


def _is_single_long(value: Value, first: Value) -> bool:
    return _is_single(value, first) and value.rank > 1


def _is_wide_last(value: Value, _first: Value) -> bool:
    return (
        value.is_float
        and value.rank > 1
        and value.is_fixed(-1)
        and min(value.column(value.rank - 1)) >= _LONG
    )


def _is_image(value: Value, _first: Value) -> bool:
    return (
        value.is_float
        and value.rank == 4
        and value.is_fixed(1)
        and min(value.column(2) + value.column(3)) >= _LONG
    )


def _is_tokens(value: Value, _first: Value) -> bool:
    return value.is_float and value.rank == 3


def _is_like(value: Value, first: Value) -> bool:
    return (
        value is not first and value.dtype == first.dtype and value.probe.shape == first.probe.shape
    )


def _is_tokens_like(value: Value, first: Value) -> bool:
    return value.dtype == first.dtype and value.probe.shape == first.probe.shape


def _is_broad(value: Value, first: Value) -> bool:
    """Of the first operand's type, and broadcasts to its shape."""
    return value is not first and value.dtype == first.dtype and _broadcasts(value, first)


def _broadcasts(value: Value, first: Value) -> bool:
    if value.rank > first.rank or not value.rank:
        return False
    ours, theirs = value.probe.shape[::-1], first.probe.shape[::-1]
    return all(n in (1, m) for n, m in zip(ours, theirs, strict=False))


def _is_other(value: Value, first: Value) -> bool:
    return value is not first and value.is_float and value.dtype == first.dtype


def _is_broad_positive(value: Value, first: Value) -> bool:
    return _is_broad(value, first) and _is_positive(value, first)


def _is_broad_single(value: Value, first: Value) -> bool:
    return _is_broad(value, first) and _is_single(value, first)


def _is_mask(value: Value, _first: Value) -> bool:
    return value.dtype == torch.bool


def _is_mask_like(value: Value, first: Value) -> bool:
    return value is not first and value.dtype == torch.bool and _broadcasts(value, first)


def _is_mask_of(value: Value, first: Value) -> bool:
    return value.dtype == torch.bool and _broadcasts(value, first)


def _is_positions(_value: Value, _first: Value) -> bool:
    return False  # always an input of its own, within bounds by how it is drawn


def _contracts(value: Value, first: Value) -> bool:
    return (
        value is not first
        and value.dtype == first.dtype
        and value.rank == 2
        and value.column(0) == first.column(first.rank - 1)
    )


_NEEDS: dict[str, Callable[[Value, Value], bool]] = {
    "float": _is_float,
    "single": _is_single,
    "narrow": _is_narrow,
    "moderate": _is_moderate,
    "positive": _is_positive,
    "unit": _is_unit,
    "long": _is_long,
    "single_long": _is_single_long,
    "wide_last": _is_wide_last,
    "image": _is_image,
    "tokens": _is_tokens,
    "like": _is_like,
    "tokens_like": _is_tokens_like,
    "broad": _is_broad,
    "other": _is_other,
    "broad_positive": _is_broad_positive,
    "broad_single": _is_broad_single,
    "mask": _is_mask,
    "mask_like": _is_mask_like,
    "mask_of": _is_mask_of,
    "positions": _is_positions,
    "contract": _contracts,
}
