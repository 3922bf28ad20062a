"""Proofs about clamps that are never reached, and comparisons that ranges decide."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import FINITE_TERMS, SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare
from tests.bench.proofs.pointwise_samples import PROGRAM, TEXT

_LEAST = "minimum(a, b):\n    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)"
_HELPED = TEXT.replace("@triton.jit", f"@triton.jit\ndef {_LEAST}\n\n\n@triton.jit", 1)
_CLAMPED = "minimum(maximum(x, 0.0), 6.0)"


@pytest.fixture(scope="module")
def pointwise() -> Prepared:
    return prepare(PROGRAM, "Pointwise", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("minimum(minimum(x, 1.0), 6.0)", "minimum(x, 1.0)", SAME_TERMS),
        (f"maximum({_CLAMPED}, -1.0)", _CLAMPED, SAME_TERMS),
        (f"minimum({_CLAMPED}, 6.0)", _CLAMPED, SAME_TERMS),
        ("minimum(libdevice.tanh(x), 2.0)", "libdevice.tanh(x)", SAME_TERMS),
        ("maximum(tl.sin(x), -2.0)", "tl.sin(x)", SAME_TERMS),
        ("minimum(tl.sigmoid(x), 6.0)", "tl.sigmoid(x)", SAME_TERMS),
        ("maximum(maximum(x, 0.0) * maximum(y, 0.0), 0.0)", "maximum(x, 0.0) * maximum(y, 0.0)",
         SAME_TERMS),
        ("maximum(libdevice.log1p(tl.exp(x)), 0.0)", "libdevice.log1p(tl.exp(x))", SAME_TERMS),
        ("minimum(libdevice.expm1(minimum(x, 0.0)), 0.0)", "libdevice.expm1(minimum(x, 0.0))",
         SAME_TERMS),
        ("maximum(tl.where(y > x, maximum(x, 0.0), 1.0), 0.0)",
         "tl.where(y > x, maximum(x, 0.0), 1.0)", SAME_TERMS),
        ("maximum(tl.where(y > x, maximum(x, 0.0), -1.0), 0.0)",
         "tl.where(y > x, maximum(x, 0.0), -1.0)", None),
        ("maximum(tl.where(y > x, maximum(x, 0.0), y), 0.0)",
         "tl.where(y > x, maximum(x, 0.0), y)", None),
        ("maximum(libdevice.log1p(maximum(x, -0.5)), 0.0)", "libdevice.log1p(maximum(x, -0.5))",
         None),
        ("maximum(libdevice.expm1(minimum(x, 0.0)), 0.0)", "libdevice.expm1(minimum(x, 0.0))",
         None),
        # one that ignores NaN gives the constant beside it
        ("tl.minimum(libdevice.tanh(x), 2.0)", "libdevice.tanh(x)", FINITE_TERMS),
        ("minimum(tl.minimum(libdevice.tanh(x), 2.0), 1.5)", "tl.minimum(libdevice.tanh(x), 1.5)",
         FINITE_TERMS),
        ("minimum(minimum(x, 6.0), 1.0)", "minimum(x, 6.0)", None),
        ("minimum(maximum(x, 1.0), 6.0)", "maximum(x, 1.0)", None),
        ("minimum(maximum(tl.erf(x) + 3.0, 0.0), 6.0)", "tl.erf(x) + 3.0", SAME_TERMS),
        ("minimum(1.0 - tl.erf(x), 2.5)", "1.0 - tl.erf(x)", SAME_TERMS),
        ("maximum(maximum(x, 1.0) + maximum(y, 2.0), 2.9)", "maximum(x, 1.0) + maximum(y, 2.0)",
         SAME_TERMS),
        ("maximum(maximum(x, 1.0) + maximum(y, 2.0), 3.1)", "maximum(x, 1.0) + maximum(y, 2.0)",
         None),
        ("minimum(tl.erf(x) + 3.0, 3.5)", "tl.erf(x) + 3.0", None),
        ("maximum(tl.erf(x) + 3.0, 2.0)", "tl.erf(x) + 3.0", None),
        ("minimum(tl.erf(x) + y, 6.0)", "tl.erf(x) + y", None),
        ("maximum(maximum(x, 0.0) - maximum(y, 0.0), -1.0)", "maximum(x, 0.0) - maximum(y, 0.0)",
         None),
        (f"maximum({_CLAMPED}, 0.5)", _CLAMPED, None),
        ("minimum(libdevice.tanh(x), 0.5)", "libdevice.tanh(x)", None),
        ("minimum(libdevice.tan(x), 2.0)", "libdevice.tan(x)", None),
        ("minimum(1.0 / (tl.exp(x) + 0.1), 6.0)", "1.0 / (tl.exp(x) + 0.1)", None),
        ("minimum(x / (tl.exp(x) + 1.0), 6.0)", "x / (tl.exp(x) + 1.0)", None),
        ("maximum(maximum(x, 0.0) * y, 0.0)", "maximum(x, 0.0) * y", None),
        ("maximum(maximum(x, 0.0) - maximum(y, 0.0), 0.0)", "maximum(x, 0.0) - maximum(y, 0.0)",
         None),
        ("maximum(maximum(x, 0.0), maximum(y, 0.0))", "maximum(x, y)", None),
    ],
)  # fmt: skip
def test_clamps_that_nothing_comes_to(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert _proof(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("tl.abs(tl.abs(x))", "tl.abs(x)", SAME_TERMS),
        ("tl.abs(tl.exp(x))", "tl.exp(x)", SAME_TERMS),
        (f"tl.abs({_CLAMPED})", _CLAMPED, SAME_TERMS),
        ("libdevice.abs(x * x)", "x * x", SAME_TERMS),
        ("tl.abs(tl.exp(x))", "tl.abs(-tl.exp(x))", SAME_TERMS),
        ("tl.abs(x * x * 3.0)", "tl.abs(x * x * -3.0)", SAME_TERMS),
        ("tl.abs(x * -tl.exp(y))", "tl.abs(x * tl.exp(y))", SAME_TERMS),
        ("tl.abs(tl.where(x > y, tl.exp(x), y * y))", "tl.abs(tl.where(x > y, -tl.exp(x), y * y))",
         SAME_TERMS),
        ("-tl.exp(x) * -tl.exp(y)", "tl.abs(-tl.exp(x) * -tl.exp(y))", SAME_TERMS),
        ("y * tl.abs(-tl.exp(x))", "y * (2.0 - tl.exp(x))", None),
        ("y * tl.abs(-tl.exp(x))", "y * (-2.0 - tl.exp(x))", None),
        ("tl.abs(-tl.exp(x))", "-tl.exp(x)", None),
        ("tl.abs(minimum(x, 0.0))", "minimum(x, 0.0)", None),
        ("tl.abs(-tl.exp(x) * y)", "tl.exp(x) * y", None),
        ("tl.where(x >= 0.0, x, -x)", "tl.where(x > 0.0, x, -x)", SAME_TERMS),
        ("tl.abs(maximum(x, -1.0))", "maximum(x, -1.0)", None),
        ("tl.abs(minimum(x, 1.0))", "minimum(x, 1.0)", None),
        ("tl.abs(1.0 / maximum(x, 0.0))", "1.0 / maximum(x, 0.0)", None),
        ("tl.where(x >= 0.0, x, 1.0 - x)", "tl.where(x > 0.0, x, 1.0 - x)", None),
    ],
)  # fmt: skip
def test_sizes_of_what_is_never_below_zero(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert _proof(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("tl.where(maximum(x, 0.0) < 0.0, y, x)", "x", SAME_TERMS),
        ("tl.where(maximum(x, 1.0) <= 0.5, y, x)", "x", SAME_TERMS),
        ("tl.where(minimum(x, 1.0) > 1.0, y, x)", "x", SAME_TERMS),
        # NaN is not above
        ("tl.where(maximum(x, 0.0) >= 0.0, y, x)", "y", FINITE_TERMS),
        ("tl.where(maximum(x, 0.0) > -1.0, y, x)", "y", FINITE_TERMS),
        ("tl.where(maximum(x, 1.0) * 0.25 + maximum(y, 0.0) > 0.0, y, x)", "y", FINITE_TERMS),
        ("tl.where(maximum(x, 1.0) * maximum(y, 2.0) > 0.5, y, x)", "y", FINITE_TERMS),
        ("tl.where(maximum(x, 1.0) * maximum(y, 2.0) > 2.0, y, x)", "y", None),
        ("tl.where(maximum(x, 1.0) * 1e-30 * 1e-30 > 0.0, y, x)", "y", None),
        ("tl.where(maximum(x, 1.0) * y > 0.0, y, x)", "y", None),
        ("tl.where(maximum(tl.log(x), 0.0) > -1.0, y, x)", "y", None),
        ("tl.where(maximum(x, 0.0) > 0.0, y, x)", "y", None),
        ("tl.where(maximum(x, 0.0) <= 0.0, y, x)", "x", None),
        ("tl.where(minimum(x, 1.0) >= 1.0, y, x)", "x", None),
        ("tl.where(maximum(x, -1.0) < 0.0, y, x)", "x", None),
    ],
)
def test_comparisons_that_ranges_decide(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert _proof(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("minimum(maximum(x, -448.0), 448.0)", "x", SAME_TERMS),
        ("minimum(maximum(x, -448.0), 448.0)", "maximum(minimum(x, 500.0), -896.0)", SAME_TERMS),
        ("minimum(maximum(x, -448.0), 448.0)", "minimum(maximum(x, -448.0), 416.0)", None),
        ("minimum(maximum(x, -448.0), 448.0)", "minimum(maximum(x, -416.0), 448.0)", None),
        ("maximum(minimum(x, -448.0), -500.0)", "x", None),
        ("minimum(maximum(x, 448.0), 500.0)", "x", None),
        ("minimum(maximum(x, -448.0), float('nan'))", "x", None),
        # one that ignores NaN gives the constant beside it
        ("tl.minimum(maximum(x, -448.0), 448.0)", "x", None),
    ],
)
def test_clamps_that_a_conversion_to_8_bits_makes_again(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    old, new = (f"({value}).to(tl.float8e4nv).to(tl.float32)" for value in (old, new))
    assert _proof(pointwise, old, new) == proof
    old, new = (value.replace("float8e4nv", "float16") for value in (old, new))
    assert _proof(pointwise, old, new) is None


def test_a_conversion_that_rounds_to_zero_keeps_infinities(pointwise: Prepared) -> None:
    clamped = "minimum(maximum(x, -57344.0), 57344.0)"
    texts = [f"({value}).to(tl.float8e5).to(tl.float32)" for value in (clamped, "x")]
    assert _proof(pointwise, *texts) == SAME_TERMS
    texts = [text.replace("e5)", 'e5, fp_downcast_rounding="rtz")') for text in texts]
    assert _proof(pointwise, *texts) is None


def _proof(pointwise: Prepared, old: str, new: str) -> str | None:
    texts = (_HELPED.replace("RESULT", result) for result in (old, new))
    return proven_equivalent(pointwise, *texts)
