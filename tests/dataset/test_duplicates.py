"""Pairs that are alike."""

from itertools import permutations

import pytest

from builder.dataset.duplicates import Alike

ROWS = [
    (0, {"structure": "a", "variant": "default"}),
    (1, {"structure": "a", "variant": "default"}),
    (2, {"structure": "a", "variant": "tiled"}),
    (4, {"structure": None, "variant": "default"}),
    (5, {"structure": "a", "variant": "default"}),
    (7, {"structure": "b", "variant": "default"}),
    (8, {"structure": None, "variant": "default"}),
    (9, {"structure": "a", "variant": "default"}),
]
INDICES = [index for index, _ in ROWS]


@pytest.mark.parametrize(
    ("most", "beyond"), [(1, {1, 5, 9}), (2, {5, 9}), (3, {9}), (4, set()), (None, set())]
)
def test_the_first_of_a_structure_and_variant_are_kept(most, beyond):
    alike = Alike(most, ROWS)
    assert alike.beyond(INDICES) == beyond
    assert alike.excess == len(beyond)


def test_the_order_in_which_rows_come_does_not_matter():
    for order in list(permutations(ROWS))[::997]:
        alike = Alike(2)
        for index, row in order:
            alike.add(index, row)
        assert alike.beyond(INDICES) == {5, 9}
        assert alike.excess == 2
