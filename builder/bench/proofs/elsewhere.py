"""Signs: what is multiplied by nothing at zero may take zero for positive, negative or neither.

``(0 <= x) - (x < 0)`` is one at zero, where the sign is zero; times ``sqrt(|x|)`` both are zero. So
for sums of comparisons with zero it is kept what they are elsewhere, told by ``<`` alone. They are
integers whatever ``x`` is, so that no float overflows but those of half precision, and where ``x``
is NaN, neither comparison holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.choice import comparison, vanishes
from builder.bench.proofs.signs import is_zero
from builder.bench.proofs.terms import Term, Value, as_words, combined

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Function, Operation

_COUNTS = frozenset(
    {
        "arith.extui", "arith.extsi", "arith.addi", "arith.subi", "arith.sitofp", "arith.uitofp",
        "arith.extf",
    }
)  # fmt: skip


def with_elsewhere(
    function: Function,
    op: Operation,
    args: list[Value],
    made: Term,
    run: Callable[[list[Value]], Value],
) -> Term:
    """The result of an operation, with what it is where a compared number is not zero.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        made: its result.
        run: gives the result on other operands.
    """
    if op.name == "arith.cmpf":
        return _compared(function, op, args, made)
    given = [value.elsewhere for value in args if isinstance(value, Term) and value.elsewhere]
    if not given or any(not np.array_equal(given[0][0], zeros) for zeros, _ in given):
        return made
    zeros = given[0][0]
    if op.name in _COUNTS and function.types[op.results[0]].element != "f16":
        words = as_words(run([_elsewhere(value) for value in args]))
        return replace(made, elsewhere=(zeros, words))
    others = [value for value in args if getattr(value, "elsewhere", None) is None]
    if op.name != "arith.mulf" or len(others) != 1:
        return made
    strict = as_words(run([_elsewhere(value) for value in args]))
    return replace(made, hashes=np.where(vanishes(others[0], zeros), strict, made.hashes))


def _compared(function: Function, op: Operation, args: list[Value], made: Term) -> Term:
    """A comparison with zero that holds at zero."""
    predicate = op.attributes["words"][0]
    if predicate not in ("ole", "oge"):
        return made
    pair = args if predicate == "ole" else args[::-1]
    number = [value for value in pair if not _is_constant(value)]
    if len(number) != 1 or not all(map(is_zero, (v for v in pair if v is not number[0]))):
        return made
    element = function.types[op.operands[0]].element
    strict = combined(comparison("olt", element), [as_words(value) for value in pair])
    return replace(made, elsewhere=(as_words(number[0]), strict))


def _is_constant(value: Value) -> bool:
    return isinstance(value, Term) and value.constant is not None and value.finite


def _elsewhere(value: Value) -> Value:
    if not isinstance(value, Term) or value.elsewhere is None:
        return value
    return Term(value.elsewhere[1], value.finite)
