"""What makes a value zero where it is: ``v`` makes ``0.5 * v`` and ``expm1(0.5 * v)`` zero.

Where it is NaN, they are.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.signs import is_zero
from builder.bench.proofs.terms import Term, Value, Words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.execute.ir import Operation

_MOST_FACTORS = 4
_KEEPS_ZERO = frozenset(
    {
        "arith.negf", "math.absf", "math.sin", "math.erf", "math.sqrt", "tt.precise_sqrt",
        "math.floor", "math.ceil",
    }
)  # fmt: skip
_LIBRARY_KEEPS_ZERO = frozenset(
    {
        "__nv_expm1f", "__nv_tanhf", "__nv_erff", "__nv_log1pf", "__nv_sqrtf", "__nv_fabsf",
        "__nv_sinf", "__nv_tanf", "__nv_asinf", "__nv_atanf",
        "__nv_sinhf", "__nv_asinhf", "__nv_atanhf",
        "__nv_truncf", "__nv_rintf", "__nv_nearbyintf", "__nv_floorf", "__nv_ceilf",
    }
)  # fmt: skip


def factors_of(
    op: Operation, args: list[Value], words: list[Words], *, finite: bool
) -> tuple[Words, ...]:
    """Operands that make the result zero where they are zero; others must be finite for that."""
    if op.name == "arith.mulf":
        is_number = _is_finite if finite else _is_number
        kept = [is_number(other) and without_poles([other]) for other in reversed(args)]
        return _chained(compress(zip(words, args, strict=True), kept))
    if op.name == "arith.subf" and is_zero(args[0]):
        return _chained([(words[1], args[1])])
    return _chained([(words[0], args[0])]) if keeps_zero(op) else ()


def _chained(operands: Iterable[tuple[Words, Value]]) -> tuple[Words, ...]:
    """Operands, and what makes them zero in turn."""
    given = list(operands)
    behind = [word for _, v in given if isinstance(v, Term) for word in v.factors]
    return (*(word for word, _ in given), *behind)[:_MOST_FACTORS]


def keeps_zero(op: Operation) -> bool:
    return op.name in _KEEPS_ZERO or op.attributes.get("symbol") in _LIBRARY_KEEPS_ZERO


def _is_finite(value: Value) -> bool:
    return isinstance(value, Term) and value.finite


def _is_number(value: Value) -> bool:
    """A finite constant."""
    return isinstance(value, Term) and value.constant is not None and value.finite
