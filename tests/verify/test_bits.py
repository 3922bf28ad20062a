"""Bits, finiteness, and the norm's shortcuts against its definition."""

import math

import pytest
import torch

from builder.verify.bits import all_finite, bits_equal
from builder.verify.norm import Yardstick

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("count", [0, 1, 3, 8, 1001])
def test_one_bit_in_any_place_tells_tensors_apart(dtype, count):
    first = torch.ones(count).to(dtype)
    assert bits_equal(first, first.clone())
    for place in {0, count // 2, count - 1} if count else ():
        second = first.clone()
        second[place] = 0
        assert not bits_equal(first, second)
    assert not bits_equal(first, first.reshape(1, -1))


def test_bits_of_views_are_those_that_are_seen():
    base = torch.arange(12.0).view(3, 4)
    assert bits_equal(base.t(), base.t().contiguous())
    assert bits_equal(base[1:, 1:], base[1:, 1:].clone())
    z = torch.tensor([1 + 2j])
    assert bits_equal(z.conj(), torch.tensor([1 - 2j]))
    assert bits_equal(z.conj().imag, torch.tensor([-2.0]))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.complex64])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 517, 999])
def test_one_odd_value_in_any_place_is_seen(dtype, odd, place):
    values = torch.linspace(-3, 3, 1000).to(dtype)
    assert all_finite(values)
    values[place] = odd
    assert not all_finite(values)
    assert not all_finite(values.view(10, 100).t())


def test_nothing_is_finite():
    assert all_finite(torch.empty(0, 3))


def defined(actual, reference):
    """The norm as its module's head defines it, element by element."""
    finite = [float(r) for r in reference if math.isfinite(r)]
    square = sum(r * r for r in finite) / len(finite)
    s = math.sqrt(square) / 8
    kept = [(float(a), float(r)) for a, r in zip(actual, reference, strict=True)]
    kept = [
        (a, r)
        for a, r in kept
        if math.isfinite(torch.tensor(r, dtype=torch.float64).to(actual.dtype))
    ]
    gaps = [abs(a - r) / (abs(r) + s) for a, r in kept]
    return max(math.inf if math.isnan(gap) else gap for gap in gaps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["plain", "large", "infinite", "odd result"])
def test_error_is_the_defined_one(dtype, kind):
    reference = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if kind == "large":
        reference[7] = 2 * torch.finfo(dtype).max if dtype != torch.float64 else 1e150
    if kind == "infinite":
        reference[:2] = torch.tensor([math.inf, math.nan])
    actual = (reference * (1 + 2**-5)).to(dtype)
    if kind == "odd result":
        actual[9] = math.nan
    assert Yardstick(reference).errors(actual).worst == pytest.approx(
        defined(actual, reference), rel=1e-12
    )


def test_scale_of_tiny_values_does_not_underflow():
    reference = torch.full((4,), 1e-200, dtype=torch.float64)
    assert Yardstick(reference).scale == pytest.approx(1e-200 / 8)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [1, 2, 99, 1000, 6401])
def test_counting_agrees_with_the_quantile(share, count):
    generator = torch.Generator().manual_seed(count)
    values = torch.randint(0, 40, (count,), generator=generator).double()
    errors = Yardstick(torch.ones(count, dtype=torch.float64)).errors(values)
    exact = errors.values.kthvalue(max(1, math.ceil(share * count))).values.item()
    assert errors.quantile(share) == exact
    for limit in {0.0, exact, math.nextafter(exact, -1), exact / 2, 1e9}:
        assert errors.quantile_exceeds(share, limit) == (exact > limit)


def test_a_result_is_not_measured_twice_in_place():
    reference = torch.tensor([1.0, 2.0], dtype=torch.float64)
    actual = torch.tensor([1.5, 2.0], dtype=torch.float64)
    stick = Yardstick(reference)
    first = stick.errors(actual).values.clone()
    assert torch.equal(stick.errors(actual).values, first)
    assert actual.tolist() == [1.5, 2.0]
    assert reference.tolist() == [1.0, 2.0]
