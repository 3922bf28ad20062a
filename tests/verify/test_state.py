"""Other values of parameters: parts that tests of the draws do not see."""

import pytest
import torch
from torch import nn

from builder.verify.distributions import FAR, TINY, Strength
from builder.verify.state import MOST_NUMBERS, _largest, has_matrix, reshape_state
from builder.verify.structure import cloned


@pytest.mark.parametrize(
    "values",
    [
        torch.randint(-2, 3, (64, 32)) * 0.25,
        torch.randint(0, 12, (50, 20)).double(),
        torch.randn(30, 7),
        torch.full((3, 3), -1.0),
    ],
)
def test_the_largest_numbers_are_those_that_a_sort_finds(values):
    assert torch.equal(_largest(values, MOST_NUMBERS), values.unique()[-MOST_NUMBERS:])


def test_scales_take_the_other_sign_where_nothing_else_is_changed():
    norm = nn.BatchNorm1d(10)
    norm.running_var.fill_(2.0)
    reshape_state(norm, "mixed", 0)
    assert (norm.weight < 0).tolist() == [place % 4 == 3 for place in range(10)]
    assert bool((norm.running_var > 0).all())
    for distribution, strength in (("mixed", Strength.GENTLE), ("tied", Strength.FULL)):
        norm = nn.BatchNorm1d(10)
        reshape_state(norm, distribution, 0, strength)
        assert bool((norm.weight > 0).all())


def test_one_number_of_what_is_added_is_far_off_in_large_draws():
    linear = nn.Linear(3, 10)
    norm = nn.BatchNorm1d(10)
    for module in (linear, norm):
        reshape_state(module, "large", 0)
        far = module.bias == FAR[1]
        assert far.tolist() == [place == 5 for place in range(10)]
        assert bool((module.weight.abs() < 2.0).all())
    assert bool((norm.running_mean < 2.0).all())
    gentle = nn.Linear(3, 10)
    reshape_state(gentle, "large", 0, Strength.GENTLE)
    assert bool((gentle.bias < 2.0).all())


def test_products_are_muted_beside_what_goes_past_them():
    module = nn.Sequential(nn.Linear(6, 10), nn.LayerNorm(10), nn.Embedding(4, 3))
    plain = cloned(module)
    reshape_state(module, "muted", 0)
    reshape_state(plain, "tied", 0)
    assert torch.equal(module[0].weight, plain[0].weight * TINY)
    assert torch.equal(module[0].bias, plain[0].bias * TINY)
    assert torch.equal(module[1].weight, plain[1].weight)
    assert torch.equal(module[2].weight, plain[2].weight)


def test_a_matrix_is_what_has_rows_and_columns():
    assert has_matrix(nn.Linear(2, 3))
    assert has_matrix(nn.Conv1d(1, 2, 3))
    assert not has_matrix(nn.LayerNorm(5))
    assert not has_matrix(nn.ReLU())
