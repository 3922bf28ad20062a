"""Wide results that went through a narrow type, and those that did not."""

import pytest
import torch

from builder.verify.compare import compare
from builder.verify.expected import Expected
from builder.verify.floors import History, Operation
from builder.verify.grids import narrow_type_of

HALF = History(torch.float16, Operation.POINTWISE)


@pytest.fixture
def exact():
    return torch.randn(40, 50, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_result_of_narrow_numbers_alone_is_found(exact, dtype):
    assert narrow_type_of(exact.to(dtype).float(), exact) == dtype
    with_nan = exact.to(dtype).float()
    with_nan[3, 4] = torch.nan
    assert narrow_type_of(with_nan, exact) == dtype


def test_one_wide_number_is_enough(exact):
    actual = exact.half().float()
    actual[30, 7] = exact[30, 7]
    assert narrow_type_of(actual, exact) is None
    assert narrow_type_of(exact, exact) is None


def test_where_eager_has_narrow_numbers_too_nothing_is_said(exact):
    narrow = exact.half().float()
    assert narrow_type_of(narrow, narrow) is None
    few = torch.where(torch.rand(exact.shape) < 0.3, exact, narrow)
    assert narrow_type_of(narrow, few) is None
    assert narrow_type_of(narrow[0], exact[0]) is None
    assert narrow_type_of(exact.half(), exact.half()) is None


def test_one_number_many_times_may_be_narrow_by_chance(exact):
    few = exact[:1, :20].expand(40, -1)
    assert narrow_type_of(few.half().float(), few) is None
    many = exact[:2].repeat(20, 1)
    assert narrow_type_of(many.half().float(), many) == torch.float16


def test_it_is_wrong_though_the_error_is_allowed(exact):
    expected = Expected(exact, exact.double(), HALF)
    outcome = compare(exact.half().float(), expected)
    assert outcome.error <= outcome.tolerance
    assert outcome.kind == "wrong_values"
    assert "float16" in outcome.message
    assert compare(exact, expected).kind is None
