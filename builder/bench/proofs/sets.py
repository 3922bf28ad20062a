"""Maxima, minima, disjunctions and conjunctions as sets of operands.

They are associative, commutative and idempotent, so that neither order nor grouping nor repetition
counts: a block of a loop that is read twice changes nothing.  The maximum that keeps NaN and the
one that ignores it are different operations (IEEE 754-2019, 9.6: ``maximum`` and
``maximumNumber``); each is all three by itself.  Which of a positive and a negative zero is taken
is left aside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.bounds import floor_of
from builder.bench.proofs.poles import all_numbers, without_poles
from builder.bench.proofs.ranges import MAXIMA, MINIMA, extreme_range, most_of
from builder.bench.proofs.signs import rectified
from builder.bench.proofs.terms import (
    Parts,
    Term,
    Value,
    Words,
    as_words,
    combined,
    constant_words,
    float_constant,
    float_constants,
    mixed,
    name_hash,
)

if TYPE_CHECKING:
    from builder.execute.ir import Type

_EXTREMES: dict[str, np.ufunc] = {
    "arith.maximumf": np.maximum, "arith.maxnumf": np.fmax,
    "arith.minimumf": np.minimum, "arith.minnumf": np.fmin,
}  # fmt: skip
_IGNORE_NAN = frozenset({"arith.maxnumf", "arith.minnumf"})
_BITWISE = frozenset({"arith.ori", "arith.andi"})
IDEMPOTENT = (
    MAXIMA | MINIMA | _BITWISE
    | {"arith.maxsi", "arith.minsi", "arith.maxui", "arith.minui"}
)  # fmt: skip
_INFINITIES = (float("inf"), float("-inf"))
MOST_WORDS = 1 << 22
_FEW = 8


def united(name: str, args: list[Value], kind: Type, *, finite: bool) -> Term:
    """The term of an idempotent operation on two values.

    Args:
        name: of the operation.
        args: its operands.
        kind: of its result.
        finite: take values for numbers.
    """
    if name in _EXTREMES:
        alone = _alone(name, args, finite=finite)
        if alone is not None:
            return alone
        args = rectified(args) if name in MAXIMA else args
    columns = [_columns(name, value) for value in args]
    least, most = extreme_range(name, args, finite=finite) if kind.is_float else (None, None)
    shape = np.broadcast_shapes(*(words.shape[:-1] for words in columns))
    full = [np.broadcast_to(words, (*shape, words.shape[-1])) for words in columns]
    for value, other in (args, args[::-1]):
        full = _beside_zero(name, full, value, other, kind)
    made = _term(name, _beside(full), args, kind, finite=finite)
    return replace(made, least=least, most=most)


def united_along(name: str, value: Value, kind: Type, axis: int, *, finite: bool) -> Term:
    """The term of an idempotent reduction; ``kind`` is the operand's, ``axis`` the array's."""
    words = _columns(name, value)
    words = np.broadcast_to(words, (words.shape[0], *kind.shape, words.shape[-1]))
    words = np.moveaxis(words, axis, -2)
    return _term(name, words.reshape(*words.shape[:-2], -1), [value], kind, finite=finite)


def chosen_parts(takes: np.ndarray, left: Value, right: Value) -> Parts | None:
    """The operands after a selection, lane by lane, by a condition that is known."""
    operations = {v.parts.operation for v in (left, right) if isinstance(v, Term) and v.parts}
    if len(operations) != 1:
        return None
    name = operations.pop()
    ours, theirs = _columns(name, left), _columns(name, right)
    count = max(ours.shape[-1], theirs.shape[-1])
    words = np.where(takes[..., None], padded(ours, count), padded(theirs, count))
    return Parts(name, words) if words.size <= MOST_WORDS else None


def extended(name: str, operation: np.uint64, value: Value, source: Type, kind: Type) -> Term:
    """The term of an integer extended to a wider type.

    A bitwise operation of extended integers is the extended result, for each new bit is a copy of
    an old one, or zero.

    Args:
        name: ``arith.extui`` or ``arith.extsi``.
        operation: the hash of that with its types.
        value: to extend.
        source: its type.
        kind: of the result.
    """
    parts = value.parts if isinstance(value, Term) else None
    is_set = parts is not None and parts.operation in _BITWISE
    given = parts.words if parts is not None and is_set else as_words(value)
    words = combined(operation, [given])
    if source.bits == 1:
        for number in (0, 1):
            constants = [
                constant_words(np.full(1, n, dtype=np.int64))
                for n in (number, number if name == "arith.extui" else -number)
            ]
            words = np.where(given == constants[0], constants[1], words)
    if parts is None or not is_set:
        return Term(words)
    return _term(parts.operation, words, [], kind, finite=False)


def set_words(name: str, element: str, words: Words) -> Words:
    """The terms of operands in normal form: one that stands alone is the result."""
    if words.shape[-1] == 1:
        return words[..., 0]
    total = mixed(words) * _first_of_each(words)
    sums = combined(name_hash("set", name, element), [total.sum(axis=-1, dtype=np.uint64)])
    return np.where((words == words[..., :1]).all(axis=-1), words[..., 0], sums)


def union_words(name: str, kind: Type, words: Words) -> Words:
    """The terms of an extreme of operands along a last axis."""
    neutral = _neutral(name, kind, positive=False, finite=False)
    return set_words(name, kind.element, _normal(words, neutral))


def packed_places(words: Words, neutral: list[np.uint64]) -> npt.NDArray[np.intp] | None:
    """Where in rows that are sorted those are that count, each once, the last one repeated.

    Neutral ones count only where no others are.  None if all count.
    """
    keep = _first_of_each(words)
    skipped = np.isin(words, np.array(neutral, dtype=np.uint64))
    keep = np.where((keep & ~skipped).any(axis=-1, keepdims=True), keep & ~skipped, keep)
    if bool(keep.all()):
        return None
    order = np.argsort(~keep, axis=-1, kind="stable")
    counts = keep.sum(axis=-1, keepdims=True)
    places = np.arange(max(1, int(counts.max(initial=1))))
    return np.take_along_axis(order, np.minimum(places, counts - 1), axis=-1)


def _beside_zero(
    name: str, columns: list[Words], value: Value, other: Value, kind: Type
) -> list[Words]:
    """The operands; where one is zero, as padding is, and the other a constant, the result."""
    constant = other.constant if isinstance(other, Term) else None
    if constant is None or name not in _EXTREMES:
        return columns
    is_zero = as_words(value) == float_constant(kind.element, 0.0)
    if not bool(is_zero.any()):
        return columns
    # that of a positive and a negative zero is the positive one
    results = float_constants(kind.element, _EXTREMES[name](constant, 0.0) + 0.0)
    return [np.where(is_zero[..., None], results[..., None], words) for words in columns]


def _alone(name: str, args: list[Value], *, finite: bool) -> Term | None:
    """The operand of a maximum that is never below the other, which is a constant.

    Likewise of a minimum.  Beside NaN, one that ignores it gives the constant.
    """
    for value, other in (args, args[::-1]):
        constant = other.constant if isinstance(other, Term) else None
        if constant is None or not isinstance(value, Term):
            continue
        end = floor_of(value) if name in MAXIMA else most_of(value)
        beyond = np.less_equal if name in MAXIMA else np.greater_equal
        keeps = name not in _IGNORE_NAN or (finite and all_numbers([value]))
        if keeps and end is not None and bool(beyond(constant, end).all()):
            return value
    return None


def _columns(name: str, value: Value) -> Words:
    if isinstance(value, Term) and value.parts is not None and value.parts.operation == name:
        return value.parts.words
    return as_words(value)[..., None]


def _beside(columns: list[Words]) -> Words:
    """Operands along the last axis; they lie one after the other in memory, not in turns."""
    return np.moveaxis(np.concatenate([np.moveaxis(c, -1, 0) for c in columns]), 0, -1)


def padded(words: Words, count: int) -> Words:
    """Rows of so many operands, the last one repeated."""
    return _beside([words, *[words[..., -1:]] * (count - words.shape[-1])])


def _first_of_each(words: Words) -> np.ndarray:
    """Which elements are the first of their value, in rows that are sorted."""
    is_first = np.ones_like(words, dtype=bool)
    is_first[..., 1:] = words[..., 1:] != words[..., :-1]
    return is_first


def _is_any(words: Words, numbers: list[np.uint64]) -> np.ndarray:
    found = np.zeros_like(words, dtype=bool)
    for number in numbers:
        found |= words == number
    return found


def _sorted(words: Words) -> Words:
    """Each row sorted: few operands by comparing all rows' neighbours at once, in turns."""
    count = words.shape[-1]
    if count > _FEW:
        return np.sort(words, axis=-1)
    columns = [words[..., place] for place in range(count)]
    for turn in range(count):
        for place in range(turn % 2, count - 1, 2):
            one, other = columns[place : place + 2]
            columns[place : place + 2] = np.minimum(one, other), np.maximum(one, other)
    return _beside([column[..., None] for column in columns])


