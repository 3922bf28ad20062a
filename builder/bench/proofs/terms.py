"""Values of a kernel run on symbols: known integers, and terms over the elements of the inputs.

A term stands for an expression by a 64-bit hash of its structure (operations uninterpreted, the
operands of commutative ones unordered).  Equal expressions have equal hashes; that different ones
collide has a chance of about 2**-64 a comparison, for this is no random sample of inputs but one
evaluation that covers all of them.

Arrays have the program instances first, then the block's dimensions; a dimension of size 1 stands
for any size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from builder.bench.proofs.common_factors import Factor
    from builder.bench.proofs.contests import Contest
    from builder.bench.proofs.grains import Grain
    from builder.bench.proofs.moved import Moved
    from builder.bench.proofs.pairs import Pairs
    from builder.bench.proofs.reach import Cover, Reach
    from builder.bench.proofs.spoilt import Spoilt
    from builder.bench.proofs.zeros import Zero
    from builder.execute.ir import Type

Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]

_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
NEGATED = np.uint64(1 << 62)
"""The bit by which a term differs from its negative, and a condition from its contrary."""


class Reading(IntEnum):
    """What floats are taken for: bit patterns, finite numbers, or real numbers."""

    BITS = 0
    FINITE = 1
    REAL = 2


class Unprovable(Exception):
    """The run on symbols cannot tell; nothing is claimed about such a mutant."""


@dataclass(frozen=True, eq=False)
class Known:
    """Integers (of any width, booleans too) that depend on no data."""

    data: Integers


@dataclass(frozen=True, eq=False)
class Parts:
    """The operands of an operation of which order, grouping and repetition do not count.

    Attributes:
        operation: its name, as ``arith.maximumf``.
        words: the operands of each element, along a last axis; fewer are padded with repetitions.
    """

    operation: str
    words: Words


@dataclass(frozen=True, eq=False)
class Term:
    """Expressions of loaded data, and all floats.

    Attributes:
        hashes: one for each element.
        finite: no infinite or NaN constant is among the operands, directly or not.
        masked: likewise, but for elements that are an infinite constant themselves.
        positive: no element is below zero, but for the constant minus infinity.
        numbers: no element is NaN because of infinite constants; so where it only selects them.
        parts: of a maximum and the like of several operands.
        exact: as terms of a narrower type, what was extended to it without a loss.
        constant: the numbers themselves where they depend on no data.
        bounds: of integers, the least and the greatest, if they are known.
        factors: terms of which each makes this one zero where it is zero.
        cover: what it is at least.
        reach: the size that no element exceeds, as far as it is known.
        least: a number that no element is below.
        most: a number that no element is above.
        exponent: of an exponential, and of one plus it in a logarithm: the terms of ``x``.
        above: of a comparison, the terms and the constant that they are above.
        sign_of: the terms whose sign it has, where they are not its own; zero it may be before.
        rectified: terms of which a maximum with zero is this one's.
        contest: of a condition, what it says of two values and two indices.
        pairs: of an index, the candidates that it is one of.
        apart: of ``a == b`` or ``a != b`` of numbers, the size of their difference, and whether it
            is the latter.
        elsewhere: terms, and what it is where they are not zero (``elsewhere``).
        poles: it may be no number though inputs are (``poles``).
        sizes: of a selection, the terms by which its size is told; elsewhere they are its own.
        scale: of real numbers, a positive constant that they have been multiplied by.
        zero: of a condition, terms that are zero where it is one way.
        shifts: of real numbers, what they have been added that is the same along an axis.
        common: likewise, what they have been multiplied by (``factors``).
        extreme: of real numbers, it is a maximum or minimum along an axis.
        above_zero: of real numbers, all are above zero but for the constant zero.
        clamped: terms, and a size up to which it is what they are; where they are beyond it, it is,
            on the same side.
        spoilt: what it is but for some lanes, of which more is known then.
        grain: of real numbers, how near zero they are (``grains``).
        moved: of real numbers, what they were before something was added (``moved``).
    """

    hashes: Words
    finite: bool = True
    positive: bool = False
    numbers: bool = True
    parts: Parts | None = None
    exact: tuple[str, Words] | None = None
    constant: npt.NDArray[np.float64] | None = None
    bounds: tuple[int, int] | None = None
    masked: bool = False
    factors: tuple[Words, ...] = ()
    cover: Cover | None = None
    reach: Reach | None = None
    least: float | None = None
    most: float | None = None
    exponent: tuple[str, Words] | None = None
    above: tuple[Words, float] | None = None
    sign_of: Words | None = None
    rectified: Words | None = None
    contest: Contest | None = None
    pairs: Pairs | None = None
    sizes: Words | None = None
    apart: tuple[Words, bool] | None = None
    poles: bool = False
    elsewhere: tuple[Words, Words] | None = None
    scale: Fraction | None = None
    zero: Zero | None = None
    shifts: tuple[Words, ...] = ()
    common: tuple[Factor, ...] = ()
    extreme: bool = False
    above_zero: bool = False
    clamped: tuple[Words, float] | None = None
    spoilt: Spoilt | None = None
    grain: Grain | None = None
    moved: Moved | None = None

    @property
    def is_masked(self) -> bool:
        return self.finite or self.masked


@dataclass(frozen=True, eq=False)
class Address:
    """Elements of one storage.

    Attributes:
        storage: its number; None for an address that was itself loaded.
        itemsize: bytes of an element.
        offset: element numbers, from the storage's start.
    """

    storage: int
    itemsize: int
    offset: Known | Term

    def with_offset(self, offset: Known | Term) -> Address:
        return replace(self, offset=offset)


Value: TypeAlias = Known | Term | Address


@lru_cache(maxsize=4096)
def name_hash(*parts: object) -> np.uint64:
    """The hash of a name: an operation with its attributes, a constant, an input."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def mixed(words: Words) -> Words:
    """Spreads every bit over the word (as in MurmurHash3's finaliser)."""
    result: Words = words >> _SHIFT
    result ^= words
    result *= _FIRST
    result ^= result >> _SHIFT
    result *= _SECOND
    result ^= result >> _SHIFT
    return result


