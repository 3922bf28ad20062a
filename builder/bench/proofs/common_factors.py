"""Of real numbers: what is the same along a row, drawn out of exponentials, sums, and quotients.

``exp(x + c)`` is ``exp(x) exp(c)``; and whatever number but zero ``k`` is, ``1 / v`` is
``(1 / k) (1 / (v / k))``, and for a positive one ``log(v)`` is ``log(k) + log(v / k)``.  So a
softmax depends on nothing that is added to a whole row, nor a normalisation on what it is
multiplied by: sums are the field's, and draw out what their terms share.  A positive factor of two
values changes nothing of which is greater, so that it comes out of maxima and sorts too.

Which ``c`` and ``k`` are drawn out is told by what terms carry: numbers that they have been added
and multiplied by that are the same along some axis.  What is loaded from where there are extremes
of rows alone has been added itself, in whatever shape it is loaded.  One that is lost, or another
than it might be, loses a proof and makes none; all are numbers whatever the inputs are, and factors
are positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.field import (
    PRIME,
    field_add,
    field_elements,
    field_inverse,
    field_negated,
    field_number,
    field_over,
    field_product,
    inverse_element,
    with_constants,
)
from builder.bench.proofs.poles import DIVISIONS, without_poles
from builder.bench.proofs.positives import (
    CASTS,
    EXPONENTIALS,
    LOGARITHMS,
    chosen_above_zero,
    is_above_zero,
)
from builder.bench.proofs.signs import is_zero
from builder.bench.proofs.softplus import EXPONENTIAL
from builder.bench.proofs.terms import Term, Value, Words, combined, name_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from builder.execute.ir import Operation, Type


@dataclass(frozen=True, eq=False)
class Factor:
    """A positive number that is the same along some axis.

    Attributes:
        words: the elements of the field that it is.
        inverse: what they are times is one.
        exponent: the base and the elements of which it is the power, if it is one.
        root: the factor of which it is the square, if it is known as one.
    """

    words: Words
    inverse: Words
    exponent: tuple[str, Words] | None = None
    root: Factor | None = None

    def viewed(self, view: Callable[[Words], Words]) -> Factor:
        exponent = self.exponent and (self.exponent[0], view(self.exponent[1]))
        root = self.root and self.root.viewed(view)
        return Factor(view(self.words), view(self.inverse), exponent, root)

    @property
    def inverted(self) -> Factor:
        exponent = self.exponent and (self.exponent[0], field_negated(self.exponent[1]))
        return Factor(self.inverse, self.words, exponent, self.root and self.root.inverted)


def with_factors(op: Operation, args: list[Value], made: Term, kind: Type) -> Term:
    """The result of an operation on finite real numbers, with what is drawn out of it."""
    if not all(isinstance(value, Term) and value.finite for value in args):
        return made
    terms = [value for value in args if isinstance(value, Term)]
    name = str(op.attributes.get("symbol") or op.name)
    if name in EXPONENTIALS:
        return _exponential(EXPONENTIALS[name], terms[0], made, kind)
    if name in LOGARITHMS:
        return _logarithm(LOGARITHMS[name], terms[0], made, kind)
    if name in CASTS:
        return replace(made, shifts=terms[0].shifts, common=terms[0].common)
    if name == "arith.negf":
        return replace(made, shifts=tuple(map(field_negated, terms[0].shifts)))
    if name in ("arith.addf", "arith.subf"):
        shifts = _shifts_of_sum(name, terms, kind.element)
        return replace(made, shifts=shifts, common=shared_factors(*terms))
    if name == "arith.mulf":
        common = merged_factors([f for value in terms for f in _own(value, made, kind.element)])
        return replace(made, shifts=_shifts_of_product(terms, made, kind), common=common)
    return _quotient(terms, made, kind) if name in DIVISIONS else made


def chosen_factors(args: list[Value], made: Term, element: str) -> Term:
    """A selection, of which one side may be zero, with what either side shares."""
    sides = [value for value in args[1:] if isinstance(value, Term)]
    shifts = next((side.shifts for side in sides if side.shifts), ())
    common = next((side.common for side in sides if side.common), ())
    above_zero = chosen_above_zero(args, element)
    return replace(made, shifts=shifts, common=common, above_zero=above_zero)


def factors_along(value: Value, axis: int) -> tuple[Factor, ...]:
    """The factors that all elements along an axis share, though they may be loaded one by one."""
    common = value.common if isinstance(value, Term) else ()
    return tuple(
        factor.viewed(lambda words: words.take([0], axis))
        for factor in common
        if bool((factor.words == factor.words.take([0], axis)).all())
    )


def without_axis(factors: Iterable[Factor], axis: int) -> tuple[Factor, ...]:
    """The factors of what an axis is reduced to."""
    return tuple(factor.viewed(lambda words: words.squeeze(axis)) for factor in factors)


def shared_factors(one: Value, other: Value) -> tuple[Factor, ...]:
    """The factors that both of two values have; zero has any."""
    ours, theirs = (v.common if isinstance(v, Term) and v.finite else () for v in (one, other))
    for value, factors in ((one, theirs), (other, ours)):
        if is_zero(value):
            return factors
    return tuple(factor for factor in ours if _is_among(factor, theirs))


def _is_among(factor: Factor, factors: tuple[Factor, ...]) -> bool:
    return any(np.array_equal(factor.words, other.words) for other in factors)


def without_factors(value: Value, factors: tuple[Factor, ...], element: str) -> Value:
    """A value over factors of it."""
    if not factors or not isinstance(value, Term) or is_zero(value):
        return value
    words = divided(field_elements(value, element), factors)
    common = tuple(factor for factor in value.common if not _is_among(factor, factors))
    return _rescaled(value, words, element, common)


def beside_factors(value: Value, factors: tuple[Factor, ...], element: str) -> Value:
    """A value times factors that have been taken from it."""
    if not factors or not isinstance(value, Term):
        return value
    words = divided(field_elements(value, element), [factor.inverted for factor in factors])
    return _rescaled(value, words, element, merged_factors([*value.common, *factors]))


def _rescaled(value: Term, words: Words, element: str, common: tuple[Factor, ...]) -> Term:
    """A value times a positive number, of which little else is known."""
    return Term(
        with_constants(words, element),
        value.finite,
        positive=value.positive,
        numbers=value.numbers,
        poles=value.poles,
        above_zero=value.above_zero,
        extreme=value.extreme,
        common=common,
    )


def divided(words: Words, factors: Iterable[Factor]) -> Words:
    """Elements over factors."""
    for factor in factors:
        words = field_product(words, factor.inverse)
    return words


def merged_factors(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    """Their product, one factor for each shape."""
    found: dict[tuple[int, ...], Factor] = {}
    for factor in factors:
        known = found.get(factor.words.shape)
        found[factor.words.shape] = factor if known is None else _product(known, factor)
    return tuple(found.values())


def product_of(factors: Iterable[Factor]) -> Factor:
    """The product of factors."""
    return reduce(_product, factors)


def _product(one: Factor, other: Factor) -> Factor:
    exponent = None
    if one.exponent and other.exponent and one.exponent[0] == other.exponent[0]:
        exponent = one.exponent[0], field_add(one.exponent[1], other.exponent[1])
    root = one if np.array_equal(one.words, other.words) else None
    if root is None and one.root and other.root:
        root = _product(one.root, other.root)
    words = field_product(one.words, other.words)
    return Factor(words, field_product(one.inverse, other.inverse), exponent, root)


def _exponential(base: str, value: Term, made: Term, kind: Type) -> Term:
    rest = field_elements(value, kind.element)
    for shift in value.shifts:
        rest = field_add(rest, field_negated(shift))
    words = _power(base, rest)
    common = []
    for shift in value.shifts:
        power = _power(base, shift)
        words = field_product(words, power)
        common.append(Factor(power, _inverses(power), (base, shift)))
    return replace(made, hashes=with_constants(words, kind.element), common=tuple(common))


def _inverses(words: Words) -> Words:
    """Likewise ``field_inverse``, of each element that is there once."""
    found, places = np.unique(words, return_inverse=True)
    return np.asarray(field_inverse(found)[places].reshape(words.shape))


def _power(base: str, exponents: Words) -> Words:
    words = combined(name_hash("power", base), [exponents]) % PRIME
    return np.where(exponents == 0, np.uint64(1), words)


def _logarithm(base: str, value: Term, made: Term, kind: Type) -> Term:
    """A logarithm; of an exponential it is what that is of."""
    if value.exponent is not None and (base, value.exponent[0]) == ("e", EXPONENTIAL):
        return replace(made, hashes=value.exponent[1], shifts=())
    powers = [f for f in value.common if f.exponent is not None and f.exponent[0] == base]
    rest = divided(field_elements(value, kind.element), powers)
    words = combined(name_hash("logarithm", base), [rest]) % PRIME
    words = np.where(rest == 1, np.uint64(0), words)
    shifts = [factor.exponent[1] for factor in powers if factor.exponent is not None]
    for shift in shifts:
        words = field_add(words, shift)
    words = with_constants(words, kind.element)
    return replace(made, hashes=words, shifts=_merged_shifts(shifts))


def _quotient(terms: list[Term], made: Term, kind: Type) -> Term:
    """A quotient, with the factors of both; what divides is a number by itself without its own."""
    dividend, divisor = terms
    if divisor.constant is not None:
        return replace(made, common=dividend.common, shifts=_over(dividend, divisor))
    inverse = inverse_element(divided(field_elements(divisor, kind.element), divisor.common))
    inverse = divided(inverse, divisor.common)
    given = field_elements(dividend, kind.element)
    words = field_over(given, inverse)
    if is_above_zero(divisor, kind.element) and without_poles(terms):
        words = np.where(given == 0, np.uint64(0), words)
    shared = [factor.inverted for factor in divisor.common]
    if _is_factor(divisor, made, kind.element):
        shared = [Factor(inverse, field_inverse(inverse))]
    common = merged_factors([*_own(dividend, made, kind.element), *shared])
    return replace(made, hashes=with_constants(words, kind.element), common=common)


def _own(value: Term, made: Term, element: str) -> Iterable[Factor]:
    """The factors of an operand, which it may be itself, of a product."""
    if not _is_factor(value, made, element):
        return value.common
    words = field_elements(value, element)
    return [Factor(words, field_inverse(words))]


def _is_factor(value: Term, made: Term, element: str) -> bool:
    is_along = is_shared(value.hashes, made.hashes.shape)
    return is_along and without_poles([value]) and is_above_zero(value, element)


def _over(dividend: Term, divisor: Term) -> tuple[Words, ...]:
    """The shifts of what is divided by a constant."""
    numbers = np.unique(divisor.constant) if divisor.constant is not None else np.zeros(0)
    if numbers.size != 1 or not numbers[0]:
        return ()
    inverse = field_inverse(np.full(1, field_number(float(numbers[0])), dtype=np.uint64))
    return tuple(field_product(shift, inverse) for shift in dividend.shifts)


def _shifts_of_product(terms: list[Term], made: Term, kind: Type) -> tuple[Words, ...]:
    """``(x + c) s`` has been added ``c s``, which is the same along a row if ``s`` is."""
    for value, other in (terms, terms[::-1]):
        if value.shifts and not other.shifts and without_poles([other]):
            times = field_elements(other, kind.element)
            products = [field_product(shift, times) for shift in value.shifts]
            shape = made.hashes.shape
            return _merged_shifts(p for p in products if is_shared(p, shape))
    return ()


def _shifts_of_sum(name: str, terms: list[Term], element: str) -> tuple[Words, ...]:
    shape = np.broadcast_shapes(*(value.hashes.shape for value in terms))
    shifts: list[Words] = []
    for place, value in enumerate(terms):
        own = list(value.shifts)
        if without_poles([value]) and (
            is_shared(value.hashes, shape) or value.constant is not None
        ):
            rest = field_elements(value, element)
            for shift in own:
                rest = field_add(rest, field_negated(shift))
            own.append(rest)
        is_less = place == 1 and name == "arith.subf"
        shifts += map(field_negated, own) if is_less else own
    return _merged_shifts(shifts)


def _merged_shifts(shifts: Iterable[Words]) -> tuple[Words, ...]:
    """Their sum, one for each shape, without zeros."""
    found: dict[tuple[int, ...], Words] = {}
    for shift in shifts:
        known = found.get(shift.shape)
        found[shift.shape] = shift if known is None else field_add(known, shift)
    return tuple(shift for shift in found.values() if bool(shift.any()))


def is_shared(words: Words, shape: tuple[int, ...]) -> bool:
    """Whether elements are the same along an axis of a block that is longer than one."""
    return any(own == 1 < full for own, full in zip(words.shape[1:], shape[1:], strict=True))
