"""Floats that depend on no data, such as weights of an interpolation: computed, not left as terms.

Only operations that IEEE 754-2019 rounds once (5.4.1, 5.9, 5.6, 5.8) are, in the type that they
have, so that the result is the one number that any right machine gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from builder.bench.proofs.terms import Known, Term, Value, float_constants
from builder.execute.ir import TORCH_DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Function, Operation, Type

Floats: TypeAlias = npt.NDArray[np.float64]

_NUMPY = {"f32": np.float32, "f64": np.float64}
_ROUNDED = ("f16", "bf16", "f32", "f64")
_CASTS = frozenset({"arith.extf", "arith.truncf", "tt.fp_to_fp"})
_EXACT_INTEGERS = float(2**53)
_ARITHMETIC: dict[str, Callable[..., Floats]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "tt.precise_divf": np.divide,
    "arith.negf": np.negative,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "math.absf": np.abs,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.sqrt": np.sqrt,
    "tt.precise_sqrt": np.sqrt,
}
_LIBRARY: dict[str, Callable[..., Floats]] = {
    "__nv_floorf": np.floor,
    "__nv_ceilf": np.ceil,
    "__nv_rintf": np.rint,
    "__nv_nearbyintf": np.rint,
    "__nv_truncf": np.trunc,
}
COMPARISONS: dict[str, Callable[[Floats, Floats], npt.NDArray[np.bool_]]] = {
    "oeq": np.equal,
    "une": np.not_equal,
    "olt": np.less,
    "ole": np.less_equal,
    "ogt": np.greater,
    "oge": np.greater_equal,
}


def constant_term(values: Floats, element: str) -> Term:
    """Floats of a type, as terms.

    Args:
        values: exact in that type.
        element: ``f32`` and the like.
    """
    is_finite = bool(np.isfinite(values).all())
    numbers = not bool(np.isnan(values).any())
    return Term(
        float_constants(element, values),
        is_finite,
        positive=bool(((values >= 0) | (values == -np.inf)).all()),
        numbers=numbers,
        constant=values,
        masked=numbers,
        least=float(values.min()) if values.size and numbers else None,
        most=float(values.max()) if values.size and numbers else None,
    )


def computed(function: Function, op: Operation, args: list[Value], kind: Type) -> Value | None:
    """The result of an operation on constants; None if it is none, or has no rule."""
    if not args:
        return None
    if op.name in ("arith.sitofp", "arith.uitofp"):
        return _from_integers(function, op, args[0], kind)
    numbers = [value.constant if isinstance(value, Term) else None for value in args]
    values = [number for number in numbers if number is not None]
    if len(values) < len(args):
        return None
    source = function.types[op.operands[0]].element
    with np.errstate(all="ignore"):
        if op.name == "arith.cmpf":
            return _compared(op, values)
        if op.name in ("arith.fptosi", "arith.fptoui"):
            return _to_integers(op, values[0], kind)
        if op.name in _CASTS:
            return _cast(op, values[0], kind)
        return _calculated(op, values, source)


def _calculated(op: Operation, values: list[Floats], element: str) -> Term | None:
    run = _ARITHMETIC.get(op.name)
    if op.name == "tt.extern_elementwise":
        run = _LIBRARY.get(str(op.attributes.get("symbol")))
    if run is None or element not in _NUMPY:
        return None
    if op.name in ("arith.divf", "tt.precise_divf") and bool((values[1] == 0.0).any()):
        return None  # of a zero the sign is not known
    typed = [value.astype(_NUMPY[element]) for value in values]
    return constant_term(np.asarray(run(*typed), dtype=np.float64), element)


def _compared(op: Operation, values: list[Floats]) -> Known | None:
    run = COMPARISONS.get(op.attributes["words"][0])
    return None if run is None else Known(np.asarray(run(*values), dtype=np.int64))


def _from_integers(function: Function, op: Operation, value: Value, kind: Type) -> Term | None:
    if not isinstance(value, Known) or kind.element not in _NUMPY:
        return None
    bits = function.types[op.operands[0]].bits
    data = value.data
    if op.name == "arith.uitofp":
        if bits == 64:
            return None
        data = data & ((1 << bits) - 1)
    elif bits == 1:
        data = -data
    if bool((np.abs(data.astype(np.float64)) >= _EXACT_INTEGERS).any()):
        return None
    values = data.astype(_NUMPY[kind.element]).astype(np.float64)
    return constant_term(values, kind.element)


def _to_integers(op: Operation, values: Floats, kind: Type) -> Known | None:
    """Rounded towards zero; beyond the type the result is undefined."""
    high = 2.0 ** (kind.bits - 1)
    low = 0.0 if op.name == "arith.fptoui" else -high
    cut = np.trunc(values)
    inside = np.isfinite(cut) & (cut >= low) & (cut < high)
    return Known(cut.astype(np.int64)) if bool(inside.all()) else None


def _cast(op: Operation, values: Floats, kind: Type) -> Term | None:
    if op.attributes.get("rounding") == "rtz" or kind.element not in _ROUNDED:
        return None
    singles = torch.from_numpy(np.ascontiguousarray(values)).to(torch.float32)
    if kind.element == "f64":
        return constant_term(values, kind.element)
    if not bool((singles.double() == torch.from_numpy(values)).all()) and kind.element != "f32":
        return None  # torch would round twice
    rounded = singles.to(TORCH_DTYPES[kind.element]).to(torch.float64)
    return constant_term(rounded.numpy(), kind.element)