def combined(name: np.uint64, operands: list[Words], *, commutes: bool = False) -> Words:
    """The term of an operation on operands, which broadcast against each other."""
    if commutes:
        # mixed, for an element of a field and its negative have the same sum, whatever they are
        first, second = mixed(operands[0]), mixed(operands[1])
        operands = [first + second, first ^ second, *operands[2:]]
    word: Words = np.full((1,) * max((o.ndim for o in operands), default=1), name)
    for operand in operands:
        word = mixed(word + operand)
    return word


def float_constant(element: str, value: float) -> np.uint64:
    """The term of a float of a type."""
    return np.uint64(float_constants(element, np.full(1, value, dtype=np.float64))[0])


def float_constants(element: str, values: npt.NDArray[np.float64]) -> Words:
    """The terms of floats of a type; every NaN is the same."""
    bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    return mixed(bits + name_hash("float", element))


def as_words(value: Value) -> Words:
    """The term that a value is; a known integer is the constant.

    Raises:
        Unprovable: it is an address.
    """
    if isinstance(value, Term):
        return value.hashes
    if isinstance(value, Known):
        return constant_words(value.data)
    raise Unprovable("an address is used as a number")


def constant_words(data: Integers) -> Words:
    return mixed(data.astype(np.uint64) + name_hash("integer"))


def full(array: Any, kind: Type) -> Any:
    """An array of a type's elements at full size."""
    return np.broadcast_to(array, (array.shape[0], *kind.shape))


