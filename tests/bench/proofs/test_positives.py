"""What is known to be above zero."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.proofs.constants import constant_term
from builder.bench.proofs.positives import chosen_above_zero, is_above_zero, with_above_zero
from builder.bench.proofs.terms import Known, Term, float_constant
from builder.execute.ir import Operation

WORDS = np.array([[3, 4, 5]], dtype=np.uint64)
ABOVE = Term(WORDS, above_zero=True)
MASKED = Term(np.where(WORDS == 4, float_constant("f32", 0.0), WORDS), above_zero=True)
ANY = Term(WORDS)
ZERO, MINUS = (constant_term(np.full((1, 1), number), "f32") for number in (0.0, -1.0))


def _marked(name: str, *args: Term, element: str = "f32") -> Term:
    op = Operation(name, tuple(range(len(args))), (len(args),), {})
    return with_above_zero(op, list(args), Term(WORDS, poles=True), element)


@pytest.mark.parametrize(
    ("name", "args", "found"),
    [
        ("math.exp", [ANY], True),
        ("math.exp", [Term(WORDS, poles=True)], False),
        ("math.exp", [Term(WORDS, finite=False)], False),
        ("math.exp", [Term(WORDS, finite=False, masked=True)], True),
        ("math.exp", [Term(WORDS, finite=False, masked=True, poles=True)], False),
        ("arith.addf", [ABOVE, MASKED], True),
        ("arith.addf", [ABOVE, ANY], False),
        ("arith.addf", [ABOVE, MINUS], False),
        ("arith.subf", [ABOVE, ABOVE], False),
        ("arith.mulf", [MASKED, ZERO], True),
        ("arith.mulf", [ABOVE, MINUS], False),
        ("arith.divf", [ABOVE, ABOVE], True),
        ("arith.divf", [MASKED, ABOVE], False),
        ("arith.divf", [ABOVE, MASKED], False),
        ("math.log", [ABOVE], False),
    ],
)
def test_results(name: str, args: list[Term], found: bool) -> None:
    assert _marked(name, *args).above_zero == found


def test_small_floats_round_to_zero() -> None:
    assert _marked("arith.truncf", ABOVE, element="f16").above_zero
    assert not _marked("tt.fp_to_fp", ABOVE, element="f8E4M3FN").above_zero


@pytest.mark.parametrize(
    ("name", "args", "poles"),
    [
        ("math.log", [ABOVE], False),
        ("math.log", [MASKED], True),
        ("math.log", [ANY], True),
        ("arith.divf", [ANY, ABOVE], False),
        ("arith.divf", [ANY, MASKED], True),
        ("arith.divf", [ABOVE, ANY], True),
        ("arith.divf", [Term(WORDS, poles=True), ABOVE], True),
    ],
)
def test_poles(name: str, args: list[Term], poles: bool) -> None:
    assert _marked(name, *args).poles == poles


def test_selections() -> None:
    known, data = Known(np.array([[0, 1, 1]])), Term(WORDS)
    assert chosen_above_zero([known, ABOVE, ZERO], "f32")
    assert chosen_above_zero([data, ABOVE, ABOVE], "f32")
    assert not chosen_above_zero([known, ABOVE, ANY], "f32")
    assert not chosen_above_zero([data, ABOVE, ZERO], "f32")
    assert not chosen_above_zero([data, MASKED, ABOVE], "f32")
    assert not is_above_zero(MASKED, "f32")
