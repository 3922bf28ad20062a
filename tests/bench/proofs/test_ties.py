"""Proofs that it does not count whether a comparison is strict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.bench.proofs.equivalence import SAME_TERMS
from tests.bench.proofs.pointwise_samples import proof_of

if TYPE_CHECKING:
    from builder.verify import Prepared

_ROUNDED = "tl.where(tl.abs(x) < 4.0, libdevice.nearbyint(x), libdevice.nearbyint(x / 2.0) * 2.0)"
_STEP = "tl.where(tl.abs(x) < 2.0, 0.5, tl.where(tl.abs(x) < 4.0, 1.0, 2.0))"
_STEPS = f"libdevice.nearbyint(x / {_STEP}) * {_STEP}"
_SIGN = "((0 < x).to(tl.int8) - (x < 0).to(tl.int8)).to(tl.float32)"
_SHRUNK = f"tl.where(tl.abs(x) > 0.1, x - {_SIGN} * 0.1, 0.0)"
_WHOLE = "tl.where(x.to(tl.int32) < 3, x.to(tl.int32) * 2, 6).to(tl.float32)"


@pytest.mark.parametrize(
    ("old", "loose"),
    [
        (_ROUNDED, "abs(x) <= 4.0"),
        (_STEPS, "abs(x) <= 4.0"),
        (_STEPS, "abs(x) <= 2.0"),
        (_SHRUNK, "(0 <= x)"),
        (_SHRUNK, "(x <= 0)"),
        ("tl.where(x < 3.0, x * y, y * 3.0)", "x <= 3.0"),
        ("tl.where(x > 3.0, tl.exp(x), tl.exp(x * 0.0 + 3.0)) + y", "x >= 3.0"),
        ("tl.sum(tl.where(x > 3.0, x - 3.0, 0.0) + y) + x", "x >= 3.0"),
        ("tl.where(x < y, x * 2.0, y * 2.0)", "x <= y"),
        ("tl.where(tl.where(x < y, x, 0.0) == y, y, tl.where(x == y, y, x))", "x <= y"),
        (_WHOLE, "int32) <= 3"),
        ("tl.where(libdevice.isnan(x).to(tl.int1) | (x > y), y, x)", "x >= y"),
    ],
)
def test_what_is_the_same_on_a_tie(pointwise: Prepared, old: str, loose: str) -> None:
    new = old.replace(loose.replace("=", ""), loose)
    assert new != old
    assert proof_of(pointwise, old, new) == SAME_TERMS
    assert proof_of(pointwise, new, old) == SAME_TERMS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # three is rounded to four where steps are two
        (_ROUNDED.replace("4.0", "3.0"), _ROUNDED.replace("< 4.0", "<= 3.0")),
        (_ROUNDED.replace("/ 2.0) * 2.0", "/ 3.0) * 3.0"),
         _ROUNDED.replace("/ 2.0) * 2.0", "/ 3.0) * 3.0").replace("<", "<=")),
        # another comparison, or another number
        (_ROUNDED, _ROUNDED.replace("<", ">")),
        (_ROUNDED, _ROUNDED.replace("< 4.0", "<= 4.5")),
        (_STEPS.replace("2.0, 0.5", "2.0, 0.25"), _STEPS.replace("2.0, 0.5", "2.5, 0.25")),
        # the size is four of two numbers
        ("tl.where(tl.abs(x) < 4.0, x, 4.0)", "tl.where(tl.abs(x) <= 4.0, x, 4.0)"),
        ("tl.where(tl.abs(x) < -4.0, x, y)", "tl.where(tl.abs(x) < -4.0, y, x)"),
        # at zero the sign counts
        (_SHRUNK.replace("> 0.1", "> -0.1"),
         _SHRUNK.replace("> 0.1", "> -0.1").replace("(0 <", "(0 <=")),
        # the other side is another value
        ("tl.where(x < 3.0, x * y, y * 2.0)", "tl.where(x <= 3.0, x * y, y * 2.0)"),
        ("tl.where(x < 3.0, x, y)", "tl.where(x <= 3.0, x, y)"),
        # what is equal to something is not NaN, but that it is equal counts
        ("tl.where(libdevice.isnan(x).to(tl.int1) | (x > y), 1.0, 2.0)",
         "tl.where(libdevice.isnan(x).to(tl.int1) | (x >= y), 1.0, 2.0)"),
        # equal zeros may have different signs
        ("tl.where(x < y, 1.0 / x, 1.0 / y)", "tl.where(x <= y, 1.0 / x, 1.0 / y)"),
        ("tl.where(x < 0.0, 1.0 / (x * 1.0), float('inf'))",
         "tl.where(x <= 0.0, 1.0 / (x * 1.0), float('inf'))"),
        # other lanes are no ties
        ("tl.sum((x < 3.0).to(tl.float32)) + x", "tl.sum((x <= 3.0).to(tl.float32)) + x"),
        ("tl.sum(tl.where((x < 3.0)[:, None], x[None, :], 3.0), 1)",
         "tl.sum(tl.where((x <= 3.0)[:, None], x[None, :], 3.0), 1)"),
        ("tl.where(x < 3.0, tl.sum(x), tl.sum(x * 0.0 + 3.0))",
         "tl.where(x <= 3.0, tl.sum(x), tl.sum(x * 0.0 + 3.0))"),
        # what is loaded, or where from, may depend on it
        ("tl.load(x_ptr + place, mask=x < 3.0, other=3.0)",
         "tl.load(x_ptr + place, mask=x <= 3.0, other=4.0)"),
        ("tl.load(y_ptr + place, mask=x < 3.0, other=3.0)",
         "tl.load(y_ptr + place, mask=x <= 3.0, other=3.0)"),
        (_WHOLE, _WHOLE.replace("< 3", "<= 4")),
        (_WHOLE.replace("6", "7"), _WHOLE.replace("6", "7").replace("<", "<=")),
    ],
)  # fmt: skip
def test_what_differs_on_a_tie(pointwise: Prepared, old: str, new: str) -> None:
    assert new != old
    assert proof_of(pointwise, old, new) is None
    assert proof_of(pointwise, new, old) is None
