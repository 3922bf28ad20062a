"""Operations that are no number for some operands: quotients, logarithms, roots, powers.

Zero times a number is zero, and a number less itself; but ``x * log(x)`` is NaN where ``x`` is
zero. What none of these operations is behind, or only where bounds keep their operands from where
they are no number, is a number whatever numbers the inputs are; overflow is left aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.terms import Known, Term, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.execute.ir import Operation

DIVISIONS = frozenset({"arith.divf", "tt.precise_divf"})
_ABOVE = {
    "math.log": 0.0, "math.log2": 0.0, "math.log1p": -1.0, "math.rsqrt": 0.0,
    "__nv_logf": 0.0, "__nv_log2f": 0.0, "__nv_log10f": 0.0, "__nv_log1pf": -1.0,
    "__nv_rsqrtf": 0.0, "__nv_powf": 0.0, "__nv_pow": 0.0,
}  # fmt: skip
_ROOTS = frozenset({"math.sqrt", "tt.precise_sqrt", "__nv_sqrtf"})
_EVERYWHERE = frozenset(
    {
        "math.absf", "math.exp", "math.exp2", "math.sin", "math.cos", "math.erf", "math.tanh",
        "math.floor", "math.ceil", "math.fma", "math.round", "math.roundeven",
        "__nv_fabsf", "__nv_expf", "__nv_exp2f", "__nv_expm1f", "__nv_sinf", "__nv_cosf",
        "__nv_erff", "__nv_erfcf", "__nv_tanhf", "__nv_sinhf", "__nv_coshf", "__nv_atanf",
        "__nv_asinhf", "__nv_floorf", "__nv_ceilf", "__nv_truncf", "__nv_rintf",
        "__nv_nearbyintf", "__nv_roundf", "__nv_fmaf",
        "__nv_isnanf", "__nv_isinff", "__nv_finitef", "__nv_signbitf", "__nv_copysignf",
    }
)  # fmt: skip


def without_poles(values: Iterable[Value]) -> bool:
    """Whether all are numbers whatever numbers the inputs are."""
    return all(not isinstance(value, Term) or not value.poles for value in values)


def all_numbers(values: Iterable[Value]) -> bool:
    """Whether none is NaN whatever numbers the inputs are; infinite constants are none."""
    return all(
        isinstance(value, Term) and value.numbers and not value.poles
        for value in values
        if not isinstance(value, Known)
    )


def is_masked(value: Value) -> bool:
    """Finite but for elements that are an infinite constant."""
    return isinstance(value, Term) and value.is_masked


def lies_between(value: Value) -> bool:
    """Likewise, and no element is NaN."""
    return is_masked(value) and without_poles([value])


def has_poles(op: Operation, args: list[Value]) -> bool:
    """Whether an operation, or what is behind its operands, may be no number."""
    if not without_poles(args):
        return True
    name = str(op.attributes.get("symbol") or op.name)
    if name in DIVISIONS:
        constant = getattr(args[1], "constant", None)
        is_constant = constant is not None and bool((constant != 0.0).all())
        return not is_constant and not _is_beyond(args[1], 0.0)
    if name == "tt.bitcast":
        return True
    if name in _ABOVE:
        return not _is_beyond(args[0], _ABOVE[name])
    if name in _ROOTS:
        least = floor_of(args[0])
        return least is None or least < 0.0
    if name.startswith(("math.", "__nv_")) or name == "arith.remf":
        return name not in _EVERYWHERE
    return False


def _is_beyond(value: Value, number: float) -> bool:
    least = floor_of(value)
    return least is not None and least > number
