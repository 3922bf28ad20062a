"""Proofs where two ways of writing a value, or two sides of a selection, come to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.bench.proofs.equivalence import (
    FINITE_TERMS,
    SAME_TERMS,
)
from tests.bench.proofs.pointwise_samples import proof_of

if TYPE_CHECKING:
    from builder.verify import Prepared


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("maximum(libdevice.erfc(x), -1.0)", "libdevice.erfc(x)", SAME_TERMS),
        ("maximum(libdevice.erfc(x), -1.0)", "maximum(-0.0, libdevice.erfc(x))", SAME_TERMS),
        ("tl.maximum(libdevice.exp(x), -1.0)", "libdevice.exp(x)", FINITE_TERMS),
        ("maximum(maximum(x, 0.5), 0.25)", "maximum(x, 0.5)", SAME_TERMS),
        ("maximum(libdevice.erfc(x), -1.0)", "maximum(libdevice.erfc(x), 0.5)", None),
        ("maximum(libdevice.erf(x), -0.5)", "libdevice.erf(x)", None),
        ("maximum(tl.where(inside, tl.exp(x), float('-inf')), -1.0)",
         "tl.where(inside, tl.exp(x), float('-inf'))", None),
        ("maximum(maximum(x, 0.25), 0.5)", "maximum(x, 0.25)", None),
    ],
)  # fmt: skip
def test_a_maximum_with_what_is_never_above(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("tl.where(inside, x + libdevice.atan(y), x)", "x + libdevice.atan(y)", SAME_TERMS),
        ("tl.where(inside, x - tl.sqrt(y), x)", "x - tl.sqrt(y)", SAME_TERMS),
        ("tl.where(inside, x + tl.cos(y), x)", "x + tl.cos(y)", None),
        ("tl.where(inside, x + libdevice.atan(x), x)", "x + libdevice.atan(x)", None),
        (
            "tl.where(tl.arange(0, BLOCK) < 11, x + libdevice.atan(y), x)",
            "x + libdevice.atan(y)",
            None,
        ),
    ],
)
def test_functions_that_are_zero_at_zero_keep_padding(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_BENT = "tl.where(x > 0.0, x * 2.0, libdevice.expm1(x) * 1.5)"
_TURNED = _BENT.replace("1.5", "-1.5")


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (f"tl.abs({_BENT})", f"tl.abs({_TURNED})", SAME_TERMS),
        (f"tl.abs(-{_BENT} * 1.0)", f"tl.abs({_TURNED})", SAME_TERMS),
        (f"tl.abs(tl.where(inside, {_BENT}, y))", f"tl.abs(tl.where(inside, {_TURNED}, -y))",
         SAME_TERMS),
        (f"{_BENT} * {_BENT}", f"{_TURNED} * {_TURNED}", SAME_TERMS),
        ("tl.abs(tl.where(x > 0.0, x, -x))", "tl.abs(x)", SAME_TERMS),
        (_BENT, _TURNED, None),
        (f"tl.abs({_BENT} + y)", f"tl.abs({_TURNED} + y)", None),
        (f"tl.abs({_BENT})", f"tl.abs({_BENT.replace('1.5', '1.25')})", None),
        (f"tl.abs({_BENT})", f"tl.abs({_BENT.replace('x > 0', 'y > 0')})", None),
        (f"tl.abs({_BENT})", f"tl.abs({_BENT.replace('x *', '0.0 - y *')})", None),
        (f"{_BENT} * {_TURNED}", f"{_BENT} * {_BENT}", None),
    ],
)  # fmt: skip
def test_signs_of_the_sides_do_not_count_for_the_size_of_a_selection(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("x * -2.0", "-(x * 2.0)", SAME_TERMS),
        ("x / -3.0", "-x / 3.0", SAME_TERMS),
        ("-x * tl.exp(x)", "x * -tl.exp(x)", SAME_TERMS),
        ("-x * -y", "x * y", FINITE_TERMS),
        ("x * -2.0", "x * 2.0", None),
        ("x / -3.0", "x / 3.0", None),
        ("-x * -y", "-(x * y)", None),
        ("x * -y", "x - y", None),
    ],
)
def test_a_product_has_the_sign_of_its_factors(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_NOTHING = "tl.where(x == y, 0.0, y - x)"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (_NOTHING, "y - x", FINITE_TERMS),
        (_NOTHING, "tl.where(x != y, y - x, 0.0)", FINITE_TERMS),
        (_NOTHING.replace("y - x", "x - y"), "x - y", FINITE_TERMS),
        ("tl.where(0.0 == x, 0.0, x)", "x", FINITE_TERMS),
        (_NOTHING.replace("x", "tl.log(x)"), "y - tl.log(x)", None),
        (_NOTHING, "x - y", None),
        (_NOTHING, "tl.where(x != y, 0.0, y - x)", None),
        (_NOTHING.replace("0.0", "1.0"), "y - x", None),
        (_NOTHING.replace("y - x", "y + x"), "y + x", None),
        (_NOTHING.replace("y - x", "y - tl.abs(x)"), "y - tl.abs(x)", None),
        (_NOTHING.replace("x == y", "x == 1.0"), "y - x", None),
        (_NOTHING.replace("x == y", "x <= y"), "y - x", None),
    ],
)
def test_a_difference_is_zero_where_numbers_are_the_same(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        # zero times a number is zero, which a logarithm and a quotient may not be there
        ("tl.where(x > 0.0, x * tl.sigmoid(x), x)", "tl.where(x >= 0.0, x * tl.sigmoid(x), x)",
         FINITE_TERMS),
        ("tl.where(x > 0.0, x * tl.rsqrt(x * x + 0.5), 0.0)",
         "tl.where(x >= 0.0, x * tl.rsqrt(x * x + 0.5), 0.0)", FINITE_TERMS),
        ("tl.where(x > 0.0, x * tl.log(x), 0.0)", "tl.where(x >= 0.0, x * tl.log(x), 0.0)", None),
        ("tl.where(x > 0.0, x * (y / x), 0.0)", "tl.where(x >= 0.0, x * (y / x), 0.0)", None),
        ("tl.where(x > 0.0, x * tl.rsqrt(x * x), 0.0)",
         "tl.where(x >= 0.0, x * tl.rsqrt(x * x), 0.0)", None),
        ("tl.where(inside, x + y * tl.log(x * x + 1.0), x)", "x + y * tl.log(x * x + 1.0)",
         FINITE_TERMS),
        ("tl.where(inside, x + y * tl.log(y), x)", "x + y * tl.log(y)", None),
    ],
)  # fmt: skip
def test_nothing_times_what_may_be_infinite(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(("padding", "proof"), [("0.0", FINITE_TERMS), ("float('-inf')", None)])
def test_a_reduction_of_infinities_tells_their_difference(
    pointwise: Prepared, padding: str, proof: str | None
) -> None:
    joined = f"x + tl.reduce(tl.where(inside, x, {padding}), 0, DIFFERENCE)"
    old, new = (joined.replace("DIFFERENCE", name) for name in ("apart_or_zero", "apart"))
    assert proof_of(pointwise, old, new) == proof


_SIGN = "((0 < x).to(tl.int8) - (x < 0).to(tl.int8)).to(tl.float32)"
_LOOSE = _SIGN.replace("0 < x", "0 <= x")


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (f"{_SIGN} * tl.sqrt_rn(tl.abs(x))", f"{_LOOSE} * tl.sqrt_rn(tl.abs(x))", SAME_TERMS),
        (f"x * {_SIGN}", f"x * {_LOOSE}", SAME_TERMS),
        (f"x * {_SIGN}", f"x * {_SIGN.replace('x < 0', 'x <= 0')}", SAME_TERMS),
        (f"x * {_SIGN}", f"x * {_LOOSE.replace('x < 0', 'x <= 0')}", SAME_TERMS),
        (f"tl.abs(x) * {_SIGN}", f"x * {_LOOSE}", None),
        (_SIGN, _LOOSE, None),
        (f"{_SIGN} * y", f"{_LOOSE} * y", None),
        (f"{_SIGN} * tl.exp(x)", f"{_LOOSE} * tl.exp(x)", None),
        (f"x * {_SIGN}", f"x * {_SIGN.replace('0 < x', '1 <= x')}", None),
        (f"x * {_SIGN}", f"x * {_SIGN.replace('0 < x', '0 <= y')}", None),
        (f"tl.exp({_SIGN}) * x", f"tl.exp({_LOOSE}) * x", None),
        (f"{_SIGN} / x", f"{_LOOSE} / x", None),
    ],
)
def test_signs_at_zero_do_not_count_beside_what_is_zero_there(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("libdevice.fmod(x, 1.5)", "libdevice.fmod(x, -1.5)", SAME_TERMS),
        ("libdevice.fmod(x, y)", "libdevice.fmod(x, -y)", SAME_TERMS),
        ("libdevice.fmod(x, x - y)", "libdevice.fmod(x, y - x)", SAME_TERMS),
        ("x % y", "x % -y", SAME_TERMS),
        ("libdevice.hypot(x, y)", "libdevice.hypot(-x, -y)", SAME_TERMS),
        ("libdevice.copysign(x, y)", "libdevice.copysign(-x, y)", SAME_TERMS),
        ("libdevice.fmod(x, 1.5)", "libdevice.fmod(-x, 1.5)", None),
        ("libdevice.fmod(x, 1.5)", "libdevice.fmod(x, -1.25)", None),
        ("libdevice.fmod(x, x + y)", "libdevice.fmod(x, x - y)", None),
        ("libdevice.copysign(x, y)", "libdevice.copysign(x, -y)", None),
        ("libdevice.pow(x, 2.0)", "libdevice.pow(x, -2.0)", None),
    ],
)
def test_signs_that_a_function_takes_no_notice_of(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_RECTIFIED = "maximum(x, 0.0)"
_SLOPE = f"tl.where({_RECTIFIED} > 0.0, {_RECTIFIED}, {_RECTIFIED} * 0.01)"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (_SLOPE, _RECTIFIED, SAME_TERMS),
        (_SLOPE, _SLOPE.replace("0.01", "0.0"), SAME_TERMS),
        (_SLOPE, _SLOPE.replace("0.01", "-0.02"), SAME_TERMS),
        (_SLOPE, _SLOPE.replace(f"{_RECTIFIED} * 0.01", "0.0"), FINITE_TERMS),
        (_SLOPE, _SLOPE.replace(f"{_RECTIFIED} * 0.01", f"libdevice.expm1({_RECTIFIED})"),
         SAME_TERMS),
        (_SLOPE.replace(_RECTIFIED, "tl.abs(x)"), "tl.abs(x)", SAME_TERMS),
        ("tl.where(x != 0.0, y, x * 0.5)", "tl.where(x != 0.0, y, x * 2.0)", SAME_TERMS),
        ("tl.where(x != 0.0, y, x * 0.5)", "tl.where(x != 0.0, y, 0.0)", FINITE_TERMS),
        ("tl.where(x == 0.0, x * 0.5, y)", "tl.where(x == 0.0, x * 2.0, y)", SAME_TERMS),
        ("tl.where(tl.abs(x) <= 0.0, x * y, y)", "tl.where(tl.abs(x) <= 0.0, x * x, y)", None),
        ("tl.where(tl.abs(x) <= 0.0, tl.abs(x) * y, y)", "tl.where(tl.abs(x) <= 0.0, 0.0, y)",
         FINITE_TERMS),
        ("tl.where(tl.log(x) != 0.0, y, tl.log(x) * 0.5)", "tl.where(tl.log(x) != 0.0, y, 0.0)",
         None),
        (_SLOPE, _SLOPE.replace("0.01", 'float("inf")'), None),
        (_SLOPE, _SLOPE.replace("* 0.01", "+ 0.01"), None),
        (_SLOPE, _SLOPE.replace("> 0.0", "> 1.0"), None),
        (_SLOPE, _SLOPE.replace("> 0.0", "< 0.0"), None),
        (_SLOPE, _SLOPE.replace("> 0.0", "<= 0.0"), None),
        (_SLOPE.replace(_RECTIFIED, "x"), "x", None),
        (_SLOPE.replace("0.0)", "-1.0)"), "maximum(x, -1.0)", None),
        (f"tl.where({_RECTIFIED} > 0.0, y, y * 0.5)", "y", None),
        (f"tl.where({_RECTIFIED} > 0.0, x, x * 0.5)", "x", None),
        ("tl.where(x != 0.0, x * 0.5, y)", "tl.where(x != 0.0, x * 2.0, y)", None),
        ("tl.where(x == 0.0, y, x * 0.5)", "tl.where(x == 0.0, y, x * 2.0)", None),
    ],
)  # fmt: skip
def test_what_is_zero_on_one_side_of_a_selection(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_ROOT = "tl.sqrt_rn(tl.abs(x - y))"
_SCALED = f"{_ROOT} * 1.5"
_BENT_ROOT = f"tl.where({_ROOT} > 0.0, {_SCALED}, libdevice.expm1({_ROOT} * 0.5) * 1.75)"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (_BENT_ROOT, _SCALED, SAME_TERMS),
        (_BENT_ROOT, _BENT_ROOT.replace("1.75", "-3.0"), SAME_TERMS),
        (_BENT_ROOT, _BENT_ROOT.replace("expm1", "tanh"), SAME_TERMS),
        (f"tl.where({_ROOT} <= 0.0, tl.sin({_ROOT}), {_SCALED})", _SCALED, SAME_TERMS),
        ("tl.where(x == 0.0, tl.sin(x * 2.0) * 0.5, x)", "x", SAME_TERMS),
        ("tl.where(x == 0.0, 0.0, x * 2.0)", "x * 2.0", FINITE_TERMS),
        (f"tl.where({_ROOT} > 0.0, {_SCALED}, 0.0)", _SCALED, FINITE_TERMS),
        # which is another number at zero, or nothing beside an infinity
        (_BENT_ROOT.replace("expm1", "exp"), _SCALED, None),
        (_BENT_ROOT.replace("* 0.5)", "+ 0.5)"), _SCALED, None),
        (_BENT_ROOT, _BENT_ROOT.replace("1.75", 'float("inf")'), None),
        (_BENT_ROOT.replace(_SCALED, f"{_ROOT} + 1.5"), f"{_ROOT} + 1.5", None),
        # told by another number, or by one that may be below zero
        (_BENT_ROOT.replace(f"{_ROOT} > 0.0", "tl.abs(x) > 0.0"), _SCALED, None),
        (_BENT_ROOT.replace("> 0.0", "> 0.5"), _SCALED, None),
        (_BENT_ROOT.replace(_ROOT, "x"), "x * 1.5", None),
        (_BENT_ROOT, f"libdevice.expm1({_ROOT} * 0.5) * 1.75", None),
        ("tl.where(x != 0.0, tl.sin(x * 2.0) * 0.5, x)", "x", None),
    ],
)  # fmt: skip
def test_both_sides_of_a_selection_are_zero_where_it_turns(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_CLAMPED = "tl.minimum(tl.maximum(y, 0.0), 6.0)"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (f"x + tl.where(inside, {_CLAMPED}, 0.0)", f"x + {_CLAMPED}", SAME_TERMS),
        (f"x + tl.where(inside, {_CLAMPED}, 0.0)",
         f"x + {_CLAMPED.replace('minimum(', 'minimum(6.0, ').replace(', 6.0)', ')')}",
         SAME_TERMS),
        ("tl.where(inside, tl.maximum(y, 0.5), 0.5)", "tl.maximum(y, 0.5)", SAME_TERMS),
        ("tl.where(inside, tl.minimum(y, -0.0), 0.0)", "tl.minimum(y, -0.0)", SAME_TERMS),
        (f"x + tl.where(inside, {_CLAMPED}, 0.0)", f"x + {_CLAMPED.replace('0.0', '0.5')}", None),
        ("tl.where(inside, tl.maximum(y, 0.5), 0.0)", "tl.maximum(y, 0.5)", None),
        ("x + tl.where(inside, tl.minimum(y, 6.0), 0.0)", "x + tl.minimum(y, -1.0)", None),
        ("x + tl.where(inside, tl.minimum(y, 6.0), 0.0)", "x + tl.minimum(y + 1.0, 6.0)", None),
        ("tl.where(inside, tl.minimum(x, 6.0), 0.0)", "tl.minimum(x, 6.0)", None),
    ],
)  # fmt: skip
def test_a_clamp_of_padding(pointwise: Prepared, old: str, new: str, proof: str | None) -> None:
    assert proof_of(pointwise, old, new) == proof
