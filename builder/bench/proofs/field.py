"""Floats read as real numbers: terms as elements of the field of integers modulo a prime.

Sums, differences, products (of matrices too), negations and quotients by constants are the
field's, and everything else is an element of its own, by its hash.  So two expressions that are the
same polynomial of such elements (a sum in another order, an interpolation from the other end) are
the same element, and two that are not differ, but for a chance of their degree over the prime
(Schwartz 1980, "Fast probabilistic algorithms for verification of polynomial identities").  How
they round is another question.

Functions that are odd or even pass a sign on or drop it, and a cast between floats changes nothing.
So does a quotient: ``1 / (y - x)`` is ``-1 / (x - y)``, but where both are infinite, of a sign that
is a zero's, which is left aside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from builder.bench.proofs.poles import DIVISIONS, without_poles
from builder.bench.proofs.terms import (
    NEGATED,
    Term,
    Value,
    Words,
    as_words,
    combined,
    float_constant,
    name_hash,
)

if TYPE_CHECKING:
    from fractions import Fraction

    from builder.execute.ir import Function, Operation, Type

PRIME = np.uint64(2**61 - 1)
_P = 2**61 - 1
_HALF = np.uint64((2**61 - 1) // 2)
_BITS = np.uint64(61)
_LOW = np.uint64(31)
_LOW_MASK = np.uint64(2**31 - 1)
_MIDDLE = np.uint64(30)
_MIDDLE_MASK = np.uint64(2**30 - 1)
_LIMBS, _LIMB_BITS = 3, 21
_MOST_TERMS = 1 << 11
"""Products of two limbs of which a sum is below two to the 53rd."""
_MOST_CONSTANTS = 1 << 12
_ODD = frozenset({"math.sin", "math.erf", "math.roundeven", "math.round"})
_EVEN = frozenset({"math.cos", "math.absf"})
_LIBRARY_ODD = frozenset(
    {"__nv_nearbyintf", "__nv_rintf", "__nv_tanhf", "__nv_erff", "__nv_sinf", "__nv_truncf"}
)
_CASTS = frozenset({"arith.extf", "arith.truncf", "tt.fp_to_fp"})
_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})


def in_field(function: Function, op: Operation, args: list[Value], made: Term, kind: Type) -> Term:
    """The result of an operation on finite floats, with its element of the field if it has one.

    Zero times what may be no number, or that less itself, is left as it is, and so is any sum of
    two such, for one may be in the other: ``log(s) - (log(s) - x)`` is ``x`` only of numbers.
    """
    if not kind.is_float or not all(isinstance(value, Term) and value.finite for value in args):
        return made
    element = kind.element
    if op.name in _CASTS:
        source = function.types[op.operands[0]].element
        if {source, element} <= _FLOATS:
            return replace(made, hashes=with_constants(field_elements(args[0], source), element))
        return made
    if _may_hide(op, args):
        return made
    words = _result(op, args, [field_elements(value, element) for value in args])
    if words is None:
        words = _signed(function, op, args, element)
    if words is None:
        return made
    words = with_constants(words, element)
    if not without_poles(args):
        words = np.where(words == float_constant(element, 0.0), made.hashes, words)
    return replace(made, hashes=words)


def _may_hide(op: Operation, args: list[Value]) -> bool:
    """Whether what may be no number might cancel out of a sum."""
    sides = {"arith.addf": 1, "arith.subf": 1, "math.fma": 2}.get(op.name)
    return sides is not None and not (without_poles(args[:sides]) or without_poles(args[sides:]))


def _result(op: Operation, args: list[Value], given: list[Words]) -> Words | None:
    if op.name == "arith.addf":
        return field_add(*given)
    if op.name == "arith.subf":
        return field_add(given[0], field_negated(given[1]))
    if op.name == "arith.negf":
        return field_negated(given[0])
    if op.name == "arith.mulf":
        return field_product(*given)
    if op.name == "math.fma":
        return field_add(field_product(given[0], given[1]), given[2])
    if op.name in DIVISIONS:
        return _quotient(given[0], given[1], args[1])
    return None


def _signed(function: Function, op: Operation, args: list[Value], element: str) -> Words | None:
    """An odd or even function of one operand."""
    symbol = op.attributes.get("symbol")
    is_odd = op.name in _ODD or symbol in _LIBRARY_ODD
    if not is_odd and op.name not in _EVEN:
        return None
    operand = field_elements(args[0], element)
    size, is_below = _unsigned(operand)
    name = name_hash("odd or even", op.name, symbol, function.types[op.operands[0]].element)
    result = combined(name, [size]) % PRIME
    result = np.where(operand == 0, np.uint64(0), result)
    if op.name == "math.cos":
        result = np.where(operand == 0, np.uint64(1), result)
    return np.where(is_below, field_negated(result), result) if is_odd else result


def without_sign(args: list[Value], element: str) -> list[Value]:
    """The operands of a comparison for equality; with zero, a number's sign does not count."""
    pair = [field_elements(value, element) for value in args]
    for place, other in ((0, pair[1]), (1, pair[0])):
        value = args[place]
        if isinstance(value, Term) and value.constant is None and bool((other == 0).all()):
            words = with_constants(_unsigned(pair[place])[0], element)
            args = [*args[:place], replace(value, hashes=words), *args[place + 1 :]]
    return args


