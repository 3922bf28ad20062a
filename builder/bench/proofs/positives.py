"""Real numbers above zero: exponentials, their sums, products and quotients.

The constant zero, which a masked lane is, is told apart by its term; so is an exponential of the
constant minus infinity.  Logarithms of such numbers, and quotients by them, are numbers, if no lane
is that constant, and zero over one of them is zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.field import field_elements
from builder.bench.proofs.poles import DIVISIONS, is_masked, without_poles
from builder.bench.proofs.terms import Known, Term, Value

if TYPE_CHECKING:
    from builder.execute.ir import Operation

EXPONENTIALS = {"math.exp": "e", "__nv_expf": "e", "math.exp2": "2", "__nv_exp2f": "2"}
LOGARITHMS = {"math.log": "e", "__nv_logf": "e", "math.log2": "2", "__nv_log2f": "2"}
CASTS = frozenset({"arith.extf", "arith.truncf", "tt.fp_to_fp"})
_KEEPS = frozenset({"arith.addf", "arith.mulf"}) | CASTS
_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})
"""Casts to others, of 8 bits, are functions that may be zero."""


def is_above_zero(value: Value, element: str) -> bool:
    """Whether all elements are."""
    if not isinstance(value, Term) or not value.finite:
        return False
    if (floor_of(value) or 0.0) > 0.0:
        return True
    return value.above_zero and bool((field_elements(value, element) != 0).all())


def with_above_zero(op: Operation, args: list[Value], made: Term, element: str) -> Term:
    """The result of an operation on real numbers, marked if it is above zero."""
    if element not in _FLOATS or not without_poles(args):
        return made
    name = str(op.attributes.get("symbol") or op.name)
    if name in EXPONENTIALS and made.finite and is_masked(args[0]):
        return replace(made, above_zero=True)
    if not all(isinstance(value, Term) and value.finite for value in args):
        return made
    if name in _KEEPS and all(map(is_above_or_zero, args)):
        return replace(made, above_zero=True)
    if name in DIVISIONS and is_above_zero(args[1], element):
        return replace(made, above_zero=is_above_zero(args[0], element), poles=False)
    if name in LOGARITHMS and is_above_zero(args[0], element):
        return replace(made, poles=False)
    return made


def chosen_above_zero(args: list[Value], element: str) -> bool:
    """Whether a selection is; one by data is the constant zero in no lane of its own."""
    if isinstance(args[0], Known):
        return all(map(is_above_or_zero, args[1:]))
    return all(is_above_zero(value, element) for value in args[1:])


def is_above_or_zero(value: Value) -> bool:
    """Whether all elements are above zero or the constant zero."""
    if not isinstance(value, Term):
        return False
    constant = value.constant
    return value.above_zero or (constant is not None and bool((constant >= 0.0).all()))
