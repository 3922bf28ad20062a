"""Arithmetic: integers wrap, floats round once, undefined cases are given a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.errors import UnsupportedOperation
from builder.execute.ir import BITS, Operation, Type
from builder.execute.registry import operation
from builder.execute.values import Poisoned, Value, choose, where

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.frame import Frame

Tensor = torch.Tensor
_SMALL = 4096


def _register_binary(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    undefined = _UNDEFINED.get(name)
    if undefined is None:

        @operation(name)
        def run(_frame: Frame, _op: Operation, args: list[Any]) -> Tensor:
            return function(args[0], args[1])

        return

    @operation(name)
    def run_where_defined(frame: Frame, _op: Operation, args: list[Any]) -> Tensor | Poisoned:
        result = function(args[0], args[1])
        where = undefined(args[0], args[1])
        if not bool(where.any()):
            return result
        frame.machine.poisoned = True
        return Poisoned(result, where)


def _beyond_width(a: Tensor, b: Tensor) -> Tensor:
    """Shifts by a negative amount or by the width and more (poison, LLVM Language Reference)."""
    return (b < 0) | (b >= a.dtype.itemsize * 8)


def _no_quotient(_a: Tensor, b: Tensor) -> Tensor:
    return b == 0


def _no_signed_quotient(a: Tensor, b: Tensor) -> Tensor:
    """Divisions by zero, and of the smallest number by -1, whose result no type holds."""
    if a.dtype == torch.bool:
        return ~b
    zero = b == 0
    minus_one = b == -1
    return zero | (minus_one & (a == torch.iinfo(a.dtype).min)) if bool(minus_one.any()) else zero


_UNDEFINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "arith.divsi": _no_signed_quotient,
    "arith.divui": _no_quotient,
    "arith.remsi": _no_signed_quotient,
    "arith.remui": _no_quotient,
    "arith.floordivsi": _no_signed_quotient,
    "arith.ceildivsi": _no_signed_quotient,
    "arith.shli": _beyond_width,
    "arith.shrsi": _beyond_width,
    "arith.shrui": _beyond_width,
}


def _add(a: Tensor, b: Tensor) -> Tensor:
    return a ^ b if a.dtype == torch.bool else a + b


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    return a & b if a.dtype == torch.bool else a * b


def _subtract(a: Tensor, b: Tensor) -> Tensor:
    return a ^ b if a.dtype == torch.bool else a - b


def unsigned_order(value: Tensor) -> Tensor:
    """Maps integers so that signed comparison gives the unsigned order."""
    if value.dtype == torch.bool:
        return value.to(torch.int8)
    return value ^ torch.iinfo(value.dtype).min


def signed_order(value: Tensor) -> Tensor:
    """Maps ``i1`` so that true is -1; others are as they are."""
    return -value.to(torch.int8) if value.dtype == torch.bool else value


def as_unsigned(value: Tensor) -> Tensor:
    """Integers of up to 32 bits as their unsigned value in int64."""
    if value.dtype == torch.bool:
        return value.long()
    return value.long() & ((1 << (value.dtype.itemsize * 8)) - 1)


def _pick(order: Callable[[Tensor], Tensor], take_left: Callable[..., Tensor]) -> Any:
    def run(a: Tensor, b: Tensor) -> Tensor:
        return where(take_left(order(a), order(b)), a, b)

    return run


def _safe(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Operands of a signed division that cannot trap: x/0 becomes x/1, MIN/-1 becomes MIN/1."""
    bad = b == 0
    minus_one = b == -1
    if bool(minus_one.any()):
        bad = bad | (minus_one & (a == torch.iinfo(a.dtype).min))
    return a, torch.where(bad, torch.ones_like(b), b) if bool(bad.any()) else b


