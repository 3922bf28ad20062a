"""Reductions, scans, products and gathers on symbols.

A reduction is its combining region and the sequence of its operands; operands that change nothing
(zeros of a sum, minus infinities of a maximum, zeros among values that are not negative) are left
out of the sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench.mutants.term_algebra import operation_name
from builder.bench.mutants.term_ops import pointwise
from builder.bench.mutants.terms import (
    Address,
    Known,
    Term,
    Unprovable,
    Value,
    Words,
    as_words,
    combined,
    float_constant,
    in_sequence,
    mixed,
    name_hash,
    prefixes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.execute.ir import Function, Operation, Region, Type

    Outer = Mapping[int, Value]

_KNOWN_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "arith.addi": np.sum,
    "arith.ori": np.bitwise_or.reduce,
    "arith.andi": np.bitwise_and.reduce,
    "arith.maxsi": np.max,
    "arith.minsi": np.min,
}
_MAXIMA = frozenset({"arith.maximumf", "arith.maxnumf"})


def along_axis(
    function: Function, op: Operation, args: list[Value], outer: Outer, *, finite: bool = False
) -> list[Value]:
    """The results of ``tt.reduce``, ``tt.scan``, ``tt.dot`` or ``tt.gather``.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        outer: values that its region may use.
        finite: take values that are compared with themselves for numbers.

    Raises:
        Unprovable: a region that has no rule here.
    """
    if op.name == "tt.dot":
        return [_dot(function, op, args)]
    if op.name == "tt.gather":
        return [_gather(function, op, args)]
    if op.name == "tt.reduce":
        return _reduce(function, op, args, outer, finite)
    return _scan(function, op, args, outer, finite)


def _full(array: Any, kind: Type) -> Any:
    return np.broadcast_to(array, (array.shape[0], *kind.shape))


def _lanes(function: Function, op: Operation, args: list[Value]) -> Words:
    """Per element the hash of all operands there, at full size."""
    words = [as_words(value) for value in args]
    full = _full(combined(name_hash("lane"), words), function.types[op.operands[0]])
    return np.asarray(full)


def _reduce(
    function: Function, op: Operation, args: list[Value], outer: Outer, assumed: bool
) -> list[Value]:
    axis = op.attributes["axis"] + 1
    kind = function.types[op.operands[0]]
    combine = _single_operation(op)
    if len(args) == 1 and isinstance(args[0], Known) and combine in _KNOWN_REDUCTIONS:
        data = _full(args[0].data, kind)
        return [Known(np.asarray(_KNOWN_REDUCTIONS[combine](data, axis=axis), dtype=np.int64))]
    lanes = _lanes(function, op, args)
    if len(args) == 1 and isinstance(args[0], Term):
        neutral = _neutral(combine, args[0], kind, axis)
        total = in_sequence(lanes, axis, skipped=neutral)
    else:
        total = in_sequence(lanes, axis)
    region = int(region_hash(function, op.regions[0], outer, assumed and _numbers(args)))
    finite = all(isinstance(value, Known) or _finite(value) for value in args)
    positive = combine in _MAXIMA | {"arith.addf"} and _positive(args[0])
    return [
        Term(
            combined(name_hash("reduce", region, number), [total]),
            finite,
            positive=positive,
            numbers=finite,
        )
        for number in range(len(op.results))
    ]


def _single_operation(op: Operation) -> str:
    """The name of the one operation that combines two elements; empty if there are more."""
    operations = op.regions[0].entry.operations
    return operations[0].name if len(operations) == 2 else ""


def _neutral(combine: str, value: Term, kind: Type, axis: int) -> Words | None:
    """Lanes that change nothing, in rows where some lane is left; None if that is not known."""
    words = _full(value.hashes, kind)
    if combine == "arith.addf":
        skipped = words == float_constant(kind.element, 0.0)
    elif combine in _MAXIMA:
        skipped = words == float_constant(kind.element, float("-inf"))
        if value.positive:
            skipped = skipped | (words == float_constant(kind.element, 0.0))
    else:
        return None
    result: Words = skipped & ~skipped.all(axis=axis, keepdims=True)
    return result


def _finite(value: Value) -> bool:
    return isinstance(value, Term) and value.finite


def _positive(value: Value) -> bool:
    return isinstance(value, Term) and value.positive


def _scan(
    function: Function, op: Operation, args: list[Value], outer: Outer, assumed: bool
) -> list[Value]:
    lanes = _lanes(function, op, args)
    reverse = bool(op.attributes.get("reverse"))
    sums = prefixes(lanes, op.attributes["axis"] + 1, reverse=reverse)
    region = int(region_hash(function, op.regions[0], outer, assumed and _numbers(args)))
    finite = all(isinstance(value, Known) or _finite(value) for value in args)
    return [
        Term(combined(name_hash("scan", region, reverse, number), [sums]), finite, numbers=finite)
        for number in range(len(op.results))
    ]


def _dot(function: Function, op: Operation, args: list[Value]) -> Value:
    kinds = [function.types[slot] for slot in op.operands[:2]]
    left, right = (_full(as_words(a), kind) for a, kind in zip(args[:2], kinds, strict=True))
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
    product = combined(operation_name(function, op), [rows, columns, added_to])
    is_empty = nothing.all(axis=-1)[..., None, None]
    finite = all(_finite(value) for value in args[:3])
    return Term(np.where(is_empty, added_to, product), finite, numbers=finite)


def _gather(function: Function, op: Operation, args: list[Value]) -> Value:
    axis = op.attributes["axis"] + 1
    source = _full(as_words(args[0]), function.types[op.operands[0]])
    index = args[1]
    if isinstance(index, Known):
        places = _full(index.data, function.types[op.operands[1]])
        count = max(source.shape[0], places.shape[0])
        source, places = (np.broadcast_to(a, (count, *a.shape[1:])) for a in (source, places))
        places = np.clip(places, 0, source.shape[axis] - 1)
        return Term(
            np.take_along_axis(source, places, axis), _finite(args[0]), numbers=_finite(args[0])
        )
    everything = np.expand_dims(in_sequence(source, axis), axis)
    words = combined(name_hash("gather", axis), [everything, as_words(index)])
    return Term(words, _finite(args[0]), numbers=_finite(args[0]))


def _numbers(args: list[Value]) -> bool:
    return all(isinstance(value, Known) or getattr(value, "numbers", False) for value in args)


def region_hash(function: Function, region: Region, outer: Outer, finite: bool) -> np.uint64:
    """The structure of a region that is applied to elements, its own names left out.

    Args:
        function: whose slots it names.
        region: of a reduction or scan.
        outer: values that it may use.
        finite: its elements are numbers.

    Raises:
        Unprovable: it has several blocks, or uses values from outside that are not constant.
    """
    if len(region.blocks) != 1:
        raise Unprovable("a region of several blocks")
    known: dict[int, Value] = {
        slot: Term(mixed(np.full(1, name_hash("argument", number))))
        for number, slot in enumerate(region.entry.arguments)
    }
    returned: list[Value] = []
    for op in region.entry.operations:
        args = [_inner(slot, known, outer) for slot in op.operands]
        if op.name.endswith(".return"):
            returned = args
        else:
            known[op.results[0]] = pointwise(function, op, args, finite=finite)
    words = combined(name_hash("region"), [as_words(value) for value in returned])
    return np.uint64(words.reshape(-1)[0])


def _inner(slot: int, known: Mapping[int, Value], outer: Outer) -> Value:
    value = known.get(slot, outer.get(slot))
    if value is None or isinstance(value, Address) or as_words(value).size != 1:
        raise Unprovable("a region that uses values from outside")
    return value
