"""What may be no number though inputs are is not taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.bench.proofs.equivalence import (
    FINITE_TERMS,
    SAME_REALS,
    proven_equivalent,
)
from tests.bench.proofs.pointwise_samples import TEXT, proof_of

if TYPE_CHECKING:
    from builder.verify import Prepared


_LOW = "tl.where(inside, x, float('-inf'))"
_LOW_Y = "tl.where(inside, y, float('-inf'))"


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        # a root and a logarithm are NaN of what is below zero, an input never
        ("tl.maximum(tl.abs(x), 0.0)", "tl.abs(x)", FINITE_TERMS),
        ("tl.maximum(tl.sqrt(x), 0.0)", "tl.sqrt(x)", None),
        ("tl.minimum(x, float('inf'))", "x", FINITE_TERMS),
        ("tl.minimum(tl.sqrt(x), float('inf'))", "tl.sqrt(x)", None),
        ("tl.where(x != x, 0.0, x)", "x", FINITE_TERMS),
        ("tl.where(tl.log(x) != tl.log(x), 0.0, tl.log(x))", "tl.log(x)", None),
        ("tl.where(tl.log(x) == float('-inf'), 0.0, tl.log(x))", "tl.log(x)", None),
        ("tl.where(tl.log(x) > float('-inf'), x, y)", "x", None),
        ("tl.where((y < x) | (y != y), y, x)", "tl.where((y <= x) & (x == x), y, x)",
         FINITE_TERMS),
        ("tl.where((tl.sqrt(x) < y) | (tl.sqrt(x) != tl.sqrt(x)), tl.sqrt(x), y)",
         "tl.where((tl.sqrt(x) <= y) & (y == y), tl.sqrt(x), y)", None),
        ("maximum(0.0, tl.where(tl.log(x) > 0.0, tl.log(x), tl.log(x) * 0.0))",
         "maximum(0.0, tl.log(x))", None),
        # nor is zero times an infinite constant a number, or that less what is none
        (f"maximum(0.0, tl.where({_LOW} > 0.0, {_LOW}, {_LOW} * 0.0))", f"maximum(0.0, {_LOW})",
         None),
        (f"tl.exp({_LOW} - y * y)", "tl.where(inside, tl.exp(x - y * y), 0.0)", FINITE_TERMS),
        (f"tl.exp({_LOW} - tl.log(y))", "tl.where(inside, tl.exp(x - tl.log(y)), 0.0)", None),
        # all bits may be those of a NaN
        ("x + y.to(tl.int32).to(tl.float32) * 0.0", "x", FINITE_TERMS),
        ("x + (y.to(tl.int32, bitcast=True) * 3).to(tl.float32, bitcast=True) * 0.0", "x", None),
    ],
)  # fmt: skip
def test_what_may_be_no_number_is_not_taken_for_one(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


@pytest.mark.parametrize(
    ("base", "exponent", "proof"),
    [
        ("tl.exp(x) + 1.0", "x", FINITE_TERMS),
        ("tl.full((16,), 2.0, tl.float32)", "x", FINITE_TERMS),
        ("tl.exp(x)", "x", None),
        ("tl.abs(x)", "x", None),
        ("x", "tl.full((16,), 0.5, tl.float32)", None),
        ("tl.full((16,), 0.0, tl.float32)", "x", None),
        ("tl.exp(x) + 1.0", "tl.log(x)", None),
        ("tl.exp(x) + 1.0", "tl.full((16,), float('inf'), tl.float32)", None),
    ],
)
def test_powers_of_what_is_above_zero_are_numbers(
    pointwise: Prepared, base: str, exponent: str, proof: str | None
) -> None:
    product = f"y * libdevice.pow({base}, {exponent})"
    assert proof_of(pointwise, f"tl.where(inside, {product}, 0.0)", product) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        ("x + y + 0.0 * tl.exp(x)", "y + x", FINITE_TERMS),
        ("(x + y) + x * (y - y)", "y + x", FINITE_TERMS),
        ("x + y + 0.0 * tl.log(x)", "x + y", None),
        ("x + y + (tl.log(x) - tl.log(x))", "x + y", None),
        ("x + (x + y) - x", "x + y", SAME_REALS),
        ("tl.where(x > 0.0, tl.exp(x), 0.0)", "tl.exp(x) * tl.where(x > 0.0, 1.0, 0.0)",
         SAME_REALS),
        # nor is that times what an infinite constant went into
        ("tl.where(inside, y * (x * x), 0.0)", "y * (x * x)", FINITE_TERMS),
        (f"tl.where(inside, y * tl.where(inside, tl.exp(x - {_LOW}), 2.0), 0.0)",
         f"y * tl.where(inside, tl.exp(x - {_LOW}), 2.0)", FINITE_TERMS),
        (f"tl.where(inside, y * tl.exp(x - {_LOW}), 0.0)", f"y * tl.exp(x - {_LOW})", None),
        (f"tl.where(inside, y * tl.exp(tl.log(x) - {_LOW}), 0.0)",
         f"y * tl.exp(tl.log(x) - {_LOW})", None),
        (f"tl.where(inside, y * tl.where(inside, 2.0, tl.exp(x - {_LOW})), 0.0)",
         f"y * tl.where(inside, 2.0, tl.exp(x - {_LOW}))", None),
        (f"tl.exp(x - {_LOW_Y})", "tl.where(inside, tl.exp(x - y), float('inf'))", FINITE_TERMS),
        (f"tl.exp(tl.log(x) - {_LOW_Y})",
         "tl.where(inside, tl.exp(tl.log(x) - y), float('inf'))", None),
        ("tl.where(inside, y * (x + float('inf')), 0.0)", "y * (x + float('inf'))", None),
        (f"tl.where(inside, y * ({_LOW} * 2.0), 0.0)", f"y * ({_LOW} * 2.0)", None),
        (f"tl.where(inside, y * tl.exp(-{_LOW}), 0.0)", f"y * tl.exp(-{_LOW})", None),
        ("tl.where(x > 0.0, tl.log(x), 0.0)", "tl.log(x) * tl.where(x > 0.0, 1.0, 0.0)", None),
        # nor does what may be none cancel out
        ("tl.exp(x) - (tl.exp(x) - (x + y))", "x + y", SAME_REALS),
        ("tl.log(x) - (tl.log(x) - (x + y))", "x + y", None),
        ("tl.fma(tl.log(x), 2.0, (x + y) - 2.0 * tl.log(x))", "x + y", None),
        ("tl.log(x) - (tl.log(x) - 2.0 * tl.log(y))", "2.0 * tl.log(y)", None),
        ("(tl.log(x) + y) + x", "tl.log(x) + (x + y)", SAME_REALS),
        # nor is zero over NaN zero, though no number is below a bound
        ("tl.where(inside, y / maximum(tl.exp(x), 0.5), 0.0)", "y / maximum(tl.exp(x), 0.5)",
         FINITE_TERMS),
        ("tl.where(inside, y / maximum(tl.log(x), 0.5), 0.0)", "y / maximum(tl.log(x), 0.5)",
         None),
        (f"tl.where(inside, y / maximum({_LOW} * 0.0, 0.5), 0.0)",
         f"y / maximum({_LOW} * 0.0, 0.5)", None),
    ],
)  # fmt: skip
def test_real_numbers_times_zero(
    pointwise: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert proof_of(pointwise, old, new) == proof


_BETWEEN = """
        between = torch.zeros_like(x)
        between_kernel[(6,)](y, between, BLOCK=16)
        pointwise_kernel[(6,)](x, between, out, BLOCK=16)
"""


@pytest.mark.parametrize(
    ("store", "proof"),
    [
        ("tl.store(out_ptr + place, tl.exp(x))", FINITE_TERMS),
        ("tl.store(out_ptr + place, tl.log(x))", None),
        ("tl.store(out_ptr + place, tl.log(x), mask=x > 3.0)", None),
        ("tl.atomic_add(out_ptr + place, x)", FINITE_TERMS),
        ("tl.atomic_add(out_ptr + place, tl.log(x))", None),
    ],
)
def test_what_is_stored_may_be_no_number_when_it_is_loaded(
    pointwise: Prepared, store: str, proof: str | None
) -> None:
    head, tail = TEXT.split("@triton.jit\ndef pointwise_kernel")
    first = f"""@triton.jit
def between_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + place)
    {store}


"""
    text = f"{head}{first}@triton.jit\ndef pointwise_kernel{tail}"
    text = text.replace("\n        pointwise_kernel[(6,)](x, y, out, BLOCK=16)\n", _BETWEEN)
    texts = (text.replace("RESULT", result) for result in ("x + y * 0.0", "x"))
    assert proven_equivalent(pointwise, *texts) == proof
