"""The norm, the rule for floats and the rule for discrete values."""

import math

import pytest
import torch

from builder.verify.compare import Expected, compare
from builder.verify.floors import FACTORS, TF32_EPSILON, History, Operation, floor
from builder.verify.norm import Yardstick, rounded_up, scale
from builder.verify.reference import Ties

FLOAT = History(torch.float32, Operation.REDUCTION)


def expected(reference, eager=None, history=FLOAT, dtype=torch.float32, ties=None):
    reference = torch.as_tensor(reference, dtype=torch.float64)
    eager = reference.to(dtype) if eager is None else torch.as_tensor(eager, dtype=dtype)
    return Expected(eager, reference, history, ties)


def test_one_wrong_element_among_a_million_counts_in_full():
    reference = torch.linspace(1, 2, 1_000_000, dtype=torch.float64)
    actual = reference.float()
    actual[123456] += 0.001
    assert Yardstick(reference).errors(actual).worst > 5e-4
    outcome = compare(actual, expected(reference))
    assert outcome.kind == "wrong_values"
    assert "(123456,)" in outcome.message
    assert int(outcome.unexplained.sum()) == 1


def test_wrong_small_values_do_not_hide_behind_large_ones():
    reference = torch.tensor([1000.0, 1.0])
    outcome = compare(torch.tensor([1000.0, 1.01]), expected(reference))
    assert outcome.kind == "wrong_values"


def test_scale_is_an_eighth_of_the_root_mean_square():
    assert scale(torch.tensor([3.0, -4.0, math.inf])) == pytest.approx(math.sqrt(12.5) / 8)
    assert scale(torch.zeros(3)) > 0
    assert scale(torch.tensor([1e300, 1e300], dtype=torch.float64)) == pytest.approx(1e300 / 8)


def test_tolerance_is_twice_eagers_error():
    reference = torch.full((8,), 1.0)
    eager = torch.full((8,), 1.0 + 1e-3)
    assert compare(torch.full((8,), 1.0 - 1.9e-3), expected(reference, eager)).kind is None
    assert (
        compare(torch.full((8,), 1.0 - 2.1e-3), expected(reference, eager)).kind == "wrong_values"
    )


def test_exact_operations_have_no_floor():
    outcome = compare(torch.tensor([1.0000001]), expected([1.0], history=History()))
    assert outcome.kind == "wrong_values"
    assert compare(torch.tensor([1.0]), expected([1.0], history=History())).kind is None


def test_noise_shows_nothing():
    outcome = compare(torch.tensor([0.0]), expected([1e-20], [1e-8]))
    assert outcome.kind == "ill_conditioned"


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_non_finite_values_stand_where_the_reference_has_them(wrong):
    good = expected([1.0, math.nan, math.inf, -math.inf])
    actual = torch.tensor([1.0, math.nan, math.inf, -math.inf])
    assert compare(actual, good).kind is None
    assert compare(torch.tensor([wrong, *actual[1:]]), good).kind == "wrong_non_finite"
    assert compare(torch.tensor([1.0, 0.0, math.inf, -math.inf]), good).kind == "wrong_non_finite"
    assert compare(torch.tensor([1.0, math.nan, -math.inf, math.inf]), good).kind is not None


def test_infinity_of_the_rounded_reference():
    history = History(torch.float16, Operation.POINTWISE)
    good = expected([70000.0, 1.0], history=history, dtype=torch.float16)
    assert compare(torch.tensor([math.inf, 1.0]).half(), good).kind is None
    assert compare(torch.tensor([65504.0, 1.0]).half(), good).kind == "wrong_non_finite"


def test_floor_table():
    for operation, (wide, narrow) in FACTORS.items():
        assert floor(History(torch.float32, operation)) == wide * 2**-23
        assert floor(History(torch.float64, operation)) == wide * 2**-52
        assert floor(History(torch.bfloat16, operation)) == narrow * 2**-7
        assert floor(History(torch.float16, operation)) == narrow * 2**-10
    assert floor(History()) == 0
    dot = History(torch.float32, Operation.DOT)
    assert floor(dot, "tf32") == 32 * TF32_EPSILON
    assert floor(History(torch.float32, Operation.REDUCTION), "tf32") == floor(FLOAT)
    assert floor(dot) < 2**-14  # float32 products are told from tf32


def test_history_joins_to_the_coarser():
    joined = History(torch.float32, Operation.DOT).joined(History(torch.bfloat16, decided=True))
    assert joined == History(torch.bfloat16, Operation.DOT, decided=True)


