"""Selections by bits, against torch's own."""

import pytest
import torch

from builder.execute.memo import Recent
from builder.execute.values import where

SHAPES = {
    "full": ((64, 128), (64, 128), (64, 128)),
    "one on the right": ((64, 128), (64, 128), (1, 1)),
    "one on the left": ((64, 128), (1, 1), (64, 128)),
    "both one": ((64, 128), (1, 1), (1, 1)),
    "a condition for each row": ((8192, 1), (8192, 4), (1, 4)),
    "rows and columns": ((64, 128), (64, 1), (1, 128)),
    "more dimensions than the condition fills": ((1, 64, 128), (3, 64, 128), (3, 1, 128)),
}


def filled(shape, dtype):
    if dtype == torch.bool:
        return torch.rand(shape) < 0.5
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        return torch.randint(limits.min, limits.max, shape, dtype=dtype)
    numbers = torch.randn(shape, dtype=torch.float64) * 8
    numbers.view(-1)[::3] = float("nan")
    numbers.view(-1)[1::5] = float("-inf")
    return numbers.to(dtype)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e5m2,
    ],
)  # fmt: skip
def test_by_bits_or_branches_a_selection_is_the_same(shapes, dtype):
    condition = torch.rand(shapes[0]) < 0.4
    left, right = filled(shapes[1], dtype), filled(shapes[2], dtype)
    before = condition.clone()
    found = where(condition, left, right)
    expected = torch.where(condition, left, right)
    word = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    assert found.dtype == dtype
    assert torch.equal(found.view(word), expected.view(word))
    assert torch.equal(condition, before)


def test_views_are_selected_from_too():
    condition = (torch.rand(128, 64) < 0.4).T
    left, right = torch.randn(128, 64).T, torch.randn(64, 256)[:, ::2]
    assert torch.equal(where(condition, left, right), torch.where(condition, left, right))


def test_what_is_recent_is_known_by_identity_and_forgotten_in_time():
    recent = Recent(2)
    first, second = torch.ones(3), torch.ones(3)
    recent.put((first, None), 1, "one")
    assert recent.get((first, None), 1) == "one"
    assert recent.get((second, None), 1) is None
    assert recent.get((first, None), 2) is None
    recent.put((second, None), 1, "two")
    recent.put((first, first), 1, "three")
    assert recent.get((first, None), 1) is None
    assert recent.get((second, None), 1) == "two"
