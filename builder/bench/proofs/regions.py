"""The regions of reductions and scans on symbols: what a combination of two elements computes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from builder.bench.proofs.ops import pointwise
from builder.bench.proofs.pairs import Order, candidates, first_of
from builder.bench.proofs.ranges import MAXIMA, MINIMA
from builder.bench.proofs.sets import united
from builder.bench.proofs.terms import (
    Address,
    Integers,
    Known,
    Reading,
    Term,
    Unprovable,
    Value,
    as_words,
    combined,
    in_sequence,
    mixed,
    name_hash,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.execute.ir import Function, Operation, Region, Type

    Outer: TypeAlias = Mapping[int, Value]

_MOST_PLACES = 512


def single_operation(op: Operation) -> str:
    """The name of the one operation that combines two elements; empty if it is not so."""
    entry = op.regions[0].entry
    if len(entry.operations) != 2:
        return ""
    combine, end = entry.operations
    is_whole = set(combine.operands) == set(entry.arguments) and end.operands == combine.results
    return combine.name if is_whole and len(combine.operands) == 2 else ""


def independent_parts(region: Region) -> list[tuple[int, ...]]:
    """For each result, the numbers of the results that it is reduced with.

    Results whose combination uses no other result's elements are a reduction of their own.
    """
    count = len(region.entry.arguments) // 2
    uses = {slot: {number % count} for number, slot in enumerate(region.entry.arguments)}
    needed: list[set[int]] = [set() for _ in range(count)]
    for op in region.entry.operations:
        found: set[int] = set().union(*(uses.get(slot, set()) for slot in op.operands))
        uses.update((slot, found) for slot in op.results)
        if op.name.endswith(".return"):
            needed = [uses.get(slot, set()) | {n} for n, slot in enumerate(op.operands)]
    for _ in range(count):
        needed = [set().union(*(needed[other] for other in own)) for own in needed]
    return [tuple(sorted(own)) for own in needed]


def region_hash(
    function: Function,
    region: Region,
    outer: Outer,
    *,
    finite: bool,
    infinite: bool = False,
    results: tuple[int, ...] = (),
    places: Mapping[int, Integers] | None = None,
    ordered: bool = False,
) -> np.uint64:
    """The structure of a region that is applied to elements, its own names left out.

    Args:
        function: whose slots it names.
        region: of a reduction or scan.
        outer: values that it may use.
        finite: its elements are numbers.
        infinite: some may be infinite constants.
        results: numbers of those that count; all, if there are none.
        places: elements that are known, of shape (n,), and all different, by number: such as a
            reduction passes along unchanged, so that it never combines two that are the same.
        ordered: those of the left are elements before those of the right.

    Raises:
        Unprovable: it has several blocks, or uses values from outside that are not constant.
    """
    symbols = _symbols(region, places or {}, finite=not infinite, ordered=ordered)
    returned = _returned(function, region, outer, symbols, finite=finite)
    chosen = [returned[number] for number in results] if results else returned
    words = combined(name_hash("region"), [as_words(value) for value in chosen])
    return np.uint64(words[0] if words.size == 1 else in_sequence(words, 0))


def region_order(
    function: Function,
    region: Region,
    outer: Outer,
    *,
    finite: bool,
    places: Mapping[int, Integers],
) -> Order | None:
    """The order of which a region takes the first of two pairs of a value and an index.

    Args:
        function: whose slots it names.
        region: of a reduction of values and indices.
        outer: values that it may use.
        finite: its elements are numbers.
        places: as for ``region_hash``.

    Raises:
        Unprovable: as ``region_hash``.
    """
    symbols = _symbols(region, places, finite=False)
    value, index = _returned(function, region, outer, symbols, finite=finite)
    pairs = index.pairs if isinstance(index, Term) else None
    if pairs is None:
        return None
    order = pairs.order
    one, one_index, other, other_index = (symbols[slot] for slot in region.entry.arguments)
    indices = [one_index, other_index]
    sides = [candidates(order, as_words(v), i) for v, i in zip((one, other), indices, strict=True)]
    least = united(order.operation, [one, other], order.value, finite=finite)
    is_first = as_words(index) == first_of(order, sides, indices).hashes
    return order if bool(is_first.all() and (as_words(value) == least.hashes).all()) else None


def region_extreme(
    function: Function,
    region: Region,
    outer: Outer,
    number: int,
    *,
    finite: bool,
    places: Mapping[int, Integers],
    ordered: bool = False,
) -> str | None:
    """The maximum or minimum that a result is of its own two elements, whatever the others are.

    Of any number of elements it is the extreme then, whatever becomes of the other results: which
    is so of two, and of an extreme of some and one of others it is that of them all.

    Args:
        function: whose slots it names.
        region: of a reduction or scan.
        outer: values that it may use.
        number: of the result.
        finite: its own elements are numbers; so are extremes of them.
        places: as for ``region_hash``.
        ordered: likewise.

    Raises:
        Unprovable: as ``region_hash``.
    """
    arguments = region.entry.arguments
    own = [arguments[number], arguments[number + len(arguments) // 2]]
    symbols = {
        slot: replace(value, poles=slot not in own) if isinstance(value, Term) else value
        for slot, value in _symbols(region, places, finite=False, ordered=ordered).items()
    }
    made = as_words(_returned(function, region, outer, symbols, finite=finite)[number])
    kind, sides = function.types[own[0]], [symbols[slot] for slot in own]
    for operation in sorted(MAXIMA | MINIMA):
        if bool((made == united(operation, sides, kind, finite=finite).hashes).all()):
            return operation
    return None


def known_places(
    region: Region, args: Mapping[int, Value], axis: int, kind: Type
) -> dict[int, Integers]:
    """The known elements along an axis that tell partial results apart, by number."""
    rows = {number: _row(value, axis, kind) for number, value in args.items()}
    return passed_places(region, {n: row for n, row in rows.items() if row is not None})


def _row(value: Value, axis: int, kind: Type) -> Integers | None:
    """The elements along an axis, if they are known, and the same everywhere else."""
    if not isinstance(value, Known) or value.data.shape[axis] != kind.shape[axis - 1]:
        return None
    rows = np.moveaxis(value.data, axis, -1).reshape(-1, value.data.shape[axis])
    return rows[0] if bool((rows == rows[0]).all()) else None


def passed_places(region: Region, values: Mapping[int, Integers]) -> dict[int, Integers]:
    """Those of the known elements that are all different and that the region only selects.

    Each partial result then has the place of one of its elements, and as partial results that meet
    are of different elements, so are their places.  Several are of one element if one condition
    selects them all.

    Args:
        region: of a reduction or scan.
        values: elements along the axis, of shape (n,), by number.
    """
    if len(region.blocks) != 1:
        return {}
    count = len(region.entry.arguments) // 2
    made = {slot: op for op in region.entry.operations for slot in op.results}
    returned = region.entry.operations[-1].operands
    found: dict[int, Integers] = {}
    ways = set()
    for number, places in values.items():
        op = made.get(returned[number])
        pair = {region.entry.arguments[number], region.entry.arguments[number + count]}
        is_selected = op is not None and op.name == "arith.select" and set(op.operands[1:]) == pair
        if is_selected and places.size <= _MOST_PLACES and np.unique(places).size == places.size:
            assert op is not None
            ways.add((op.operands[0], op.operands[1] == region.entry.arguments[number]))
            found[number] = places
    return found if len(ways) == 1 else {}


def _returned(
    function: Function, region: Region, outer: Outer, symbols: Mapping[int, Value], *, finite: bool
) -> list[Value]:
    """What a region gives for its arguments."""
    if len(region.blocks) != 1:
        raise Unprovable("a region of several blocks")
    known = dict(symbols)
    reading = Reading.FINITE if finite else Reading.BITS
    for op in region.entry.operations:
        args = [_inner(slot, known, outer) for slot in op.operands]
        if op.name.endswith(".return"):
            return args
        known[op.results[0]] = pointwise(function, op, args, reading=reading)
    return []


def _symbols(
    region: Region, places: Mapping[int, Integers], *, finite: bool, ordered: bool = False
) -> dict[int, Value]:
    """A symbol for each argument; pairs of places that differ for those that are known."""
    arguments = region.entry.arguments
    count = len(arguments) // 2
    symbols: dict[int, Value] = {
        slot: Term(mixed(np.full(1, name_hash("argument", number))), finite)
        for number, slot in enumerate(arguments)
    }
    if places:
        size = next(iter(places.values())).size
        differ = ~np.eye(size, dtype=bool)
        pairs = np.nonzero(np.triu(differ) if ordered else differ)
        for number, known in places.items():
            for side in (0, 1):
                symbols[arguments[number + side * count]] = Known(known[pairs[side]])
    return symbols


def _inner(slot: int, known: Mapping[int, Value], outer: Outer) -> Value:
    value = known.get(slot)
    if value is None:
        value = outer.get(slot)
        if value is None or isinstance(value, Address) or as_words(value).size != 1:
            raise Unprovable("a region that uses values from outside")
        # of a block or of instances, but one value
        shape = (1,)
        if isinstance(value, Known):
            return Known(value.data.reshape(shape))
        constant = None if value.constant is None else value.constant.reshape(shape)
        words = value.hashes.reshape(shape)
        return Term(
            words, value.finite, numbers=value.numbers, constant=constant, poles=value.poles
        )
    return value
