"""Comparisons of which it does not count whether they are strict: on a tie both ways are the same.

``a < b`` and ``a <= b`` differ where the two are equal, and there alone. So the rest of the kernel
is evaluated for such a lane: what is compared is one symbol, or the constant that it is compared
with, and so is what only its size was taken of; all else that does not follow from that, element
by element, is a symbol of which nothing is known. If what the two comparisons give is the same
before it goes anywhere else, to memory, to another lane or round a loop, the kernels do the same.
``where(|x| < 4, rint(x), rint(x / 2) * 2)`` is 4 or -4 where ``|x|`` is 4, either way.

Zeros are equal whatever their signs, so that both are tried; of a zero that comes out the sign is
left aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from builder.bench.proofs.constants import constant_term
from builder.bench.proofs.ops import is_pointwise, pointwise
from builder.bench.proofs.terms import (
    Address,
    Known,
    Term,
    Unprovable,
    Value,
    as_words,
    mixed,
    name_hash,
)
from builder.bench.proofs.trace import KernelLaunch

if TYPE_CHECKING:
    from builder.bench.proofs.trace import HostTrace
    from builder.execute.ir import Function, Module, Operation, Region, Type

Values: TypeAlias = dict[int, Value]

_LOOSE = {
    "olt": "ole", "ogt": "oge", "ult": "ule", "ugt": "uge", "slt": "sle", "sgt": "sge",
}  # fmt: skip
_COMPARISONS = frozenset({"arith.cmpf", "arith.cmpi"})
_SIZES = frozenset({"math.absf", "__nv_fabsf"})
_IS_NAN = frozenset({"__nv_isnanf", "__nv_isnand"})
_COPIES = frozenset({"tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape"})
_MOST = 16


def same_but_for_ties(first: HostTrace, second: HostTrace) -> bool:
    """Whether two traces differ only in comparisons that are strict or not, and may be either."""
    ends = [repr((trace.storages, trace.outputs, trace.nesting)) for trace in (first, second)]
    if ends[0] != ends[1] or len(first.events) != len(second.events):
        return False
    return all(
        step == changed
        or (
            isinstance(one, KernelLaunch)
            and isinstance(other, KernelLaunch)
            and (one.grid, repr(one.arguments)) == (other.grid, repr(other.arguments))
            and _same_modules(one.program.module, other.program.module)
        )
        for step, changed, one, other in zip(
            first.steps, second.steps, first.events, second.events, strict=True
        )
    )


def _same_modules(first: Module, second: Module) -> bool:
    named = [(module.entry.name, list(module.functions)) for module in (first, second)]
    pairs = zip(first.functions.values(), second.functions.values(), strict=False)
    return named[0] == named[1] and all(_same_functions(*pair) for pair in pairs)


def _same_functions(first: Function, second: Function) -> bool:
    """Whether two functions do the same; comparisons that differ are exchanged one by one."""
    heads = [repr((f.types, f.arguments, _blocks(f.body))) for f in (first, second)]
    operations, others = list(first.body.walk()), list(second.body.walk())
    if heads[0] != heads[1] or len(operations) != len(others):
        return False
    pairs = enumerate(zip(operations, others, strict=True))
    places = [place for place, (one, other) in pairs if _facts(one) != _facts(other)]
    if len(places) > _MOST:
        return False
    for place in places:
        if not _differ_on_a_tie(operations[place], others[place]):
            return False
        if not _same_on_a_tie(first, operations, operations[place]):
            return False
        operations[place] = others[place]
    return True


def _blocks(region: Region) -> list[tuple[object, ...]]:
    return [(block.label, block.arguments, len(block.operations)) for block in region.blocks]


def _facts(op: Operation, words: str = "") -> str:
    """All that an operation is, but for what is within its regions."""
    attributes = sorted({**op.attributes, **({"words": words} if words else {})}.items())
    inner = [_blocks(region) for region in op.regions]
    return repr((op.name, op.operands, op.results, attributes, op.successors, inner))


def _differ_on_a_tie(one: Operation, other: Operation) -> bool:
    """Whether both are the same comparison, but that one is strict."""
    if one.name not in _COMPARISONS or _facts(one, "any") != _facts(other, "any"):
        return False
    words = {op.attributes["words"][0] for op in (one, other)}
    rest = [op.attributes["words"][1:] for op in (one, other)]
    return rest[0] == rest[1] and any(words == {*pair} for pair in _LOOSE.items())


def _same_on_a_tie(function: Function, operations: list[Operation], compared: Operation) -> bool:
    """Whether what a comparison gives of numbers that are equal does not count.

    Args:
        function: whose slots the operations name.
        operations: all of it, in the order of the text.
        compared: the comparison, one of them.
    """
    made = {slot: op for op in operations for slot in op.results}
    points = _points(function, compared, made)
    return bool(points) and all(
        _same_at(function, operations, compared, made, point) for point in points
    )


def _same_at(
    function: Function,
    operations: list[Operation],
    compared: Operation,
    made: dict[int, Operation],
    point: Values,
) -> bool:
    """Whether both answers come to the same where some slots have the values of a point.

    What is no operation element by element must not use a slot in which they differ.
    """
    sides = [{**point, compared.results[0]: Known(np.full(1, n, dtype=np.int64))} for n in (0, 1)]
    differ = {*compared.results}
    for op in operations:
        used = {*op.operands, *(slot for _, slots in op.successors for slot in slots)}
        if not sides[0].keys().isdisjoint(op.results):
            continue
        results = [_result(function, op, made, side, point) for side in sides]
        if any(result is None for result in results):
            if used & differ:
                return False
            continue
        for side, result in zip(sides, results, strict=True):
            assert result is not None
            side[op.results[0]] = result
        if not _equal(*(side[op.results[0]] for side in sides)):
            differ.add(op.results[0])
    return True


def _result(
    function: Function,
    op: Operation,
    made: dict[int, Operation],
    values: Values,
    point: Values,
) -> Value | None:
    """What an operation gives element by element; None if it is no such one, or has no rule.

    What is equal to something is not NaN.
    """
    if op.attributes.get("symbol") in _IS_NAN and op.operands[0] in point:
        return Known(np.zeros(_shape(function.types[op.results[0]]), dtype=np.int64))
    kinds = [function.types[slot] for slot in (*op.operands, *op.results)]
    if not is_pointwise(op) or any(kind.is_pointer for kind in kinds):
        return None
    args = []
    for slot in op.operands:
        value = values.get(slot) or _constant(function, slot, made)
        args.append(_symbol(function.types[slot], slot) if value is None else value)
    try:
        return pointwise(function, op, args)
    except Unprovable:
        return None


def _equal(one: Value, other: Value) -> bool:
    """Whether two values are the same, the sign of zero aside."""
    numbers = [value.constant if isinstance(value, Term) else None for value in (one, other)]
    if numbers[0] is not None and numbers[1] is not None:
        return bool(np.array_equal(numbers[0], numbers[1], equal_nan=True))
    return bool((as_words(one) == as_words(other)).all())


def _points(function: Function, compared: Operation, made: dict[int, Operation]) -> list[Values]:
    """The ways in which what is compared may be equal: values of slots; none if it has no rule."""
    first, second = compared.operands
    kind = function.types[first]
    if kind.is_pointer:
        return []
    if _constant(function, first, made) is not None:
        first, second = second, first
    constant = _constant(function, second, made)
    if constant is None:
        return _tied(kind, first, second)
    if _constant(function, first, made) is not None:
        return []
    if isinstance(constant, Known):
        return [{first: constant}]
    number = _as_number(constant)
    behind = made.get(first)
    name = "" if behind is None else str(behind.attributes.get("symbol") or behind.name)
    if behind is None or name not in _SIZES or number < 0.0:
        numbers = (0.0, -0.0) if number == 0.0 else (number,)
        return [{first: _number(kind, n)} for n in numbers]
    size = _number(kind, abs(number))
    return [{first: size, behind.operands[0]: _number(kind, n)} for n in (abs(number), -number)]


def _tied(kind: Type, first: int, second: int) -> list[Values]:
    """Two slots that are equal, whatever they are."""
    symbol = _symbol(kind, first)
    points: list[Values] = [{first: symbol, second: symbol}]
    if kind.is_float:
        points += [{first: _number(kind, n), second: _number(kind, -n)} for n in (0.0, -0.0)]
    return points


def _as_number(constant: Term) -> float:
    assert constant.constant is not None
    return float(constant.constant.flat[0])


def _number(kind: Type, number: float) -> Term:
    return constant_term(np.full(_shape(kind), number, dtype=np.float64), kind.element)


def _symbol(kind: Type, slot: int) -> Term:
    """A value of which nothing is known."""
    return Term(mixed(np.full(_shape(kind), name_hash("slot", slot))), finite=False, poles=True)


def _shape(kind: Type) -> tuple[int, ...]:
    return (1,) * (len(kind.shape) + 1)


def _constant(function: Function, slot: int, made: dict[int, Operation]) -> Known | Term | None:
    """The one number that all elements of a slot are; None if it is not known."""
    op, kind = made.get(slot), function.types[slot]
    if op is not None and op.name in _COPIES:
        value = _constant(function, op.operands[0], made)
        if isinstance(value, Known):
            return Known(value.data.reshape(_shape(kind)))
        return None if value is None else _number(kind, _as_number(value))
    if op is None or op.name != "arith.constant":
        return None
    try:
        found = pointwise(function, op, [])
    except Unprovable:
        return None
    is_number = isinstance(found, Known) or (
        isinstance(found, Term) and found.constant is not None and found.numbers
    )
    return found if is_number and not isinstance(found, Address) else None
