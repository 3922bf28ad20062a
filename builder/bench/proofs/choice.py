"""The algebra of terms: selections.

A selection by a known condition is the operand selected, lane by lane, and one between equal terms
is either; the greater of two may be told by ``>`` or by ``>=``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.bounds import joined_bounds
from builder.bench.proofs.differences import zero_if_same
from builder.bench.proofs.field import (
    field_element_of,
    field_elements,
    mixture,
    with_constants,
)
from builder.bench.proofs.pairs import chosen_pairs
from builder.bench.proofs.poles import without_poles
from builder.bench.proofs.ranges import joined_range
from builder.bench.proofs.sets import chosen_parts
from builder.bench.proofs.signs import rectified_selection
from builder.bench.proofs.sizes import chosen_sizes, size_words
from builder.bench.proofs.softplus import softplus_of, softplus_words
from builder.bench.proofs.terms import (
    Address,
    Known,
    Term,
    Unprovable,
    Value,
    as_words,
    combined,
    constant_words,
    float_constant,
    name_hash,
)
from builder.execute.ir import TORCH_DTYPES

if TYPE_CHECKING:
    from builder.bench.proofs.terms import Words
    from builder.execute.ir import Type

_FLOATS = frozenset({"f32", "f16", "bf16", "f64"})
_INFINITIES = np.array(
    [float_constant(name, end) for name in TORCH_DTYPES for end in (math.inf, -math.inf)]
)


def select(condition: Value, left: Value, right: Value, element: str | None = None) -> Value:
    """One of two values, lane by lane.

    Args:
        condition: which.
        left: taken where it is true.
        right: taken elsewhere.
        element: type of both; None if it is not known, or casts between floats change nothing.

    Raises:
        Unprovable: a selection between addresses in different storages.
    """
    if isinstance(left, Address) and isinstance(right, Address):
        if (left.storage, left.itemsize) != (right.storage, right.itemsize):
            raise Unprovable("a selection between addresses")
        chosen = select(condition, left.offset, right.offset, element)
        assert not isinstance(chosen, Address)
        return left.with_offset(chosen)
    if isinstance(condition, Known):
        takes = condition.data != 0
        if isinstance(left, Known) and isinstance(right, Known):
            return Known(np.where(takes, left.data, right.data))
        words = np.where(takes, as_words(left), as_words(right))
        made = _joined(words, left, right)
        return replace(
            made,
            finite=made.finite or (made.masked and not has_infinity(words)),
            parts=chosen_parts(takes, left, right),
            exact=_chosen_exact(takes, left, right),
            constant=_chosen_constant(takes, left, right),
            pairs=chosen_pairs(takes, left, right),
            sizes=chosen_sizes(takes, left, right),
        )
    ours, theirs = as_words(left), as_words(right)
    given = condition_words(condition, left, right, element)
    chosen_words = _told(given, ours, theirs)
    for number, side, value in ((0, theirs, right), (1, ours, left)):
        settled = given == constant_words(np.full(1, number, dtype=np.int64))
        if bool(settled.all()) and isinstance(value, Term) and side.shape == chosen_words.shape:
            return value
    difference = zero_if_same(condition, left, right)
    if difference is not None:
        value, is_same = difference
        if bool(is_same.all()) and value.hashes.shape == chosen_words.shape:
            return value
        chosen_words = np.where(is_same, value.hashes, chosen_words)
    softplus = softplus_of(condition, left, right)
    chosen = replace(
        _joined(softplus_words(condition, left, right, chosen_words), left, right),
        exponent=softplus,
        rectified=rectified_selection(condition, left, right),
        sizes=None if softplus else _told(given, size_words(left), size_words(right)),
    )
    # a maximum of it cannot see whether it is the infinity, which data chose
    return replace(chosen, positive=chosen.positive and chosen.finite, masked=False)


def _told(given: Words, ours: Words, theirs: Words) -> Words:
    """The terms of a selection by what decides, which is a constant in some lanes."""
    chosen = combined(name_hash("select"), [given, ours, theirs])
    for number, side in ((0, theirs), (1, ours)):
        settled = given == constant_words(np.full(1, number, dtype=np.int64))
        chosen = np.where(settled, side, chosen)
    return np.where(ours == theirs, ours, chosen)


def condition_words(
    condition: Value, left: Value, right: Value, element: str | None = None
) -> Words:
    """What decides between two values, told in one way.

    That is about comparisons of these very values, so of floats of their type, if that is known.
    """
    elements = _FLOATS if element is None else _FLOATS & {element}
    given = as_words(condition)
    for compared in sorted(elements):
        given = _strict(given, as_words(left), as_words(right), compared)
    return _strict_at_zero(given, left, right, elements) if elements else given


def chosen_in_field(condition: Value, left: Value, right: Value, made: Value, kind: Type) -> Value:
    """A selection of real numbers: ``right + c (left - right)``, where ``c`` is one or zero.

    What is the same whatever the number ``c`` is the same for these two (an interpolation that
    chooses by the weight from which end it begins).  Zero times a side is zero only of numbers.
    """
    sides = [side for side in (left, right) if isinstance(side, Term) and side.finite]
    if not isinstance(made, Term) or not isinstance(condition, Term) or len(sides) < 2:
        return made
    if not without_poles(sides):
        return made
    given = condition_words(condition, left, right)
    ours, theirs = (field_elements(side, kind.element) for side in sides)
    chosen = field_element_of(given)
    for number in (0, 1):
        settled = given == constant_words(np.full(1, number, dtype=np.int64))
        chosen = np.where(settled, np.uint64(number), chosen)
    return replace(made, hashes=with_constants(mixture(chosen, ours, theirs), kind.element))


def has_infinity(words: Words) -> bool:
    """Whether some element is an infinite constant."""
    return bool(np.isin(words, _INFINITIES).any())


def _chosen_exact(takes: np.ndarray, left: Value, right: Value) -> tuple[str, Words] | None:
    if not isinstance(left, Term) or not isinstance(right, Term):
        return None
    if left.exact is None or right.exact is None or left.exact[0] != right.exact[0]:
        return None
    return left.exact[0], np.where(takes, left.exact[1], right.exact[1])


def _chosen_constant(takes: np.ndarray, left: Value, right: Value) -> np.ndarray | None:
    if not isinstance(left, Term) or not isinstance(right, Term):
        return None
    if left.constant is None or right.constant is None:
        return None
    return np.where(takes, left.constant, right.constant)


def _strict(given: Words, left: Words, right: Words, element: str) -> Words:
    """The condition of a selection; ``left > right`` does as well as ``left >= right``."""
    for first, second in ((left, right), (right, left)):
        loose, tight = (
            combined(comparison(predicate, element), [first, second])
            for predicate in ("ole", "olt")
        )
        given = np.where(given == loose, tight, given)
    return given


def _strict_at_zero(given: Words, left: Value, right: Value, elements: frozenset[str]) -> Words:
    """Likewise ``x > 0`` and ``x >= 0`` where both sides are zero if ``x`` is."""
    candidates = [words for side in (left, right) for words in _zeros(side)]
    for words in candidates:
        nothing = vanishes(left, words) & vanishes(right, words)
        if not bool(nothing.any()):
            continue
        for element in sorted(elements):
            zero = np.full(1, float_constant(element, 0.0))
            given = np.where(nothing, _strict(given, zero, words, element), given)
    return given


def _zeros(value: Value) -> tuple[Words, ...]:
    """Terms that make a value zero where they are: itself, and its factors."""
    return (value.hashes, *value.factors) if isinstance(value, Term) else ()


def vanishes(value: Value, words: Words) -> np.ndarray:
    """Where a value is zero if the term of those words is."""
    found = np.zeros(1, dtype=bool)
    for one in _zeros(value):
        found = found | (one == words)
    for element in _FLOATS:
        found = found | (as_words(value) == float_constant(element, 0.0))
    return found


def comparison(predicate: str, element: str) -> np.uint64:
    """The name of a comparison of floats."""
    attributes = repr([("words", [predicate])])
    return name_hash("arith.cmpf", attributes, element, element, "i1")


def _joined(words: Words, left: Value, right: Value) -> Term:
    sides = [value for value in (left, right) if isinstance(value, Term)]
    least, most = joined_range(sides) if len(sides) == 2 else (None, None)
    return Term(
        words,
        all(side.finite for side in sides),
        positive=bool(sides) and all(side.positive for side in sides),
        numbers=all(side.numbers for side in sides),
        bounds=joined_bounds(left, right),
        masked=all(side.is_masked for side in sides),
        poles=not without_poles(sides),
        least=least,
        most=most,
    )
