"""Elementary functions of NVIDIA's libdevice and AMD's ocml, by the names of their symbols."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import UnsupportedOperation
from builder.execute.functions import (
    Function,
    Tensor,
    alike_everywhere,
    average,
    bessel_first,
    bessel_second,
    cosine_of_pi,
    count_leading_zeros,
    cube_root,
    double_of_halves,
    exponent_of,
    find_first_set,
    flag,
    float_exponent_of,
    gamma,
    high_half,
    ieee_remainder,
    in_double,
    low_half,
    permuted_bytes,
    population_count,
    positive_difference,
    power,
    product_of_24_bits,
    reciprocal_high,
    reverse_bits,
    round_half_away,
    scale_by_power,
    sign_bit,
    sine_of_pi,
    square_root,
    unsigned_difference,
)
from builder.execute.ir import Operation, Type
from builder.execute.ops_arith import multiply_high
from builder.execute.ops_convert import to_integer
from builder.execute.registry import operation
from builder.execute.rounding import directed_functions, fused_multiply_add

if TYPE_CHECKING:
    from builder.execute.frame import Frame

LIBDEVICE: dict[str, Function] = {
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atan2": alike_everywhere(torch.atan2),
    "atanh": alike_everywhere(torch.atanh),
    "brev": reverse_bits,
    "cbrt": cube_root,
    "ceil": torch.ceil,
    "clz": lambda v: count_leading_zeros(v).to(torch.int32),
    "copysign": torch.copysign,
    "cos": torch.cos,
    "cosh": alike_everywhere(torch.cosh),
    "cospi": in_double(cosine_of_pi),
    "cyl_bessel_i0": torch.special.i0,
    "cyl_bessel_i1": torch.special.i1,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "erfcinv": in_double(lambda v: -torch.special.ndtri(v / 2) / math.sqrt(2.0)),
    "erfcx": torch.special.erfcx,
    "erfinv": torch.erfinv,
    "exp": torch.exp,
    "exp10": in_double(alike_everywhere(lambda v: torch.pow(10.0, v))),
    "exp2": alike_everywhere(torch.exp2),
    "expm1": torch.expm1,
    "fabs": torch.abs,
    "fast_cosf": torch.cos,
    "fast_dividef": torch.div,
    "fast_exp10f": in_double(alike_everywhere(lambda v: torch.pow(10.0, v))),
    "fast_expf": torch.exp,
    "fast_log10f": torch.log10,
    "fast_log2f": torch.log2,
    "fast_logf": torch.log,
    "fast_powf": torch.pow,
    "fast_sinf": torch.sin,
    "fast_tanf": torch.tan,
    "fast_tanhf": torch.tanh,
    "fdim": positive_difference,
    "ffs": lambda v: find_first_set(v).to(torch.int32),
    "finite": flag(torch.isfinite),
    "floor": torch.floor,
    "fma": fused_multiply_add,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "fmod": torch.fmod,
    "hypot": in_double(torch.hypot),
    "ilogb": exponent_of,
    "isinf": flag(torch.isinf),
    "isfinited": flag(torch.isfinite),
    "isnan": flag(torch.isnan),
    "j0": lambda v: bessel_first(torch.zeros_like(v), v),
    "j1": lambda v: bessel_first(torch.ones_like(v), v),
    "ldexp": scale_by_power,
    "lgamma": torch.lgamma,
    "llrint": lambda v: to_integer(torch.round(v), Type("i64"), signed=True),
    "llround": lambda v: to_integer(round_half_away(v), Type("i64"), signed=True),
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logb": float_exponent_of,
    "mulhi": lambda a, b: multiply_high(a, b, signed=True),
    "mul64hi": lambda a, b: multiply_high(a, b, signed=True),
    "umulhi": lambda a, b: multiply_high(a, b, signed=False),
    "umul64hi": lambda a, b: multiply_high(a, b, signed=False),
    "nearbyint": torch.round,
    "nextafter": torch.nextafter,
    "normcdf": in_double(torch.special.ndtr),
    "normcdfinv": in_double(torch.special.ndtri),
    "popc": lambda v: population_count(v).to(torch.int32),
    "pow": power,
    "powi": power,
    "rcbrt": lambda v: 1.0 / cube_root(v),
    "remainder": ieee_remainder,
    "rhypot": in_double(lambda a, b: 1.0 / torch.hypot(a, b)),
    "rint": torch.round,
    "round": round_half_away,
    "rsqrt": torch.rsqrt,
    "saturatef": lambda v: torch.nan_to_num(v, nan=0.0).clamp(0.0, 1.0),
    "scalbn": scale_by_power,
    "signbit": sign_bit,
    "signbitd": sign_bit,
    "sin": torch.sin,
    "sinh": alike_everywhere(torch.sinh),
    "sinpi": in_double(sine_of_pi),
    "sqrt": square_root,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "tgamma": gamma,
    "trunc": torch.trunc,
    "y0": torch.special.bessel_y0,
    "y1": torch.special.bessel_y1,
    "frsqrt_rn": in_double(torch.rsqrt),
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


_ROUNDINGS: dict[str, Function] = {
    "rn": torch.round,
    "rd": torch.floor,
    "ru": torch.ceil,
    "rz": torch.trunc,
}


def _conversion(element: str, rounding: Function, *, signed: bool) -> Function:
    return lambda value: to_integer(rounding(value), Type(element), signed=signed)


for _mode, _rounding in _ROUNDINGS.items():
    for _source in ("float", "double"):
        LIBDEVICE[f"{_source}2int_{_mode}"] = _conversion("i32", _rounding, signed=True)
        LIBDEVICE[f"{_source}2uint_{_mode}"] = _conversion("i32", _rounding, signed=False)
        LIBDEVICE[f"{_source}2ll_{_mode}"] = _conversion("i64", _rounding, signed=True)
        LIBDEVICE[f"{_source}2ull_{_mode}"] = _conversion("i64", _rounding, signed=False)
LIBDEVICE |= directed_functions()
LIBDEVICE |= {
    "fast_fdividef": torch.div,
    "norm3d": in_double(lambda a, b, c: torch.sqrt(a * a + b * b + c * c)),
    "norm4d": in_double(lambda a, b, c, d: torch.sqrt(a * a + b * b + c * c + d * d)),
    "byte_perm": permuted_bytes,
    "double2hiint": high_half,
    "double2loint": low_half,
    "hiloint2double": double_of_halves,
    "hadd": average(signed=True, up=False),
    "rhadd": average(signed=True, up=True),
    "uhadd": average(signed=False, up=False),
    "urhadd": average(signed=False, up=True),
    "mul24": product_of_24_bits(signed=True),
    "umul24": product_of_24_bits(signed=False),
    "usad": unsigned_difference,
    "rcp64h": reciprocal_high,
    "jn": bessel_first,
    "yn": bessel_second,
    "rnorm3d": in_double(lambda a, b, c: 1.0 / torch.sqrt(a * a + b * b + c * c)),
    "rnorm4d": in_double(lambda a, b, c, d: 1.0 / torch.sqrt(a * a + b * b + c * c + d * d)),
}


_OCML = re.compile(r"__ocml_(\w+)_f(?:16|32|64)")
_OCML_NAMES = {"i0": "cyl_bessel_i0", "i1": "cyl_bessel_i1", "pown": "powi"}
"""Where AMD's library has another name."""


def _library_function(symbol: str) -> Function | None:
    """``__nv_tanhf``, ``__nv_tanh`` and ``__ocml_tanh_f32`` are one: torch goes by the type."""
    amd = _OCML.fullmatch(symbol)
    if amd is not None:
        return LIBDEVICE.get(_OCML_NAMES.get(amd.group(1), amd.group(1)))
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
    function = _library_function(symbol)
    if function is None:
        raise UnsupportedOperation(
            f"tt.extern_elementwise {symbol}", kernel=frame.machine.kernel_name, line=op.line
        )
    return function(*args).to(frame.result_kind(op).dtype)