def in_sequence(words: Words, axis: int, *, skipped: Any = None) -> Words:
    """The hash of each row's elements in their order; the axis is gone.

    Args:
        words: of the elements.
        axis: of the rows.
        skipped: mask of elements that do not count.
    """
    numbered = _numbered(words, axis)
    if skipped is not None:
        numbered = np.where(skipped, np.uint64(0), numbered)
    return np.asarray(numbered.sum(axis=axis, dtype=np.uint64))


def prefixes(words: Words, axis: int, *, reverse: bool) -> Words:
    """Per element, the hash of the elements up to it (or from it on)."""
    if reverse:
        words = np.flip(words, axis)
    sums = np.cumsum(_numbered(words, axis), axis=axis, dtype=np.uint64)
    return np.flip(sums, axis) if reverse else sums


def _numbered(words: Words, axis: int) -> Words:
    shape = [1] * words.ndim
    shape[axis] = words.shape[axis]
    places = np.arange(words.shape[axis], dtype=np.uint64).reshape(shape)
    return mixed(words + mixed(places + name_hash("place")))


def wrapped(data: Any, bits: int) -> Integers:
    """Integers wrapped to a width, signed; one bit is 0 or 1."""
    data = np.asarray(data, dtype=np.int64)
    if bits == 1:
        return data & 1
    if bits >= 64:
        return data
    shift = 64 - bits
    return (data << shift) >> shift


def unsigned(data: Integers, bits: int) -> Integers:
    """The unsigned reading of wrapped integers.

    Raises:
        Unprovable: 64-bit integers that are negative.
    """
    if bits < 64:
        return data & ((1 << bits) - 1)
    if bool((data < 0).any()):
        raise Unprovable("unsigned 64-bit integers")
    return data


def viewed(value: Value, view: Callable[[Any], Any]) -> Value:
    if isinstance(value, Known):
        return Known(view(value.data))
    if isinstance(value, Term):
        of_value, columns = partial(viewed, view=view), partial(_viewed_columns, view=view)
        parts, exact, constant = value.parts, value.exact, value.constant
        if parts is not None:
            parts = replace(parts, words=columns(parts.words))
        if exact is not None:
            exact = exact[0], view(exact[1])
        if constant is not None:
            constant = view(constant)
        return replace(
            value,
            hashes=view(value.hashes),
            parts=parts,
            exact=exact,
            constant=constant,
            factors=tuple(map(view, value.factors)),
            cover=value.cover and value.cover.viewed(view),
            reach=value.reach and value.reach.viewed(view),
            exponent=value.exponent and (value.exponent[0], view(value.exponent[1])),
            above=value.above and (view(value.above[0]), value.above[1]),
            sign_of=None if value.sign_of is None else view(value.sign_of),
            rectified=None if value.rectified is None else view(value.rectified),
            contest=None,
            pairs=value.pairs and value.pairs.viewed(view),
            elsewhere=value.elsewhere and (view(value.elsewhere[0]), view(value.elsewhere[1])),
            apart=value.apart and (view(value.apart[0]), value.apart[1]),
            sizes=None if value.sizes is None else view(value.sizes),
            zero=value.zero and value.zero.viewed(view),
            shifts=tuple(map(view, value.shifts)),
            common=tuple(factor.viewed(view) for factor in value.common),
            clamped=value.clamped and (view(value.clamped[0]), value.clamped[1]),
            spoilt=value.spoilt and value.spoilt.viewed(view, of_value),
            grain=value.grain and value.grain.viewed(columns, of_value),
            moved=value.moved and value.moved.viewed(view, of_value),
        )
    offset = viewed(value.offset, view)
    assert not isinstance(offset, Address)
    return value.with_offset(offset)


def _viewed_columns(words: Words, view: Callable[[Any], Any]) -> Words:
    """Words with a last axis more; a view leaves the first axis alone, so that may be of all."""
    count, *shape = np.moveaxis(words, -1, 0).shape
    viewed = view(np.moveaxis(words, -1, 0).reshape(count * shape[0], *shape[1:]))
    return np.moveaxis(viewed.reshape(count, shape[0], *viewed.shape[1:]), 0, -1)
