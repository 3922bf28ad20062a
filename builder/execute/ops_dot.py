"""Matrix products with the precision that the text asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.registry import operation
from builder.execute.values import expand_block

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

Tensor = torch.Tensor


def truncate_to_tf32(value: Tensor) -> Tensor:
    """Drop all but 10 bits of mantissa.

    Triton hands float32 registers to the tensor cores as they are (its PTX has no
    ``cvt.rna.tf32``), and those ignore the low bits.
    """
    truncated = (value.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
    return torch.where(torch.isnan(value), value, truncated)


def _factor(value: Tensor, precision: str, accumulator: torch.dtype) -> Tensor:
    """An operand in a type in which products and sums are as exact as on the device."""
    if value.dtype == torch.float64 or not value.dtype.is_floating_point:
        return value.to(torch.float64)
    if accumulator == torch.float64:
        return value.to(torch.float64)
    wide = value.to(torch.float32)
    return truncate_to_tf32(wide) if precision == "tf32" and value.dtype == torch.float32 else wide


@operation("tt.dot")
def dot(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    """``a @ b + c``: half-precision factors are exact in float32, where the sums are made."""
    kind = frame.result_kind(op)
    precision = str(op.attributes.get("inputPrecision", "ieee"))
    a, b = (
        _factor(expand_block(args[number], frame.kind(op, number)), precision, kind.dtype)
        for number in (0, 1)
    )
    accumulator: Tensor = args[2]
    if a.dim() == 3 and a.shape[0] == b.shape[0] and accumulator.dtype == a.dtype:
        return _batched(a, b, accumulator)
    product = torch.matmul(a, b[0] if b.shape[0] == 1 and b.dim() == 3 else b)
    if not kind.is_float:
        return product.to(torch.int64).to(kind.dtype) + accumulator
    return (product + accumulator.to(product.dtype)).to(kind.dtype)


def _batched(a: Tensor, b: Tensor, accumulator: Tensor) -> Tensor:
    if accumulator.numel() == 1 and not bool(accumulator.reshape(())):
        return torch.bmm(a, b)
    return torch.baddbmm(accumulator, a, b)