def _divide_signed(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.bool:
        return a
    plain = _plain_division(a, b)
    if plain is not None:
        numbers, divisor = plain
        return torch.from_numpy(numbers // divisor)
    left, right = _safe(a, b)
    return torch.div(left, right, rounding_mode="trunc")


def _plain_division(a: Tensor, b: Tensor) -> tuple[np.ndarray[Any, Any], Any] | None:
    """Numbers, none of them negative, and the one positive number that divides them.

    For these numpy multiplies by the inverse, which is several times faster than to divide.
    """
    if b.numel() != 1 or not a.numel():
        return None
    numbers, divisor = a.numpy(), b.numpy().reshape(-1)[0]
    return (numbers, divisor) if divisor > 0 and numbers.min() >= 0 else None


def _remainder_signed(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.bool:
        return torch.zeros_like(a)
    plain = _plain_division(a, b)
    if plain is not None:
        numbers, divisor = plain
        whole = numbers // divisor
        whole *= divisor
        return torch.from_numpy(np.subtract(numbers, whole, out=whole))
    return torch.fmod(*_safe(a, b))


def _unsigned64(function: Callable[[Any, Any], Any], a: Tensor, b: Tensor) -> Tensor:
    left, right = (t.numpy().view(np.uint64) for t in (a.contiguous(), b.contiguous()))
    right = np.where(right == 0, np.uint64(1), right)
    return torch.from_numpy(np.asarray(function(left, right)).view(np.int64))


def _divide_unsigned(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.int64:
        return _unsigned64(np.floor_divide, a, b)
    divisor = as_unsigned(b)
    divisor = torch.where(divisor == 0, torch.ones_like(divisor), divisor)
    return torch.div(as_unsigned(a), divisor, rounding_mode="floor").to(a.dtype)


def _remainder_unsigned(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.int64:
        return _unsigned64(np.remainder, a, b)
    divisor = as_unsigned(b)
    divisor = torch.where(divisor == 0, torch.ones_like(divisor), divisor)
    return torch.remainder(as_unsigned(a), divisor).to(a.dtype)


def _rounding_division(up: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def run(a: Tensor, b: Tensor) -> Tensor:
        left, right = _safe(a, b)
        floor = torch.div(left, right, rounding_mode="floor")
        return floor + ((floor * right) != left).to(a.dtype) if up else floor

    return run


def _shift_left(a: Tensor, b: Tensor) -> Tensor:
    bits = a.dtype.itemsize * 8
    shifted = a << torch.clamp(b, 0, bits - 1)
    return torch.where((b < 0) | (b >= bits), torch.zeros_like(shifted), shifted)


def _shift_right_signed(a: Tensor, b: Tensor) -> Tensor:
    bits = a.dtype.itemsize * 8
    amount = torch.where((b < 0) | (b >= bits), torch.full_like(b, bits - 1), b)
    return a >> amount


def _shift_right_unsigned(a: Tensor, b: Tensor) -> Tensor:
    bits = a.dtype.itemsize * 8
    inside = torch.clamp(b, 0, bits - 1)
    if bits == 64:
        keep = torch.where(
            inside == 0, torch.full_like(inside, -1), (1 << ((64 - inside) & 63)) - 1
        )
        shifted = (a >> inside) & keep
    else:
        shifted = (as_unsigned(a) >> inside.long()).to(a.dtype)
    return torch.where((b < 0) | (b >= bits), torch.zeros_like(shifted), shifted)


def multiply_high(a: Tensor, b: Tensor, *, signed: bool) -> Tensor:
    """The upper half of the double-width product."""
    if a.dtype == torch.int64:
        return _multiply_high64(a, b, signed=signed)
    bits = a.dtype.itemsize * 8
    left, right = (a.long(), b.long()) if signed else (as_unsigned(a), as_unsigned(b))
    return ((left * right) >> bits).to(a.dtype)


def _multiply_high64(a: Tensor, b: Tensor, *, signed: bool) -> Tensor:
    half, ones = 32, 0xFFFFFFFF
    a_low, b_low = a & ones, b & ones
    a_high, b_high = (a >> half) & ones, (b >> half) & ones
    low = _logical_right(a_low * b_low, half)
    first = a_high * b_low + low
    second = a_low * b_high + (first & ones)
    high = a_high * b_high + _logical_right(first, half) + _logical_right(second, half)
    if signed:
        high = high - torch.where(a < 0, b, 0) - torch.where(b < 0, a, 0)
    return high


def _logical_right(value: Tensor, amount: int) -> Tensor:
    return (value >> amount) & ((1 << (64 - amount)) - 1)


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "arith.addi": _add,
    "arith.subi": _subtract,
    "arith.muli": _multiply,
    "arith.addf": torch.add,
    "arith.subf": torch.sub,
    "arith.mulf": torch.mul,
    "arith.divf": torch.div,
    "arith.remf": torch.fmod,
    "tt.precise_divf": torch.div,
    "arith.andi": torch.bitwise_and,
    "arith.ori": torch.bitwise_or,
    "arith.xori": torch.bitwise_xor,
    "arith.maximumf": torch.maximum,
    "arith.minimumf": torch.minimum,
    "arith.maxnumf": torch.fmax,
    "arith.minnumf": torch.fmin,
    "arith.maxsi": _pick(signed_order, torch.ge),
    "arith.minsi": _pick(signed_order, torch.le),
    "arith.maxui": _pick(unsigned_order, torch.ge),
    "arith.minui": _pick(unsigned_order, torch.le),
    "arith.divsi": _divide_signed,
    "arith.remsi": _remainder_signed,
    "arith.divui": _divide_unsigned,
    "arith.remui": _remainder_unsigned,
    "arith.floordivsi": _rounding_division(up=False),
    "arith.ceildivsi": _rounding_division(up=True),
    "arith.shli": _shift_left,
    "arith.shrsi": _shift_right_signed,
    "arith.shrui": _shift_right_unsigned,
    "tt.mulhiui": lambda a, b: multiply_high(a, b, signed=False),
}

for _name, _function in _BINARY.items():
    _register_binary(_name, _function)


@operation("arith.mulsi_extended", "arith.mului_extended")
def multiply_extended(_frame: Frame, op: Operation, args: list[Any]) -> tuple[Tensor, Tensor]:
    signed = op.name == "arith.mulsi_extended"
    return args[0] * args[1], multiply_high(args[0], args[1], signed=signed)


_ORDER: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "eq": (torch.eq, np.equal),
    "ne": (torch.ne, np.not_equal),
    "lt": (torch.lt, np.less),
    "le": (torch.le, np.less_equal),
    "gt": (torch.gt, np.greater),
    "ge": (torch.ge, np.greater_equal),
}
_NUMPY_TYPES = {torch.int8, torch.int16, torch.int32, torch.int64, torch.float32, torch.float64}


def compare(name: str, a: Tensor, b: Tensor) -> Tensor:
    """``a name b``; numpy's comparisons are several times faster on large blocks."""
    torch_form, numpy_form = _ORDER[name]
    if max(a.numel(), b.numel()) < _SMALL or a.dtype not in _NUMPY_TYPES:
        result: Tensor = torch_form(a, b)
        return result
    return torch.from_numpy(np.asarray(numpy_form(a.numpy(), b.numpy())))


@operation("arith.cmpi")
def compare_integers(_frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    predicate = op.attributes["words"][0]
    a, b = _comparable(args[0]), _comparable(args[1])
    if predicate in ("eq", "ne"):
        return compare(predicate, a, b)
    order = unsigned_order if predicate[0] == "u" else signed_order
    return compare(predicate[1:], order(a), order(b))


def _comparable(value: Value) -> Tensor:
    return value if isinstance(value, torch.Tensor) else value.addresses()


@operation("arith.cmpf")
def compare_floats(_frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    predicate = op.attributes["words"][0]
    a, b = args
    if predicate in ("true", "false"):
        return torch.full(
            torch.broadcast_shapes(a.shape, b.shape), predicate == "true", dtype=torch.bool
        )
    unordered = torch.isnan(a) | torch.isnan(b) if _needs_unordered(predicate) else None
    if predicate in ("ord", "uno"):
        assert unordered is not None
        return ~unordered if predicate == "ord" else unordered
    result = compare(predicate[1:], a, b)
    if unordered is None:
        return result
    return result & ~unordered if predicate[0] == "o" else result | unordered


def _needs_unordered(predicate: str) -> bool:
    """IEEE comparison is already ordered, except for ``!=``, which is unordered."""
    return predicate in ("ord", "uno", "one") or (predicate[0] == "u" and predicate != "une")


@operation("arith.select")
def select(_frame: Frame, _op: Operation, args: list[Any]) -> Value:
    condition, left, right = args
    if isinstance(condition, torch.Tensor) and condition.numel() == 1:
        shapes = [v.shape for v in (left, right) if isinstance(v, torch.Tensor)]
        if not shapes or len(condition.shape) == len(shapes[0]):
            return left if bool(condition) else right
    return choose(_align(condition, left), left, right)


def _align(condition: Tensor, value: Value) -> Tensor:
    """A scalar condition of a block selection gets the block's dimensions."""
    rank = value.dim() if isinstance(value, torch.Tensor) else value.rank + 1
    return condition.reshape(condition.shape + (1,) * (rank - condition.dim()))


@operation("arith.negf")
def negate(_frame: Frame, _op: Operation, args: list[Any]) -> Tensor:
    return -args[0]


@operation("tt.clampf")
def clamp(_frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    value, low, high = args
    if op.attributes.get("propagateNan") == "all":
        return torch.minimum(torch.maximum(value, low), high)
    return torch.fmin(torch.fmax(value, low), high)


@operation("arith.constant")
def constant(frame: Frame, op: Operation, _args: list[Any]) -> Tensor:
    if op.cache is None:
        op.cache = literal_tensor(op.attributes["literal"], frame.result_kind(op))
        if op.cache is None:
            raise UnsupportedOperation(
                f"arith.constant of {frame.result_kind(op).element}",
                kernel=frame.machine.kernel_name,
                line=op.line,
            )
    value: Tensor = op.cache
    return value


def literal_tensor(literal: str, kind: Type) -> Tensor | None:
    """A constant; a splat keeps size 1 in every dimension."""
    if kind.element not in BITS:
        return None
    if literal.startswith("["):
        items = [
            _literal(part, kind) for part in literal.replace("[", "").replace("]", "").split(",")
        ]
        return torch.stack(items).reshape(1, *kind.shape)
    return _literal(literal, kind).reshape((1,) * (len(kind.shape) + 1))


def _literal(text: str, kind: Type) -> Tensor:
    text = text.strip()
    if text in ("true", "false"):
        return torch.tensor(text == "true", dtype=kind.dtype)
    if not kind.is_float:
        return torch.tensor(int(text, 0), dtype=torch.int64).to(kind.dtype)
    if text.startswith("0x"):
        bits = int(text, 16)
        bits -= (bits >> (kind.bits - 1)) << kind.bits
        word = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}[kind.bits]
        return torch.tensor([bits], dtype=word).view(kind.dtype)[0]
    return torch.tensor(float(text), dtype=torch.float64).to(kind.dtype)
