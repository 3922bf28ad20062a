"""Sizes: what values are but for their signs.

A product has the sign that its factors' signs come to, whatever their sizes, and so has a quotient;
rounding to nearest, and a quotient that is approximated, is the same on both sides of zero. So
``-a * b`` is ``-(a * b)``, and what is scaled by minus two is the negative of what is scaled by
two. The size of a selection is the selection of the sizes, where the signs of its sides no longer
count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from builder.bench.proofs.terms import (
    NEGATED,
    Term,
    Value,
    Words,
    as_words,
    combined,
    float_constants,
    name_hash,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EVEN = {
    "arith.remf": (1,), "__nv_fmodf": (1,), "__nv_remainderf": (1,), "__nv_copysignf": (0,),
    "__nv_hypotf": (0, 1), "__nv_fabsf": (0,),
}  # fmt: skip
"""Places of operands of which the sign does not count."""
SIZE = NEGATED - np.uint64(1)
"""The bits that a term shares with its negative, and a difference with the one turned round."""


def size_words(value: Value) -> Words:
    """Words that two values share only if they are the same but for signs."""
    if isinstance(value, Term) and value.sizes is not None:
        return value.sizes
    return as_words(value) & SIZE


def even_words(args: Sequence[Value], name: str, element: str) -> list[Words]:
    """The operands of an operation, those of which the sign does not count without it.

    ``fmod`` has the sign of the dividend and a size below the divisor's (C17, 7.12.10.1), and the
    IEEE remainder takes the multiple that is nearest, which lies on both sides of zero.

    Args:
        args: its operands.
        name: the operation, or the function of a library.
        element: their type.
    """
    even = EVEN.get(name, ())
    return [
        _positive_words(value, element) if place in even else as_words(value)
        for place, value in enumerate(args)
    ]


def _positive_words(value: Value, element: str) -> Words:
    constant = value.constant if isinstance(value, Term) else None
    if constant is None:
        return size_words(value)
    return float_constants(element, np.abs(constant)) & SIZE


def square_words(value: Value, element: str) -> Words:
    """The terms of a value times itself, but for where that is zero."""
    return combined(name_hash("square", element), [size_words(value)])


def kept_sizes(args: Sequence[Value], hashes: Words) -> Words | None:
    """The sizes of a result where it is an operand or its negative; None if there is none."""
    sizes = None
    for value in args:
        if isinstance(value, Term) and value.sizes is not None:
            own = hashes & SIZE
            same = own == value.hashes & SIZE
            if bool(same.any()):
                sizes = np.where(same, value.sizes, own if sizes is None else sizes)
    return sizes


def chosen_sizes(takes: np.ndarray, left: Value, right: Value) -> Words | None:
    """The sizes of a selection by a condition that is known."""
    if all(getattr(value, "sizes", None) is None for value in (left, right)):
        return None
    return np.where(takes, size_words(left), size_words(right))


def without_signs(args: Sequence[Value], words: list[Words], element: str) -> list[Words]:
    """The operands of a product or quotient, none negated, and the bit by which that is told."""
    sizes = []
    sign: Words = np.zeros(1, dtype=np.uint64)
    for value, given in zip(args, words, strict=True):
        constant = value.constant if isinstance(value, Term) else None
        word = given
        if constant is not None and bool((constant < 0.0).any()):
            sign = sign ^ np.where(constant < 0.0, NEGATED, np.uint64(0))
            word = np.where(constant < 0.0, float_constants(element, np.abs(constant)), given)
        sizes.append(word & ~NEGATED)
        sign = sign ^ (word & NEGATED)
    return [*sizes, sign]
