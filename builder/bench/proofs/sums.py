"""Sums of real numbers along an axis, with what they have of their terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.bench.proofs.common_factors import factors_along, without_axis
from builder.bench.proofs.field import field_elements, field_sum, with_constants
from builder.bench.proofs.grains import summed_grain
from builder.bench.proofs.terms import Term, Value, full

if TYPE_CHECKING:
    from builder.execute.ir import Type


def summed(value: Value, kind: Type, axis: int) -> Term:
    """The sums of finite numbers; ``kind`` is their type, ``axis`` the array's."""
    assert isinstance(value, Term)
    words = full(field_elements(value, kind.element), kind)
    return Term(
        with_constants(field_sum(words, axis), kind.element),
        positive=value.positive,
        poles=value.poles,
        scale=value.scale,
        common=without_axis(factors_along(value, axis), axis),
        above_zero=value.above_zero,
        grain=summed_grain(value, words, axis),
    )
