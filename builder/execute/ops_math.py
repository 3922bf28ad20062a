"""Elementary functions: the ``math`` dialect and ``libdevice``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.errors import UnsupportedOperation
from builder.execute.ir import Operation, Type
from builder.execute.ops_arith import multiply_high
from builder.execute.ops_convert import to_integer
from builder.execute.registry import operation

if TYPE_CHECKING:
    from builder.execute.frame import Frame

Tensor = torch.Tensor
Function = Callable[..., Tensor]


def fused_multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """One rounding: the product is exact in float64, up to float64 operands themselves."""
    if a.dtype == torch.float64:
        return torch.addcmul(c, a, b)
    return (a.double() * b.double() + c.double()).to(a.dtype)


def _round_half_away(value: Tensor) -> Tensor:
    return torch.copysign(torch.floor(value.abs() + 0.5), value).where(
        value.abs() < 2.0**22, torch.round(value)
    )


def _cube_root(value: Tensor) -> Tensor:
    return torch.from_numpy(np.cbrt(value.double().numpy())).to(value.dtype)


def _next_after(a: Tensor, b: Tensor) -> Tensor:
    return torch.nextafter(a, b)


def _count_leading_zeros(value: Tensor) -> Tensor:
    bits = value.dtype.itemsize * 8
    rest = value.clone()
    count = torch.full_like(value, 0)
    step = bits // 2
    while step:
        empty = _logical_shift(rest, bits - step) == 0
        count = torch.where(empty, count + step, count)
        rest = torch.where(empty, rest << step, rest)
        step //= 2
    return torch.where(value == 0, torch.full_like(value, bits), count)


def _logical_shift(value: Tensor, amount: int) -> Tensor:
    bits = value.dtype.itemsize * 8
    return (value >> amount) & ((1 << (bits - amount)) - 1)


def _population_count(value: Tensor) -> Tensor:
    raw = value.contiguous().view(torch.uint8).reshape(*value.shape, value.dtype.itemsize)
    counts = torch.from_numpy(np.unpackbits(raw.numpy(), axis=-1).sum(axis=-1))
    return counts.to(value.dtype)


def _find_first_set(value: Tensor) -> Tensor:
    """Position of the lowest set bit counted from 1; 0 where there is none."""
    lowest = value & -value
    position = value.dtype.itemsize * 8 - _count_leading_zeros(lowest)
    return torch.where(value == 0, torch.zeros_like(value), position)


def _count_trailing_zeros(value: Tensor) -> Tensor:
    bits = torch.full_like(value, value.dtype.itemsize * 8)
    return torch.where(value == 0, bits, _find_first_set(value) - 1)


def _reverse_bits(value: Tensor) -> Tensor:
    raw = value.contiguous().view(torch.uint8).reshape(*value.shape, value.dtype.itemsize)
    bits = np.unpackbits(raw.numpy(), axis=-1)
    packed = np.packbits(np.ascontiguousarray(bits[..., ::-1]), axis=-1)
    return torch.from_numpy(packed).view(value.dtype).reshape(value.shape)


def _exponent(value: Tensor) -> Tensor:
    """``ilogb``: INT_MIN for 0 and NaN, INT_MAX for infinity."""
    exponent = torch.frexp(value).exponent.to(torch.int32) - 1
    info = torch.iinfo(torch.int32)
    exponent = torch.where((value == 0) | torch.isnan(value), info.min, exponent)
    return torch.where(torch.isinf(value), info.max, exponent).to(torch.int32)


def _scale(value: Tensor, exponent: Tensor) -> Tensor:
    wide = value.double()
    for part in (exponent // 2, exponent - exponent // 2):
        wide = torch.ldexp(wide, part.clamp(-1000, 1000).double())
    return wide.to(value.dtype)


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    if exponent.dtype in (torch.int32, torch.int64):
        exponent = exponent.to(torch.float64)
        return torch.pow(base.double(), exponent).to(base.dtype)
    return torch.pow(base, exponent)


def _sign_bit(value: Tensor) -> Tensor:
    return torch.signbit(value).to(torch.int32)


def _flag(function: Function) -> Function:
    def run(*values: Tensor) -> Tensor:
        return function(*values).to(torch.int32)

    return run


def _double(function: Function) -> Function:
    """The function computed in float64."""

    def run(*values: Tensor) -> Tensor:
        return function(*(v.double() for v in values)).to(values[0].dtype)

    return run


def _sine_of_pi(value: Tensor) -> Tensor:
    return torch.sin(torch.remainder(value.double(), 2.0) * math.pi)


def _cosine_of_pi(value: Tensor) -> Tensor:
    return torch.cos(torch.remainder(value.double(), 2.0) * math.pi)


def _scaled_erfc(value: Tensor) -> Tensor:
    return torch.special.erfcx(value)


_MATH: dict[str, Function] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "fma": fused_multiply_add,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "pow": _power,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "trunc": torch.trunc,
}

for _alias, _target in {
    "absf": "abs", "absi": "abs", "powf": "pow", "fpowi": "pow", "precise_sqrt": "sqrt",
}.items():  # fmt: skip
    _MATH[_alias] = _MATH[_target]
_MATH |= {
    "roundeven": torch.round,
    "round": _round_half_away,
    "ctpop": _population_count,
    "ctlz": _count_leading_zeros,
    "cttz": _count_trailing_zeros,
    "copysign": torch.copysign,
    "atan2": torch.atan2,
}


def _register(name: str, function: Function) -> None:
    @operation(name)
    def run(_frame: Frame, _op: Operation, args: list[Any]) -> Tensor:
        return function(*args)


for _name, _function in _MATH.items():
    _register(f"math.{_name}", _function)
_register("tt.precise_sqrt", torch.sqrt)


LIBDEVICE: dict[str, Function] = {
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atan2": torch.atan2,
    "atanh": torch.atanh,
    "brev": _reverse_bits,
    "cbrt": _cube_root,
    "ceil": torch.ceil,
    "clz": lambda v: _count_leading_zeros(v).to(torch.int32),
    "copysign": torch.copysign,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "cospi": _double(_cosine_of_pi),
    "cyl_bessel_i0": torch.special.i0,
    "cyl_bessel_i1": torch.special.i1,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "erfcinv": _double(lambda v: -torch.special.ndtri(v / 2) / math.sqrt(2.0)),
    "erfcx": _scaled_erfc,
    "erfinv": torch.erfinv,
    "exp": torch.exp,
    "exp10": _double(lambda v: torch.pow(10.0, v)),
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "fabs": torch.abs,
    "fast_cosf": torch.cos,
    "fast_dividef": torch.div,
    "fast_exp10f": _double(lambda v: torch.pow(10.0, v)),
    "fast_expf": torch.exp,
    "fast_log10f": torch.log10,
    "fast_log2f": torch.log2,
    "fast_logf": torch.log,
    "fast_powf": torch.pow,
    "fast_sinf": torch.sin,
    "fast_tanf": torch.tan,
    "fast_tanhf": torch.tanh,
    "fdim": lambda a, b: torch.clamp(a - b, min=0),
    "ffs": lambda v: _find_first_set(v).to(torch.int32),
    "finite": _flag(torch.isfinite),
    "floor": torch.floor,
    "fma": fused_multiply_add,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "fmod": torch.fmod,
    "hypot": _double(torch.hypot),
    "ilogb": _exponent,
    "isinf": _flag(torch.isinf),
    "isfinited": _flag(torch.isfinite),
    "isnan": _flag(torch.isnan),
    "j0": torch.special.bessel_j0,
    "j1": torch.special.bessel_j1,
    "ldexp": _scale,
    "lgamma": torch.lgamma,
    "llrint": lambda v: to_integer(torch.round(v), Type("i64"), signed=True),
    "llround": lambda v: to_integer(_round_half_away(v), Type("i64"), signed=True),
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logb": lambda v: torch.frexp(v).exponent.to(v.dtype) - 1,
    "mulhi": lambda a, b: multiply_high(a, b, signed=True),
    "mul64hi": lambda a, b: multiply_high(a, b, signed=True),
    "umulhi": lambda a, b: multiply_high(a, b, signed=False),
    "umul64hi": lambda a, b: multiply_high(a, b, signed=False),
    "nearbyint": torch.round,
    "nextafter": _next_after,
    "normcdf": _double(torch.special.ndtr),
    "normcdfinv": _double(torch.special.ndtri),
    "popc": lambda v: _population_count(v).to(torch.int32),
    "pow": _power,
    "powi": _power,
    "rcbrt": lambda v: 1.0 / _cube_root(v),
    "remainder": lambda a, b: torch.from_numpy(_ieee_remainder(a, b)).to(a.dtype),
    "rhypot": _double(lambda a, b: 1.0 / torch.hypot(a, b)),
    "rint": torch.round,
    "round": _round_half_away,
    "rsqrt": torch.rsqrt,
    "saturatef": lambda v: torch.nan_to_num(v, nan=0.0).clamp(0.0, 1.0),
    "scalbn": _scale,
    "signbit": _sign_bit,
    "signbitd": _sign_bit,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sinpi": _double(_sine_of_pi),
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "tgamma": _double(lambda v: torch.from_numpy(np.vectorize(_gamma)(v.numpy()))),
    "trunc": torch.trunc,
    "y0": torch.special.bessel_y0,
    "y1": torch.special.bessel_y1,
    "frcp_rn": torch.reciprocal,
    "drcp_rn": torch.reciprocal,
    "fdiv_rn": torch.div,
    "ddiv_rn": torch.div,
    "fsqrt_rn": torch.sqrt,
    "dsqrt_rn": torch.sqrt,
    "frsqrt_rn": torch.rsqrt,
    "fadd_rn": torch.add,
    "dadd_rn": torch.add,
    "fmul_rn": torch.mul,
    "dmul_rn": torch.mul,
    "fmaf_rn": fused_multiply_add,
    "fma_rn": fused_multiply_add,
    "int_as_float": lambda v: v.view(torch.float32),
    "uint_as_float": lambda v: v.view(torch.float32),
    "float_as_int": lambda v: v.view(torch.int32),
    "float_as_uint": lambda v: v.view(torch.int32),
    "longlong_as_double": lambda v: v.view(torch.float64),
    "double_as_longlong": lambda v: v.view(torch.int64),
    "abs": torch.abs,
    "llabs": torch.abs,
    "sad": lambda a, b, c: torch.abs(a - b) + c,
}


def _gamma(value: float) -> float:
    try:
        return math.gamma(value)
    except (OverflowError, ValueError):
        return math.inf if value > 0 or math.isinf(value) else math.nan


def _ieee_remainder(a: Tensor, b: Tensor) -> Any:
    def one(x: float, y: float) -> float:
        try:
            return math.remainder(x, y)
        except ValueError:
            return math.nan

    return np.vectorize(one, otypes=[np.float64])(a.double().numpy(), b.double().numpy())


def _libdevice_function(symbol: str) -> Function | None:
    """``__nv_tanhf`` and ``__nv_tanh`` are one function here: torch goes by the type."""
    name = symbol.removeprefix("__nv_")
    if name in LIBDEVICE:
        return LIBDEVICE[name]
    for suffix in ("f", "ll", "d"):
        short = name.removesuffix(suffix)
        if short != name and short in LIBDEVICE:
            return LIBDEVICE[short]
    return None


@operation("tt.extern_elementwise")
def extern_elementwise(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    symbol = op.attributes["symbol"]
    function = _libdevice_function(symbol)
    if function is None:
        raise UnsupportedOperation(
            f"tt.extern_elementwise {symbol}", kernel=frame.machine.kernel_name, line=op.line
        )
    return function(*args).to(frame.result_kind(op).dtype)