def _unsigned(elements: Words) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Of each element and its negative one that is the same for both, and whether it is that."""
    is_below = elements > _HALF
    return np.where(is_below, field_negated(elements), elements), is_below


def field_elements(value: Value, element: str) -> Words:
    """The elements that terms are; numbers are themselves."""
    if isinstance(value, Term) and value.constant is not None and value.finite:
        numbers, places = np.unique(value.constant, return_inverse=True)
        if numbers.size <= _MOST_CONSTANTS:
            found = np.array([field_number(float(n)) for n in numbers], dtype=np.uint64)
            return np.asarray(found[places].reshape(value.constant.shape))
    words = as_words(value)
    result = words % PRIME
    for number in (0.0, -0.0, 1.0):
        same = words == float_constant(element, number)
        result = np.where(same, np.uint64(number), result)
    return result


def with_constants(words: Words, element: str) -> Words:
    """Elements as terms: zero and one are the numbers."""
    for number in (0, 1):
        same = words == np.uint64(number)
        words = np.where(same, float_constant(element, float(number)), words)
    return words


def field_element_of(condition: Words) -> Words:
    """The elements that conditions are: one less that of what is their contrary."""
    contrary = (condition & NEGATED) != 0
    element = combined(name_hash("condition"), [condition & ~NEGATED]) % PRIME
    return np.where(
        contrary, field_add(np.full(1, 1, dtype=np.uint64), field_negated(element)), element
    )


def mixture(share: Words, one: Words, other: Words) -> Words:
    """``other + share (one - other)``."""
    return field_add(other, field_product(share, field_add(one, field_negated(other))))


def field_number(value: float | Fraction) -> int:
    """The element that a number is."""
    top, bottom = value.as_integer_ratio()
    return top * pow(bottom, -1, _P) % _P


def field_add(one: Words, other: Words) -> Words:
    """Sums."""
    return _reduced(one + other)


def field_sum(words: Words, axis: int) -> Words:
    """Sums along an axis."""
    low = (words & _LOW_MASK).sum(axis=axis, dtype=np.uint64) % PRIME
    high = (words >> _LOW).sum(axis=axis, dtype=np.uint64) % PRIME
    return field_add(low, field_product(high, np.full(1, 2**31, dtype=np.uint64)))


def field_matmul(left: Words, right: Words) -> Words:
    """Products of matrices, by limbs of 21 bits: floats of 64 bits hold their sums exactly.

    Two to the 61st is one, so that a factor of a power of two turns the bits round.
    """
    inner = left.shape[-1]
    if inner > _MOST_TERMS:
        half = inner // 2
        return field_add(
            field_matmul(left[..., :half], right[..., :half, :]),
            field_matmul(left[..., half:], right[..., half:, :]),
        )
    ours, theirs = _limbs(left), _limbs(right)
    total = np.zeros((1, 1, 1), dtype=np.uint64)
    for place in range(2 * _LIMBS - 1):
        pairs = [(n, place - n) for n in range(_LIMBS) if 0 <= place - n < _LIMBS]
        summed = np.sum([(ours[n] @ theirs[m]).astype(np.uint64) for n, m in pairs], axis=0)
        total = field_add(total, _turned(_reduced(summed), place * _LIMB_BITS % int(_BITS)))
    return total


def _limbs(words: Words) -> list[npt.NDArray[np.float64]]:
    mask = np.uint64(2**_LIMB_BITS - 1)
    shifts = [np.uint64(number * _LIMB_BITS) for number in range(_LIMBS)]
    return [((words >> shift) & mask).astype(np.float64) for shift in shifts]


def _turned(words: Words, bits: int) -> Words:
    """Elements times a power of two."""
    return ((words << np.uint64(bits)) & PRIME) | (words >> np.uint64(int(_BITS) - bits))


def field_negated(words: Words) -> Words:
    return np.where(words == 0, words, PRIME - words)


def field_inverse(words: Words) -> Words:
    """What elements times are one; of zero, zero."""
    result, power = np.ones_like(words), words
    for bit in range(int(_BITS)):
        if (_P - 2) >> bit & 1:
            result = field_product(result, power)
        power = field_product(power, power)
    return result


def _reduced(words: Words) -> Words:
    words = (words & PRIME) + (words >> _BITS)
    return np.where(words >= PRIME, words - PRIME, words)


def field_product(one: Words, other: Words) -> Words:
    """Products of elements below the prime, by halves of 31 bits."""
    one_high, one_low = one >> _LOW, one & _LOW_MASK
    other_high, other_low = other >> _LOW, other & _LOW_MASK
    middle = one_high * other_low + one_low * other_high
    total = (one_high * other_high << np.uint64(1)) + (middle >> _MIDDLE)
    total = total + ((middle & _MIDDLE_MASK) << _LOW)
    return _reduced(_reduced(total) + _reduced(one_low * other_low))


def _quotient(dividend: Words, divisor: Words, value: Value) -> Words:
    """A quotient; what divides is an element of its own, for where it is zero there is no quotient.

    Nor is zero over it zero, therefore.
    """
    constant = value.constant if isinstance(value, Term) else None
    if constant is not None and bool((constant != 0).all()) and constant.size == 1:
        return field_product(
            dividend, np.full(1, pow(int(divisor.flat[0]), -1, _P), dtype=np.uint64)
        )
    return field_over(dividend, inverse_element(divisor))


def inverse_element(divisor: Words) -> Words:
    """The element that one over another is; that over its negative is the negative."""
    size, is_below = _unsigned(divisor)
    inverse = combined(name_hash("inverse"), [size]) % PRIME
    return np.where(is_below, field_negated(inverse), inverse)


def field_over(dividend: Words, inverse: Words) -> Words:
    """A quotient, by what one over the divisor is; zero over it is not one over it."""
    nothing = combined(name_hash("zero over"), [_unsigned(inverse)[0]]) % PRIME
    return np.where(dividend == 0, nothing, field_product(dividend, inverse))
