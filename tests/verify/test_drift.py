"""Narrow results that are off to one side, or rounded twice, and those that are not."""

from dataclasses import replace

import pytest
import torch

from builder.verify.compare import compare
from builder.verify.drift import MISROUNDED, floor_of, roundings
from builder.verify.expected import Expected
from builder.verify.floors import History, Operation

ROWS = (64, 768)


def expected_of(exact, dtype, *, eager=None, decided=False):
    eager = exact.to(dtype) if eager is None else eager
    return Expected(eager, exact, History(dtype, Operation.REDUCTION, decided))


@pytest.fixture
def exact():
    return torch.randn(ROWS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_rounded_once_passes_and_what_is_computed_in_float32_too(exact, dtype):
    expected = expected_of(exact, dtype)
    assert compare(exact.to(dtype), expected).kind is None
    assert compare((exact.float() * 3 / 3).to(dtype), expected).kind is None


def test_a_constant_that_is_off_by_less_than_a_rounding_is_found(exact):
    wrong = (exact * (512 / 513) ** 0.5).to(torch.bfloat16)
    outcome = compare(wrong, expected_of(exact, torch.bfloat16))
    assert outcome.kind == "wrong_values"
    assert "of the elements are not the rounded result" in outcome.message


def test_a_row_whose_mean_was_rounded_is_found(exact):
    shift = torch.zeros(ROWS[0], 1, dtype=torch.float64)
    shift[7] = 2.0**-11
    outcome = compare((exact + shift).to(torch.bfloat16), expected_of(exact, torch.bfloat16))
    assert outcome.kind == "wrong_values"
    assert "a row are off to one side" in outcome.message


def test_a_value_that_went_through_another_narrow_type_is_found(exact):
    twice = exact.to(torch.float16).to(torch.bfloat16)
    outcome = compare(twice, expected_of(exact, torch.bfloat16))
    assert outcome.kind == "wrong_values"


def test_rounding_as_often_as_eager_passes(exact):
    third = (exact / 3).to(torch.bfloat16)
    eager = third * 3
    other = ((exact * 2 / 3).to(torch.bfloat16).double() * 1.5).to(torch.bfloat16)
    assert compare(other, expected_of(exact, torch.bfloat16, eager=eager)).kind is None


def test_a_mean_that_goes_into_all_elements_may_be_rounded_as_luck_has_it():
    generator = torch.Generator().manual_seed(3)
    product = 2 + 2 * torch.rand(ROWS, generator=generator, dtype=torch.float64)
    step = 2.0**-9

    def less(mean):
        return product.half() - mean * step

    reference = product - 0.499 * step
    expected = expected_of(reference, torch.float16, eager=less(0.5))  # ties fall to both sides
    blurred = replace(expected_of(reference, torch.float16, eager=less(0.3)), is_blurred=True)
    assert compare(less(0.499), expected).kind == "wrong_values"
    assert compare(less(0.499), expected, samples=[blurred]).kind is None
    assert compare(less(-1.0), expected, samples=[blurred]).kind == "wrong_values"


def test_eager_that_is_misrounded_at_few_values_counts(exact):
    values = exact.to(torch.bfloat16).double()
    near = torch.linspace(1.0, 1.1, 8, dtype=torch.bfloat16).double()
    values[:6] = (near + 2.0**-8 - 2.0**-10).repeat(96)
    eager, ours = values.to(torch.bfloat16), values.to(torch.bfloat16)
    eager[:6] += 2.0**-7
    ours[:6] += 2.0**-7
    expected = expected_of(values, torch.bfloat16, eager=eager)
    assert roundings(eager, values, 0.1)["misrounded"] == 0.0
    assert expected.eager_roundings["misrounded"] == pytest.approx(6 / 64)


def test_either_neighbour_of_a_tie_will_do():
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(ROWS, generator=generator).bfloat16()
    middle = (values.view(torch.int16) + 1).view(torch.bfloat16).double().add(values.double()) / 2
    up = (middle * (1 + 2.0**-22)).to(torch.bfloat16)
    assert compare(up, expected_of(middle, torch.bfloat16)).kind is None
    apart = middle * (1 - 2.0**-14)
    assert compare(up, expected_of(apart, torch.bfloat16)).kind == "wrong_values"


def test_decisions_and_wide_types_are_left_to_other_rules(exact):
    wrong = (exact * (512 / 513) ** 0.5).to(torch.bfloat16)
    assert compare(wrong, expected_of(exact, torch.bfloat16, decided=True)).kind is None
    narrow_inside = Expected(exact.float(), exact, History(torch.bfloat16, Operation.REDUCTION))
    assert compare((exact * (8192 / 8193) ** 0.5).float(), narrow_inside).kind is None


def test_few_elements_have_no_figures():
    few = torch.randn(10, dtype=torch.float64)
    assert roundings(few.to(torch.bfloat16), few, 0.1) == {}


def test_equal_elements_near_a_tie_all_fall_to_one_side():
    near = torch.tensor(1.0 + 2.0**-8 - 2.0**-30, dtype=torch.float64)
    exact = torch.randn(ROWS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    exact[5] = near
    actual = exact.to(torch.bfloat16)
    actual[5] = 1.0 + 2.0**-7
    assert compare(actual, expected_of(exact, torch.bfloat16)).kind is None


def test_below_its_normal_numbers_a_type_rounds_in_larger_steps(exact):
    tiny = torch.finfo(torch.float16).tiny
    small = exact * tiny / 8
    eager = (small * (1 + 0.001 * torch.rand(ROWS, dtype=torch.float64))).to(torch.float16)
    step = torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps
    nudged = (small + step / 64).to(torch.float16)
    assert compare(nudged, expected_of(small, torch.float16, eager=eager)).kind is None
    assert roundings(nudged, small, 0.0)["whole"] < torch.finfo(torch.float16).eps / 16
    shifted = (small + step / 2).to(torch.float16)
    assert compare(shifted, expected_of(small, torch.float16, eager=eager)).kind == "wrong_values"


def test_where_eager_is_far_off_on_an_element_its_roundings_say_nothing(exact):
    wrong = (exact * (512 / 513) ** 0.5).to(torch.bfloat16)
    eager = exact.to(torch.bfloat16)
    eager[0, 0] += 0.5
    blurred = expected_of(exact, torch.bfloat16, eager=eager)
    assert compare(wrong, blurred).kind is None
    eager = exact.to(torch.bfloat16)
    eager[0, 0] *= 1 + 2.0**-6
    assert compare(wrong, expected_of(exact, torch.bfloat16, eager=eager)).kind == "wrong_values"


def test_a_compiler_may_leave_out_one_cast_and_keep_another(exact):
    middle = exact.to(torch.bfloat16).double()
    with_casts, without = middle * 1.5, exact * 1.5
    uncast = replace(expected_of(without, torch.bfloat16), as_written=False)
    expected = expected_of(with_casts, torch.bfloat16)
    mixed = with_casts.to(torch.bfloat16)
    mixed[:, ::2] = without.to(torch.bfloat16)[:, ::2]
    assert compare(mixed, expected).kind == "wrong_values"
    assert compare(mixed, expected, samples=[uncast]).kind is None
    third = (((exact / 3).to(torch.bfloat16) * 3).double() * 1.5).to(torch.bfloat16)
    assert compare(third, expected, samples=[uncast]).kind == "wrong_values"


def test_where_most_are_off_by_more_than_a_rounding_all_may_drift_together():
    elements = torch.zeros(64, 64, dtype=torch.bfloat16)
    plain = floor_of("whole", elements)
    often = floor_of("whole", elements, 0.3, by_more=True)
    assert plain < often == floor_of("whole", elements, 0.9)
    assert floor_of("whole", elements, 0.9, by_more=True) > torch.finfo(torch.bfloat16).eps
    assert floor_of(MISROUNDED, elements, 0.9, by_more=True) == floor_of(MISROUNDED, elements)


def test_where_inputs_hardly_vary_all_may_be_rounded_to_one_side(exact):
    wrong = (exact * (512 / 513) ** 0.5).to(torch.bfloat16)
    assert compare(wrong, expected_of(exact, torch.bfloat16), averages_out=False).kind is None
    assert compare(wrong * 1.1, expected_of(exact, torch.bfloat16), averages_out=False).kind