def _term(name: str, words: Words, args: list[Value], kind: Type, *, finite: bool) -> Term:
    terms = [value for value in args if isinstance(value, Term)]
    numbers = all(value.numbers for value in terms)
    positive = name in MAXIMA and all(value.positive for value in terms)
    neutral = _neutral(name, kind, positive=positive, finite=finite and all_numbers(terms))
    words = _normal(words, neutral)
    is_finite = all(value.finite for value in terms)
    is_masked = kind.is_float and all(value.is_masked for value in terms)
    if is_masked and not is_finite:
        infinite = [float_constant(kind.element, number) for number in _INFINITIES]
        has_infinity = _is_any(words, infinite)
        is_finite = not bool(has_infinity.any())
        # elsewhere an infinite constant among others is no constant
        is_masked = not bool((has_infinity.any(axis=-1) & ~has_infinity.all(axis=-1)).any())
    return Term(
        set_words(name, kind.element, words),
        is_finite,
        positive=positive,
        numbers=numbers,
        masked=is_masked,
        poles=not without_poles(args),
        parts=Parts(name, words) if words.shape[-1] > 1 and words.size <= MOST_WORDS else None,
    )


def _neutral(name: str, kind: Type, *, positive: bool, finite: bool) -> list[np.uint64]:
    """Constants that change nothing beside another operand.

    Beside NaN, an infinity is what a maximum that ignores NaN gives.
    """
    if name in _IGNORE_NAN and not finite:
        return []
    if name in MAXIMA:
        numbers = [float("-inf"), 0.0] if positive else [float("-inf")]
        return [float_constant(kind.element, number) for number in numbers]
    if name in MINIMA:
        return [float_constant(kind.element, float("inf"))]
    if name in _BITWISE:
        ones = 1 if kind.bits == 1 else -1
        return [constant_words(np.full(1, 0 if name == "arith.ori" else ones))[0]]
    return []


def _normal(words: Words, neutral: list[np.uint64]) -> Words:
    """Operands sorted, each once, without the neutral ones where others are; the last repeated."""
    words = _sorted(words)
    is_first = _first_of_each(words)
    kept = is_first & ~_is_any(words, neutral)
    kept = np.where(kept.any(axis=-1, keepdims=True), kept, is_first)
    last = np.where(kept, words, np.uint64(0)).max(axis=-1, keepdims=True)
    count = int(np.count_nonzero(kept, axis=-1).max(initial=1))
    return _sorted(np.where(kept, words, last))[..., :count]
