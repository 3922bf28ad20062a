"""Reductions, scans, products and gathers on symbols.

A reduction is its combining region and the sequence of its operands; zeros of a sum change nothing
and are left out of the sequence.  Of several results, those that use no other's elements are
reductions of their own, and extremes are told apart from the rest (``extremes``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench.proofs.algebra import operation_name, sum_words
from builder.bench.proofs.common_factors import (
    beside_factors,
    factors_along,
    without_axis,
    without_factors,
)
from builder.bench.proofs.extremes import with_extremes
from builder.bench.proofs.field import (
    PRIME,
    field_add,
    field_elements,
    field_matmul,
    with_constants,
)
from builder.bench.proofs.moved import along, moved_again
from builder.bench.proofs.pairs import candidates, first_along
from builder.bench.proofs.poles import all_numbers, without_poles
from builder.bench.proofs.positives import is_above_or_zero
from builder.bench.proofs.ranges import MAXIMA
from builder.bench.proofs.reach import cover_of_sum
from builder.bench.proofs.regions import (
    independent_parts,
    known_places,
    region_hash,
    region_order,
    single_operation,
)
from builder.bench.proofs.sets import IDEMPOTENT, united_along
from builder.bench.proofs.sums import summed
from builder.bench.proofs.symmetric import symmetric_hash
from builder.bench.proofs.terms import (
    Known,
    Reading,
    Term,
    Value,
    Words,
    as_words,
    combined,
    float_constant,
    full,
    in_sequence,
    mixed,
    name_hash,
    prefixes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.bench.proofs.regions import Outer
    from builder.execute.ir import Function, Operation, Type

_KNOWN_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "arith.addi": np.sum,
    "arith.ori": np.bitwise_or.reduce,
    "arith.andi": np.bitwise_and.reduce,
    "arith.maxsi": np.max,
    "arith.minsi": np.min,
}


def along_axis(
    function: Function,
    op: Operation,
    args: list[Value],
    outer: Outer,
    *,
    reading: Reading = Reading.BITS,
) -> list[Value]:
    """The results of ``tt.reduce``, ``tt.scan``, ``tt.dot`` or ``tt.gather``.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        outer: values that its region may use.
        reading: what floats are taken for.

    Raises:
        Unprovable: a region that has no rule here.
    """
    if op.name == "tt.dot":
        return [_dot(function, op, args, reading)]
    if op.name == "tt.gather":
        return [_gather(function, op, args)]
    if op.name == "tt.reduce":
        return _reduce(function, op, args, outer, reading)
    return _scan(function, op, args, outer, reading)


def _lanes(function: Function, op: Operation, args: list[Value]) -> Words:
    """Per element the hash of all operands there, at full size."""
    words = [as_words(value) for value in args]
    lanes = full(combined(name_hash("lane"), words), function.types[op.operands[0]])
    return np.asarray(lanes)


def _reduce(
    function: Function, op: Operation, args: list[Value], outer: Outer, reading: Reading
) -> list[Value]:
    axis = op.attributes["axis"] + 1
    kind = function.types[op.operands[0]]
    combine = single_operation(op)
    if len(args) == 1 and isinstance(args[0], Known) and combine in _KNOWN_REDUCTIONS:
        data = full(args[0].data, kind)
        return [Known(np.asarray(_KNOWN_REDUCTIONS[combine](data, axis=axis), dtype=np.int64))]
    if len(args) == 1 and combine in IDEMPOTENT:
        return [_extreme(combine, args[0], kind, axis, reading)]
    if len(args) == 1 and combine == "arith.addf" and reading is Reading.REAL and _finite(args[0]):
        return [summed(args[0], kind, axis)]
    first = _first(function, op, args, outer, reading) if len(args) == 2 else None
    if first is not None:
        return first
    joined = _in_any_order(function, op, args, outer) if reading is Reading.REAL else None
    if joined is not None:
        return joined
    parts = independent_parts(op.regions[0])
    made = {part: _reduced(function, op, args, outer, reading, part) for part in parts}
    results = [
        replace(
            made[part],
            hashes=combined(name_hash("reduced", part.index(number)), [made[part].hashes]),
        )
        for number, part in enumerate(parts)
    ]
    return with_extremes(function, op, args, results, outer, reading)


def _in_any_order(
    function: Function, op: Operation, args: list[Value], outer: Outer
) -> list[Value] | None:
    """The results of a reduction of several real numbers of which the order does not count.

    Lanes of zeros add nothing to others.
    """
    axis = op.attributes["axis"] + 1
    kinds = [function.types[slot] for slot in op.operands]
    if len(args) < 2 or not all(map(_finite, args)) or not without_poles(args):
        return None
    elements = [
        full(field_elements(value, kind.element), kind)
        for value, kind in zip(args, kinds, strict=True)
    ]
    zeros = [words == 0 for words in np.broadcast_arrays(*elements)]
    is_empty = np.logical_and.reduce(zeros)
    positive = [
        is_above_or_zero(value) and bool((zero == is_empty).all())
        for value, zero in zip(args, zeros, strict=True)
    ]
    region = symmetric_hash(function, op.regions[0], outer, positive) if any(positive) else None
    if region is None:
        return None
    lanes = np.where(is_empty, np.uint64(0), mixed(_lanes(function, op, args)))
    total = np.asarray(lanes.sum(axis=axis, dtype=np.uint64))
    nothing = is_empty.all(axis=axis)
    made: list[Value] = []
    for number, (kind, is_above) in enumerate(zip(kinds, positive, strict=True)):
        words = combined(name_hash("in any order", int(region), number), [total])
        words = np.where(nothing, float_constant(kind.element, 0.0), words)
        made.append(Term(words, above_zero=is_above))
    return made


def _extreme(combine: str, value: Value, kind: Type, axis: int, reading: Reading) -> Value:
    """An extreme along an axis; of real numbers a positive factor of all is one of it."""
    moved = along(value, axis) if reading is Reading.REAL else None
    if moved is not None:
        before = _extreme(combine, moved.before, kind, axis, reading)
        return moved_again(before, moved.shift.squeeze(axis), kind)
    factors = factors_along(value, axis) if reading is Reading.REAL and _finite(value) else ()
    value = without_factors(value, factors, kind.element)
    made = united_along(combine, value, kind, axis, finite=reading >= Reading.FINITE)
    if reading is not Reading.REAL or not isinstance(value, Term):
        return made
    made = replace(made, extreme=kind.is_float)
    if not value.finite:
        return made
    made = replace(made, above_zero=value.above_zero and combine in MAXIMA)
    return beside_factors(made, without_axis(factors, axis), kind.element)


def _first(
    function: Function, op: Operation, args: list[Value], outer: Outer, reading: Reading
) -> list[Value] | None:
    """The first of pairs of values and indices along an axis, and its index."""
    axis = op.attributes["axis"] + 1
    kind, index_kind = (function.types[slot] for slot in op.operands)
    if not kind.is_float or index_kind.is_float or len(op.regions[0].blocks) != 1:
        return None
    places = known_places(op.regions[0], {1: args[1]}, axis, kind)
    finite = reading >= Reading.FINITE
    order = region_order(
        function, op.regions[0], outer, finite=finite and all_numbers(args), places=places
    )
    if order is None or not isinstance(args[0], Term):
        return None
    pairs = candidates(order, args[0].hashes, args[1])
    return [
        united_along(order.operation, args[0], kind, axis, finite=finite),
        first_along(pairs, args[1], kind.shape, axis),
    ]


def _reduced(
    function: Function,
    op: Operation,
    args: list[Value],
    outer: Outer,
    reading: Reading,
    part: tuple[int, ...],
) -> Term:
    """All results of a part of a reduction that is one of its own."""
    axis = op.attributes["axis"] + 1
    region, kind = op.regions[0], function.types[op.operands[0]]
    used = [args[number] for number in part]
    lanes = _lanes(function, op, used)
    combine, neutral = single_operation(op), None
    if len(args) == 1 and isinstance(args[0], Term):
        neutral = _neutral(combine, args[0], kind, axis)
    total = in_sequence(lanes, axis, skipped=neutral)
    places = known_places(region, {number: args[number] for number in part}, axis, kind)
    numbers = reading >= Reading.FINITE and all_numbers(used)
    finite = all(isinstance(value, Known) or _finite(value) for value in used)
    name = region_hash(
        function,
        region,
        outer,
        finite=numbers,
        infinite=not finite or not without_poles(used),
        results=part,
        places=places,
    )
    positive = combine == "arith.addf" and finite and _positive(args[0])
    words = combined(name_hash("reduce", int(name)), [total])
    made = Term(words, finite, positive=positive, numbers=finite, poles=not without_poles(used))
    if combine == "arith.addf" and reading is Reading.FINITE:
        made = replace(made, cover=cover_of_sum(args[0], kind, axis))
    return made


def _neutral(combine: str, value: Term, kind: Type, axis: int) -> Words | None:
    """Zeros of a sum, in rows where some lane is left; None for other reductions."""
    if combine != "arith.addf":
        return None
    skipped = full(value.hashes, kind) == float_constant(kind.element, 0.0)
    result: Words = skipped & ~skipped.all(axis=axis, keepdims=True)
    return result


def _finite(value: Value) -> bool:
    return isinstance(value, Term) and value.finite


def _positive(value: Value) -> bool:
    return isinstance(value, Term) and value.positive


def _scan(
    function: Function, op: Operation, args: list[Value], outer: Outer, reading: Reading
) -> list[Value]:
    lanes = _lanes(function, op, args)
    reverse = bool(op.attributes.get("reverse"))
    axis = op.attributes["axis"] + 1
    sums = prefixes(lanes, axis, reverse=reverse)
    numbers = reading >= Reading.FINITE and all_numbers(args)
    kind = function.types[op.operands[0]]
    places = known_places(op.regions[0], dict(enumerate(args)), axis, kind)
    finite = all(isinstance(value, Known) or _finite(value) for value in args)
    poles = not without_poles(args)
    name = region_hash(
        function,
        op.regions[0],
        outer,
        finite=numbers,
        infinite=not finite or poles,
        places=places,
        ordered=not reverse,
    )
    region = int(name)
    made = [
        Term(
            combined(name_hash("scan", region, reverse, number), [sums]),
            finite,
            numbers=finite,
            poles=poles,
        )
        for number in range(len(op.results))
    ]
    return with_extremes(function, op, args, made, outer, reading)


def _dot(function: Function, op: Operation, args: list[Value], reading: Reading) -> Value:
    finite, poles = all(_finite(value) for value in args[:3]), not without_poles(args)
    is_real = reading is Reading.REAL and finite and function.types[op.operands[2]].is_float
    if is_real and not _hides_poles(function, op, args):
        words = _real_product(function, op, args)
        return Term(words, finite, numbers=finite, poles=poles)
    kinds = [function.types[slot] for slot in op.operands[:2]]
    left, right = (full(as_words(a), kind) for a, kind in zip(args[:2], kinds, strict=True))
    zeros = [float_constant(kind.element, 0.0) for kind in kinds]
    ones = [float_constant(kind.element, 1.0) for kind in kinds]
    # 0 * 0 and 0 * 1 add nothing: where one side has zeros in all lanes, the other's one is zero.
    right_is_zero = np.expand_dims((right == zeros[1]).all(axis=-1), -2)
    left_is_zero = np.expand_dims((left == zeros[0]).all(axis=-2), -1)
    left = np.where(right_is_zero & (left == ones[0]), zeros[0], left)
    right = np.where(left_is_zero & (right == ones[1]), zeros[1], right)
    nothing = (left == zeros[0]).all(axis=-2) & (right == zeros[1]).all(axis=-1)
    skips = (np.expand_dims(nothing, -2), np.expand_dims(nothing, -1))
    rows = np.expand_dims(in_sequence(left, left.ndim - 1, skipped=skips[0]), -1)
    columns = np.expand_dims(in_sequence(right, right.ndim - 2, skipped=skips[1]), -2)
    added_to = as_words(args[2])
    is_empty = nothing.all(axis=-1)[..., None, None]
    kind, start = function.types[op.operands[2]], added_to
    adds = reading is Reading.REAL and kind.is_float
    if adds:  # real numbers have one sum in any order, and so do infinities
        start = np.full(1, float_constant(kind.element, 0.0))
    product = combined(operation_name(function, op), [rows, columns, start])
    product = sum_words(product, added_to, kind.element) if adds else product
    words = np.where(is_empty, added_to, product)
    return Term(words, finite, numbers=finite, poles=poles)


def _hides_poles(function: Function, op: Operation, args: list[Value]) -> bool:
    """Whether zeros are multiplied by what may be no number."""
    elements = [function.types[slot].element for slot in op.operands[:2]]
    has_zeros = [
        bool((as_words(value) == float_constant(element, 0.0)).any())
        for value, element in zip(args[:2], elements, strict=True)
    ]
    sides = zip(has_zeros, reversed(args[:2]), strict=True)
    return any(has_zero and not without_poles([other]) for has_zero, other in sides)


def _real_product(function: Function, op: Operation, args: list[Value]) -> Words:
    """Sums of products; operands that the operation rounds first are functions of themselves."""
    sides = []
    for slot, value in zip(op.operands[:2], args[:2], strict=True):
        kind = function.types[slot]
        words = field_elements(value, kind.element)
        if kind.element == "f32" and op.attributes.get("inputPrecision", "ieee") != "ieee":
            rounded = combined(operation_name(function, op), [words]) % PRIME
            words = np.where(words == 0, words, rounded)
        sides.append(full(words, kind))
    kind = function.types[op.operands[2]]
    total = field_add(field_matmul(*sides), field_elements(args[2], kind.element))
    return with_constants(total, kind.element)


def _gather(function: Function, op: Operation, args: list[Value]) -> Value:
    axis, kind = op.attributes["axis"] + 1, function.types[op.operands[0]]
    moved = along(args[0], axis)
    if moved is not None:
        before = _gather(function, op, [moved.before, args[1]])
        return moved_again(before, moved.shift, kind)
    source = full(as_words(args[0]), kind)
    index, poles = args[1], not without_poles(args[:1])
    if isinstance(index, Known):
        places = full(index.data, function.types[op.operands[1]])
        count = max(source.shape[0], places.shape[0])
        source, places = (np.broadcast_to(a, (count, *a.shape[1:])) for a in (source, places))
        places = np.clip(places, 0, source.shape[axis] - 1)
        return Term(
            np.take_along_axis(source, places, axis),
            _finite(args[0]),
            numbers=all_numbers(args[:1]),
            poles=poles,
            common=factors_along(args[0], axis),
        )
    everything = np.expand_dims(in_sequence(source, axis), axis)
    words = combined(name_hash("gather", axis), [everything, as_words(index)])
    return Term(words, _finite(args[0]), numbers=all_numbers(args[:1]), poles=poles)
