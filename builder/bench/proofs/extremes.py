"""Results of reductions and scans of several values that are extremes of one of them.

The greatest of some values is the same whatever is done with the indices beside them, and which of
equal ones is taken does not count.  So it is told by these values alone: in a reduction by their
set, in a scan by those up to each element.  As in ``sets``, the sign of a zero is left aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.poles import all_numbers, without_poles
from builder.bench.proofs.regions import known_places, region_extreme
from builder.bench.proofs.sets import united_along
from builder.bench.proofs.terms import Reading, Term, Value, combined, name_hash, prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.bench.proofs.regions import Outer
    from builder.execute.ir import Function, Operation, Type


def with_extremes(
    function: Function,
    op: Operation,
    args: list[Value],
    made: Iterable[Value],
    outer: Outer,
    reading: Reading,
) -> list[Value]:
    """The results of a reduction or scan, of which those that are extremes are told as such.

    Args:
        function: whose slots the operation names.
        op: the reduction or scan.
        args: its operands.
        made: its results.
        outer: values that its region may use.
        reading: what floats are taken for.

    Raises:
        Unprovable: a region that has no rule.
    """
    axis, results = op.attributes["axis"] + 1, list(made)
    scans, reverse = op.name == "tt.scan", bool(op.attributes.get("reverse"))
    region, kind = op.regions[0], function.types[op.operands[0]]
    places = known_places(region, dict(enumerate(args)), axis, kind)
    for number, (slot, value) in enumerate(zip(op.operands, args, strict=True)):
        kind = function.types[slot]
        if not isinstance(value, Term) or not kind.is_float:
            continue
        operation = region_extreme(
            function,
            region,
            outer,
            number,
            finite=reading >= Reading.FINITE and all_numbers([value]),
            places=places,
            ordered=scans and not reverse,
        )
        if operation is not None and scans:
            results[number] = _scanned(operation, value, kind, axis, reverse=reverse)
        elif operation is not None:
            finite = reading >= Reading.FINITE
            results[number] = united_along(operation, value, kind, axis, finite=finite)
    return results


def _scanned(operation: str, value: Term, kind: Type, axis: int, *, reverse: bool) -> Term:
    """The extreme of the elements up to each, or from it on."""
    words = np.broadcast_to(value.hashes, (value.hashes.shape[0], *kind.shape))
    name = name_hash("scanned", operation, kind.element, reverse)
    return Term(
        combined(name, [prefixes(words, axis, reverse=reverse)]),
        value.finite,
        numbers=value.finite,
        poles=not without_poles([value]),
    )
