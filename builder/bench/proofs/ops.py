"""The operations of TTIR on symbols: integer arithmetic is done, everything else becomes a term."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.bench.proofs.algebra import term
from builder.bench.proofs.bounds import result_bounds, settled_comparison
from builder.bench.proofs.choice import chosen_in_field, select
from builder.bench.proofs.common_factors import (
    beside_factors,
    chosen_factors,
    shared_factors,
    without_factors,
)
from builder.bench.proofs.constants import computed, constant_term
from builder.bench.proofs.contests import contest_of, decided
from builder.bench.proofs.differences import with_difference
from builder.bench.proofs.elsewhere import with_elsewhere
from builder.bench.proofs.field import without_sign
from builder.bench.proofs.grains import chosen_grain, with_grain
from builder.bench.proofs.infinities import with_reals
from builder.bench.proofs.moved import before_moved, chosen_moved, moved_again, moved_by
from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.positives import with_above_zero
from builder.bench.proofs.ranges import known_size, with_range
from builder.bench.proofs.reach import never_beyond, with_reach
from builder.bench.proofs.roots import chosen_scale, with_scale
from builder.bench.proofs.signs import with_sign
from builder.bench.proofs.softplus import with_exponent
from builder.bench.proofs.terms import (
    Address,
    Integers,
    Known,
    Reading,
    Term,
    Unprovable,
    Value,
    as_words,
    float_constant,
    full,
    unsigned,
    viewed,
    wrapped,
)
from builder.bench.proofs.zeros import at_zero, with_zero
from builder.execute.ops_arith import literal_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.ir import Function, Operation, Type

_MOVED_ALIKE = frozenset({"arith.cmpf", "arith.subf"})
_POINTWISE = frozenset(
    {
        "tt.extern_elementwise", "tt.precise_sqrt", "tt.precise_divf", "tt.clampf", "tt.mulhiui",
        "tt.fp_to_fp", "tt.bitcast", "tt.ptr_to_int", "tt.int_to_ptr",
    }
)  # fmt: skip
_AXES = {"x": 0, "y": 1, "z": 2}


def _divided(a: Integers, b: Integers) -> Integers:
    """Quotients rounded towards zero; a lane that divides by zero has no meaning, and gets 0."""
    safe = np.where(b == 0, 1, b)
    quotient = np.abs(a) // np.abs(safe)
    return np.where(b == 0, 0, np.where((a < 0) != (safe < 0), -quotient, quotient))


_ARITHMETIC: dict[str, Callable[[Integers, Integers], Any]] = {
    "arith.addi": np.add,
    "arith.subi": np.subtract,
    "arith.muli": np.multiply,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "math.absi": np.abs,
    "arith.divsi": _divided,
    "arith.remsi": lambda a, b: a - _divided(a, b) * b,
    "arith.shli": lambda a, b: np.left_shift(a, np.clip(b, 0, 63)),
    "arith.shrsi": lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
}
_UNSIGNED: dict[str, Callable[[Integers, Integers], Any]] = {
    "arith.divui": _divided,
    "arith.remui": lambda a, b: a - _divided(a, b) * b,
    "arith.shrui": lambda a, b: np.right_shift(a, np.clip(b, 0, 63)),
    "arith.maxui": np.maximum,
    "arith.minui": np.minimum,
}
_COMPARISONS: dict[str, Callable[[Integers, Integers], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def pure(
    function: Function,
    op: Operation,
    args: list[Value],
    grid: tuple[int, ...],
    ids: Integers,
    *,
    reading: Reading = Reading.BITS,
) -> list[Value]:
    """The results of an operation that touches no memory and has no control flow.

    Args:
        function: whose slots the operation names.
        op: the operation.
        args: its operands.
        grid: program instances along x, y, z.
        ids: linear program ids, of shape (P,).
        reading: what floats are taken for.

    Raises:
        Unprovable: an operation that has no rule here.
    """
    if op.name == "tt.get_program_id":
        axis = _AXES[op.attributes["words"][0]]
        below = int(np.prod(grid[:axis], dtype=np.int64))
        return [Known(ids // below % grid[axis])]
    if op.name == "tt.get_num_programs":
        return [Known(np.full(1, grid[_AXES[op.attributes["words"][0]]], dtype=np.int64))]
    maker = _MAKERS.get(op.name)
    if maker is not None:
        return maker(function, op, args)
    if is_pointwise(op):
        return [pointwise(function, op, args, reading=reading)]
    raise Unprovable(op.name)


# -- element by element ------------------------------------------------------------------------


def is_pointwise(op: Operation) -> bool:
    """Whether an element of the result is made of one of each operand."""
    return op.name.startswith(("arith.", "math.")) or op.name in _POINTWISE


def pointwise(
    function: Function, op: Operation, args: list[Value], *, reading: Reading = Reading.BITS
) -> Value:
    """The result of an operation that works element by element."""
    kind = function.types[op.results[0]]
    if op.name == "arith.constant":
        return _constant(op.attributes["literal"], kind)
    if op.name == "arith.select":
        return _selected(args, kind, reading)
    if op.name == "tt.bitcast" and isinstance(args[0], Address):
        return _retyped(args[0], kind)
    if all(isinstance(value, Known) for value in args) and not kind.is_float:
        known = _integers(function, op, [value.data for value in args if isinstance(value, Known)])
        if known is not None:
            return Known(wrapped(known, kind.bits))
    compares = op.name == "arith.cmpf" and reading is Reading.REAL
    element = function.types[op.operands[0]].element if compares else ""
    if reading is Reading.REAL:
        args = _without_shared(op, args, element)
    found = _found(function, op, args, kind, reading)
    if found is not None:
        return found
    run = partial(term, function, op, kind=kind, finite=reading >= Reading.FINITE)
    is_equality = compares and op.attributes["words"][0] in ("oeq", "une", "one")
    made = run(without_sign(args, element) if is_equality else args)
    if not isinstance(made, Term):
        return made
    made = with_elsewhere(function, op, args, made, run)
    if not kind.is_float and not kind.is_pointer:
        made = with_zero(op, args, with_exponent(op, args, made, kind))
        made = with_difference(function, op, args, made) if reading else made
        decides = contest_of(function, op, args, finite=reading >= Reading.FINITE)
        return replace(made, bounds=result_bounds(function, op, args, kind), contest=decides)
    return _float(function, op, args, made, reading)


def _without_shared(op: Operation, args: list[Value], element: str) -> list[Value]:
    """The operands of a comparison or difference without what it does not hang on."""
    if op.name == "arith.cmpf":
        shared = shared_factors(*args)
        args = [without_factors(value, shared, element) for value in args]
    return (before_moved(args) or (args,))[0] if op.name in _MOVED_ALIKE else args


def _found(
    function: Function, op: Operation, args: list[Value], kind: Type, reading: Reading
) -> Value | None:
    """A result that is known, or that an operand is; None if there is none."""
    found = computed(function, op, args, kind)
    if found is not None:
        return found
    if op.name == "arith.cmpi":
        return settled_comparison(function, op, args)
    if op.name == "arith.cmpf":
        return never_beyond(op, args) if reading else None
    return known_size(op, args, kind, real=reading is Reading.REAL) if kind.is_float else None


def _selected(args: list[Value], kind: Type, reading: Reading) -> Value:
    finite = reading >= Reading.FINITE
    if reading is Reading.REAL and kind.is_float and isinstance(args[0], Term):
        shared = shared_factors(*args[1:])
        if shared:
            sides = [without_factors(value, shared, kind.element) for value in args[1:]]
            rest = _selected([args[0], *sides], kind, reading)
            return beside_factors(rest, shared, kind.element)
        moved = before_moved(args[1:])
        if moved is not None:
            rest = _selected([args[0], *moved[0]], kind, reading)
            return moved_again(rest, moved[1], kind)
    first = decided(args, kind, finite=finite)
    if first is not None:
        return first
    args = at_zero(args, kind, finite=finite) if kind.is_float else args
    is_real = reading is Reading.REAL and kind.is_float
    chosen = select(args[0], args[1], args[2], None if is_real else kind.element)
    if is_real and isinstance(chosen, Term):
        chosen = replace(chosen, scale=chosen_scale(args[1], args[2]), grain=chosen_grain(args))
        chosen = replace(chosen_factors(args, chosen, kind.element), moved=chosen_moved(args, kind))
        return chosen_in_field(args[0], args[1], args[2], chosen, kind)
    return chosen


def _float(
    function: Function, op: Operation, args: list[Value], made: Term, reading: Reading
) -> Term:
    """The result of an operation on floats, with what else is known of it."""
    kind = function.types[op.results[0]]
    if reading is Reading.REAL:
        is_zero = made.hashes == float_constant(kind.element, 0.0)
        if bool(is_zero.all()) and without_poles([made]):
            return constant_term(np.zeros(is_zero.shape), kind.element)  # of which none has a sign
        made = with_scale(function, op, args, made, kind)
        made = with_reals(function, op, args, with_above_zero(op, args, made, kind.element), kind)
        made = with_grain(function, op, args, made, kind)
        made = replace(made, moved=moved_by(op, args, kind.element))
    made = with_exponent(op, args, made, kind)
    made = with_range(op, args, with_sign(op, args, made, finite=reading >= Reading.FINITE))
    return with_reach(op, args, made, kind) if reading else made


def _constant(literal: str, kind: Type) -> Value:
    shape = (1,) * (len(kind.shape) + 1)
    if literal.startswith("["):
        raise Unprovable("a constant of several values")
    if kind.is_float:
        held = literal_tensor(literal, kind)
        if held is None:
            raise Unprovable(f"a constant of {kind.element}")
        number = float(held.to(torch.float64).reshape(-1)[0])
        return constant_term(np.full(shape, number), kind.element)
    value = int(literal == "true") if literal in ("true", "false") else int(literal, 0)
    return Known(wrapped(np.full(shape, value, dtype=np.int64), kind.bits))


def _integers(function: Function, op: Operation, args: list[Integers]) -> Any:
    """The result on known integers; None where there is no rule."""
    bits = function.types[op.operands[0]].bits
    if op.name in _ARITHMETIC:
        return _ARITHMETIC[op.name](*args)
    if op.name in _UNSIGNED:
        return _UNSIGNED[op.name](*(unsigned(arg, bits) for arg in args))
    if op.name == "arith.cmpi":
        word = op.attributes["words"][0]
        if word.startswith("u"):
            args = [unsigned(arg, bits) for arg in args]
        return _COMPARISONS[word if word in _COMPARISONS else word[1:]](*args)
    if op.name == "arith.extsi":
        return -args[0] if bits == 1 else args[0]
    if op.name == "arith.extui":
        return unsigned(args[0], bits)
    if op.name in ("arith.trunci", "arith.index_cast"):
        return args[0]
    return None


def _retyped(address: Address, kind: Type) -> Address:
    assert kind.pointee is not None
    if kind.pointee.itemsize != address.itemsize:
        raise Unprovable("an address of elements of another size")
    return address


# -- shapes ------------------------------------------------------------------------------------


def _make_range(_function: Function, op: Operation, _args: list[Value]) -> list[Value]:
    start, end = op.attributes["start"], op.attributes["end"]
    return [Known(np.arange(start, end, dtype=np.int64)[None])]


def _splat(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    rank = len(function.types[op.results[0]].shape)
    return [viewed(args[0], lambda a: a.reshape(a.shape[0], *(1,) * rank))]


def _unsplat(_function: Function, _op: Operation, args: list[Value]) -> list[Value]:
    return [viewed(args[0], lambda a: a.reshape(a.shape[0]))]


def _same(_function: Function, _op: Operation, args: list[Value]) -> list[Value]:
    return [args[0]]


def _expand_dims(_function: Function, op: Operation, args: list[Value]) -> list[Value]:
    return [viewed(args[0], lambda a: np.expand_dims(a, op.attributes["axis"] + 1))]


def _trans(_function: Function, op: Operation, args: list[Value]) -> list[Value]:
    order = [0, *(axis + 1 for axis in op.attributes["order"])]
    return [viewed(args[0], lambda a: a.transpose(order))]


def _reshape(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    source, target = function.types[op.operands[0]], function.types[op.results[0]]
    return [viewed(args[0], lambda a: full(a, source).reshape(a.shape[0], *target.shape))]


def _split(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    kind = function.types[op.operands[0]]

    def side(array: Any, number: int) -> Any:
        return full(array, kind)[..., number]

    return [viewed(args[0], partial(side, number=number)) for number in (0, 1)]


def _join(function: Function, op: Operation, args: list[Value]) -> list[Value]:
    words = [full(as_words(v), function.types[op.operands[0]]) for v in args]
    sides = [v for v in args if isinstance(v, Term)]
    return [
        Term(
            np.stack(np.broadcast_arrays(*words), axis=-1),
            all(side.finite for side in sides),
            positive=len(sides) == len(args) and all(side.positive for side in sides),
            numbers=all(side.numbers for side in sides),
            poles=not without_poles(sides),
        )
    ]


_MAKERS: dict[str, Callable[[Any, Any, list[Value]], list[Value]]] = {
    "tt.make_range": _make_range,
    "tt.splat": _splat,
    "tt.unsplat": _unsplat,
    "tt.broadcast": _same,
    "tt.expand_dims": _expand_dims,
    "tt.trans": _trans,
    "tt.reshape": _reshape,
    "tt.split": _split,
    "tt.join": _join,
}
