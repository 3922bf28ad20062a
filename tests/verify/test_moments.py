"""Mean and variance in one pass."""

import pytest
import torch

from builder.verify.moments import mean_and_deviations


@pytest.mark.parametrize("count", [1, 2, 3, 31, 33, 64, 100, 1792, 9001])
def test_they_are_those_of_each_row(count):
    rows = 3 + torch.randn(5, count, dtype=torch.float64)
    mean, deviations = mean_and_deviations(rows, order=1)
    torch.testing.assert_close(mean, rows.mean(1))
    torch.testing.assert_close(deviations, (rows - rows.mean(1, keepdim=True)).square().sum(1))


def test_rows_are_left_alone():
    rows = torch.randn(3, 40)
    before = rows.clone()
    mean_and_deviations(rows, order=1)
    assert torch.equal(rows, before)
