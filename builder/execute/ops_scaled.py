"""Products of microscaled matrices (OCP Microscaling Formats, version 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.registry import operation
from builder.execute.values import expand_block

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

Tensor = torch.Tensor

_FOUR_BITS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_E2M1 = torch.cat([_FOUR_BITS, -_FOUR_BITS])
_BYTES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def scale_factors(scale: Tensor) -> Tensor:
    """Bytes of e8m0 as ``2**(byte - 127)``, 255 as NaN; e4m3 as it is."""
    if scale.dtype != torch.int8:
        return scale.to(torch.float32)
    exponent = scale.to(torch.int32) & 0xFF
    power = torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent - 127).float()
    return torch.where(exponent == 0xFF, torch.nan, power)


def elements(value: Tensor, form: str, axis: int) -> Tensor:
    """The numbers an operand stands for, float32.

    A byte of e2m1 holds two, neighbours along ``axis`` (-1 or -2), the lower half first.
    """
    if form == "e2m1":
        codes = value.to(torch.int64)
        place = value.dim() + axis
        pairs = torch.stack([codes & 0xF, codes >> 4 & 0xF], dim=place + 1)
        return _E2M1[pairs.flatten(place, place + 1)]
    if form in _BYTES and value.dtype == torch.int8:
        value = value.contiguous().view(_BYTES[form])
    return value.to(torch.float32)


def _scaled(value: Tensor, scale: Tensor | None) -> Tensor:
    """Each group along the last axis times its factor."""
    if scale is None:
        return value
    group = value.shape[-1] // scale.shape[-1]
    return value * scale_factors(scale).repeat_interleave(group, dim=-1)


def _parts(op: Operation, values: list[Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Left factor and scale, right factor and scale, accumulator; None for a scale not given."""
    rest = list(values)
    left = rest.pop(0)
    left_scale = rest.pop(0) if op.attributes["scaled"][0] else None
    right = rest.pop(0)
    right_scale = rest.pop(0) if op.attributes["scaled"][1] else None
    return left, left_scale, right, right_scale, rest[0]


@operation("tt.dot_scaled")
def scaled_product(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    """``(a * a_scale) @ (b * b_scale) + c`` with sums in float32.

    Scaled elements are not rounded: a device without the instruction makes bf16 of them, in which
    all formats but fp16 are exact.
    """
    full = [expand_block(value, frame.kind(op, n)) for n, value in enumerate(args)]
    left, left_scale, right, right_scale, accumulator = _parts(op, full)
    attributes = op.attributes
    left_axis = -1 if attributes.get("lhs_k_pack", True) else -2
    right_axis = -2 if attributes.get("rhs_k_pack", True) else -1
    a = _scaled(elements(left, attributes["lhs"], left_axis), left_scale)
    b = _scaled(elements(right, attributes["rhs"], right_axis).mT, right_scale).mT
    return torch.matmul(a, b) + accumulator


def poisoned_products(op: Operation, masks: list[Tensor]) -> Tensor:
    """Rows and columns of the result that a poisoned element or scale reaches."""
    left, left_scale, right, right_scale, accumulator = _parts(op, masks)
    rows, columns = left.any(-1, keepdim=True), right.any(-2, keepdim=True)
    if not op.attributes.get("lhs_k_pack", True) and rows.shape[-2] > 1:
        rows = rows.repeat_interleave(2, dim=-2)
    if not op.attributes.get("rhs_k_pack", True) and columns.shape[-1] > 1:
        columns = columns.repeat_interleave(2, dim=-1)
    if left_scale is not None:
        rows = rows | left_scale.any(-1, keepdim=True)
    if right_scale is not None:
        columns = columns | right_scale.any(-1, keepdim=True).mT
    found: Tensor = rows | columns | accumulator
    return found
