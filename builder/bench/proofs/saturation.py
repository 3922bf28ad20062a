"""Clamps that a conversion to 8 bits makes again.

What is beyond the largest number of an 8-bit float type becomes that number when it is converted
(PTX ISA, ``cvt.rn.satfinite``; Triton asks for it from compute capability 8.9 on), and NaN stays
NaN.  A clamp to that number or beyond before it changes nothing: what it moves lies beyond on the
same side, before and after.  A conversion that rounds to zero leaves infinities as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from builder.bench.proofs.ranges import KEEPS_NAN, MAXIMA
from builder.bench.proofs.terms import Term, Value, Words, as_words
from builder.execute.ir import TORCH_DTYPES
from builder.execute.ops_convert import LARGEST_FP8

if TYPE_CHECKING:
    from builder.execute.ir import Operation


def with_clamp(name: str, args: list[Value], result: Term) -> Term:
    """A maximum or minimum of a value and a constant, with the value and how far they are equal.

    Args:
        name: the operation, which keeps NaN.
        args: its operands.
        result: its term.
    """
    if name not in KEEPS_NAN:
        return result
    for value, other in (args, args[::-1]):
        constant = other.constant if isinstance(other, Term) else None
        if constant is None or not isinstance(value, Term) or value.constant is not None:
            continue
        end = float(constant.max() if name in MAXIMA else -constant.min())
        if not end < 0.0:
            continue
        words, inner = value.clamped or (value.hashes, -end)
        return replace(result, clamped=(words, min(inner, -end)))
    return result


def is_cut(op: Operation) -> bool:
    """Whether a conversion rounds to zero."""
    return bool(op.attributes.get("rounding") == "rtz")


def saturated(value: Value, element: str) -> Words:
    """The terms that a conversion to a type may take for those of a value."""
    clamped = value.clamped if isinstance(value, Term) else None
    largest = LARGEST_FP8.get(TORCH_DTYPES.get(element, torch.float32))
    if clamped is None or largest is None or clamped[1] < largest:
        return as_words(value)
    return clamped[0]