def discrete(values, ties=None):
    tensor = torch.tensor(values)
    return Expected(tensor, tensor, History(decided=True), ties)


def test_discrete_values_must_be_equal():
    assert compare(torch.tensor([1, 2]), discrete([1, 2])).kind is None
    outcome = compare(torch.tensor([1, 3]), discrete([1, 2]))
    assert outcome.kind == "wrong_discrete"


def test_other_answers_explain_element_by_element():
    first = discrete([1, 2, 3])
    others = [discrete([1, 3, 3]), discrete([0, 2, 3])]
    assert compare(torch.tensor([0, 3, 3]), first, others).kind is None
    assert compare(torch.tensor([0, 3, 4]), first, others).kind == "wrong_discrete"


def test_other_answers_explain_floats_behind_a_decision_only():
    history = History(torch.float32, Operation.POINTWISE, decided=True)
    first, other = expected([1.0, 5.0], history=history), expected([2.0, 5.0], history=history)
    actual = torch.tensor([2.0, 5.0])
    assert compare(actual, first, [other]).kind is None
    assert compare(torch.tensor([1.5, 5.0]), first, [other]).kind == "wrong_values"
    plain = expected([1.0, 5.0], history=History(torch.float32, Operation.POINTWISE))
    assert compare(actual, plain, [other]).kind == "wrong_values"


def test_indices_of_ties_may_point_at_equal_values():
    source = torch.tensor([3.0, 1.0, 3.0, 2.0])
    ties = Ties(source, source.double(), 0, History())
    good = discrete([0, 2], ties)
    assert compare(torch.tensor([2, 0]), good).kind is None
    assert compare(torch.tensor([2, 2]), good).kind == "wrong_discrete"
    assert compare(torch.tensor([2, 3]), good).kind == "wrong_discrete"
    assert compare(torch.tensor([2, 9]), good).kind == "wrong_discrete"


def test_indices_may_point_at_values_that_rounding_cannot_tell_apart():
    source = torch.tensor([[1.0, 1.0 + 2**-23, 0.5]])
    good = discrete([[1]], Ties(source, source.double(), 1, FLOAT))
    assert compare(torch.tensor([[0]]), good).kind is None
    assert compare(torch.tensor([[2]]), good).kind == "wrong_discrete"


def test_indices_of_a_reduced_dimension():
    source = torch.tensor([[1.0, 2.0, 2.0], [4.0, 4.0, 3.0]])
    good = discrete([1, 0], Ties(source, source.double(), 1, History()))
    assert compare(torch.tensor([2, 1]), good).kind is None
    assert compare(torch.tensor([0, 1]), good).kind == "wrong_discrete"


@pytest.mark.parametrize(("value", "power"), [(0.0, 0.0), (0.3, 0.5), (0.5, 0.5), (5e-7, 2**-20)])
def test_errors_are_stored_as_powers_of_two(value, power):
    assert rounded_up(value) == power


def test_empty_outputs_pass():
    empty = torch.empty(0)
    assert compare(empty, Expected(empty, empty.double(), FLOAT)).kind is None


def test_indices_may_point_at_what_eager_itself_has_equal():
    """float64 tells apart what the program's own roundings have made equal."""
    exact = torch.tensor([5.0, 1.0, 5.01, 2.0], dtype=torch.float64)
    eager = torch.tensor([5.0, 1.0, 5.0, 2.0])
    ties = Ties(eager, exact, 0, FLOAT)
    assert compare(torch.tensor([2, 0]), discrete([0, 2], ties)).kind is None
    assert compare(torch.tensor([3, 0]), discrete([0, 2], ties)).kind == "wrong_discrete"


def moved(values, other, epsilon):
    """Eager on inputs moved by an ulp of a type, and its own reference."""
    reference = torch.tensor(other, dtype=torch.float64)
    return Expected(torch.tensor(values), reference, FLOAT, None, epsilon)


def test_a_move_excuses_by_what_an_ulp_of_float32_shifts():
    good = expected([1.0, 1.0, 1.0])
    actual = torch.tensor([1.0 + 2.0**-17, 1.0, 1.0])
    far = [1.0 + 2.0**-16, 1.0, 1.0]
    assert compare(actual, good).kind == "wrong_values"
    samples = [moved(far, far, torch.finfo(torch.float32).eps)]
    assert compare(actual, good, samples=samples).kind is None
    samples = [moved(far, far, torch.finfo(torch.bfloat16).eps)]
    assert compare(actual, good, samples=samples).kind == "wrong_values"
