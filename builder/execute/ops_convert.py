"""Conversions between number types, and bit casts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.execute.ir import Operation, Type
from builder.execute.ops_arith import as_unsigned
from builder.execute.registry import operation
from builder.execute.rounding import narrowed
from builder.execute.values import Pointer, Value

if TYPE_CHECKING:
    from builder.execute.frame import Frame

Tensor = torch.Tensor

LARGEST_FP8 = {
    torch.float8_e4m3fn: 448.0,
    torch.float8_e5m2: 57344.0,
    torch.float8_e4m3fnuz: 240.0,
    torch.float8_e5m2fnuz: 57344.0,
}


@operation("arith.extsi")
def sign_extend(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    dtype = frame.result_kind(op).dtype
    value: Tensor = args[0]
    return -value.to(dtype) if value.dtype == torch.bool else value.to(dtype)


@operation("arith.extui")
def zero_extend(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    return as_unsigned(args[0]).to(frame.result_kind(op).dtype)


@operation("arith.trunci")
def truncate_integer(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    kind = frame.result_kind(op)
    value: Tensor = args[0]
    return (value & 1).to(torch.bool) if kind.element == "i1" else value.to(kind.dtype)


@operation("arith.index_cast", "arith.index_castui")
def cast_index(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    value: Tensor = args[0]
    return value.to(frame.result_kind(op).dtype)


@operation("arith.sitofp")
def signed_to_float(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    value: Tensor = args[0]
    if value.dtype == torch.bool:
        value = -value.to(torch.int8)
    return value.to(frame.result_kind(op).dtype)


@operation("arith.uitofp")
def unsigned_to_float(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    dtype = frame.result_kind(op).dtype
    value: Tensor = args[0]
    if value.dtype != torch.int64:
        return as_unsigned(value).to(dtype)
    if dtype == torch.float64:
        return torch.from_numpy(value.contiguous().numpy().view(np.uint64).astype(np.float64))
    wide = torch.from_numpy(value.contiguous().numpy().view(np.uint64).astype(np.float32))
    return wide.to(dtype)


@operation("arith.fptosi", "arith.fptoui")
def float_to_integer(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    """Rounds to zero; NaN gives 0 and what does not fit saturates, as PTX ``cvt.rzi`` does.

    Results narrower than 32 bits are the low bits of a 32-bit conversion.
    """
    kind = frame.result_kind(op)
    return to_integer(args[0], kind, signed=op.name == "arith.fptosi")


def to_integer(value: Tensor, kind: Type, *, signed: bool) -> Tensor:
    if kind.element == "i1":
        return value.to(torch.float32).trunc() != 0
    if kind.bits < 32:
        return to_integer(value, Type("i32"), signed=True).to(kind.dtype)
    if value.dtype not in (torch.float32, torch.float64):
        value = value.to(torch.float32)
    value = torch.nan_to_num(value, nan=0.0, posinf=float("inf"), neginf=float("-inf"))
    if kind.bits == 32:
        low, high = (-(2.0**31), 2.0**31) if signed else (0.0, 2.0**32)
        wide = value.clamp(low, high).to(torch.int64)
        return wide.clamp(max=int(high) - 1).to(torch.int32)
    return _to_int64(value, signed=signed)


def _to_int64(value: Tensor, *, signed: bool) -> Tensor:
    top = 2.0**63
    if signed:
        inside = value.clamp(-top, 0.75 * top).to(torch.int64)
        exact = torch.where(value < top, value, torch.zeros_like(value)).clamp(-top).to(torch.int64)
        largest = torch.full_like(inside, torch.iinfo(torch.int64).max)
        return torch.where(value >= top, largest, exact)
    clipped = value.clamp(0.0)
    low = torch.where(clipped < top, clipped, torch.zeros_like(clipped)).to(torch.int64)
    upper = torch.where((clipped >= top) & (clipped < 2 * top), clipped - top, 0.0)
    high = upper.to(torch.int64) + torch.iinfo(torch.int64).min
    result = torch.where(clipped >= top, high, low)
    return torch.where(clipped >= 2 * top, torch.full_like(result, -1), result)


@operation("arith.extf")
def extend_float(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    value: Tensor = args[0]
    return value.to(frame.result_kind(op).dtype)


@operation("arith.truncf", "tt.fp_to_fp")
def convert_float(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    dtype = frame.result_kind(op).dtype
    value: Tensor = args[0]
    is_cut = op.attributes.get("rounding") == "rtz" and dtype.itemsize < value.dtype.itemsize
    if is_cut and dtype == torch.float8_e5m2:
        return _cut_to_e5m2(value)
    largest = LARGEST_FP8.get(dtype)
    if largest is not None:
        wide = value.to(torch.float32)
        finite = torch.where(torch.isnan(wide), wide, wide.clamp(-largest, largest))
        return finite.to(dtype)
    if is_cut:
        return _round_to_zero(value, dtype)
    return narrowed(value, dtype) if value.dtype == torch.float64 else value.to(dtype)


def _cut_to_e5m2(value: Tensor) -> Tensor:
    """The upper half of float16, as for compute capability 9.0; infinities stay what they are."""
    wide = value.to(torch.float32) if value.dtype == torch.bfloat16 else value
    half = wide if wide.dtype == torch.float16 else _round_to_zero(wide, torch.float16)
    return (half.view(torch.int16) >> 8).to(torch.int8).view(torch.float8_e5m2)


def _round_to_zero(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert, then step back where the magnitude grew."""
    result = value.to(dtype)
    grew = result.to(value.dtype).abs() > value.abs()
    bits = result.view(torch.int32 if dtype == torch.float32 else torch.int16)
    return torch.where(grew, bits - 1, bits).view(dtype)


@operation("arith.bitcast", "tt.bitcast")
def bitcast(frame: Frame, op: Operation, args: list[Any]) -> Value:
    value: Value = args[0]
    kind = frame.result_kind(op)
    if isinstance(value, Pointer):
        assert kind.pointee is not None
        return value.retyped(kind.pointee.itemsize)
    if value.dtype == kind.dtype:
        return value
    if kind.element == "i1":
        return value != 0
    if value.dtype == torch.bool:
        return value.to(torch.int8).view(kind.dtype)
    return value.contiguous().view(kind.dtype)


@operation("tt.ptr_to_int")
def pointer_to_integer(_frame: Frame, _op: Operation, args: list[Any]) -> Tensor:
    pointer: Pointer = args[0]
    return pointer.addresses()


@operation("tt.int_to_ptr")
def integer_to_pointer(frame: Frame, op: Operation, args: list[Any]) -> Pointer:
    kind = frame.result_kind(op)
    assert kind.pointee is not None
    return Pointer(None, kind.pointee.itemsize, 0, args[0], len(kind.shape))
