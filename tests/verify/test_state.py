"""Other values of parameters: parts that tests of the draws do not see."""

import pytest
import torch

from builder.verify.state import MOST_NUMBERS, _largest


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
