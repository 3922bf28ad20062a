"""Selections of elements, against plain indexing."""

import numpy as np
import pytest
import torch

from builder.execute.words import (
    Rows,
    are_same,
    gather,
    is_distinct,
    is_whole,
    moved,
    numbers_of,
    put,
    selected,
    size,
    span,
    widened,
)


def rows(*firsts, width=8):
    return (np.array(firsts)[:, None] + np.arange(width)).reshape(-1)


NUMBERS = {
    "run": np.arange(5, 40),
    "apart": rows(0, 20, 40),
    "in another order": rows(40, 0, 20),
    "end to end": rows(16, 8, 24),
    "at the end": rows(92, 80, 60),
    "at odd distances": rows(3, 14, 70),
    "overlapping": rows(3, 7, 11),
    "the same twice": rows(16, 0, 16),
    "broken": np.append(rows(0, 20), [50, 52, 54, 56, 58, 60, 62, 64]),
    "scattered": np.array([7, 3, 99, 3, 0]),
    "one": np.array([12]),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_whatever_its_form_a_selection_means_its_numbers(name, dtype):
    numbers = NUMBERS[name].astype(dtype)
    selection = selected(numbers)
    memory = np.arange(100, dtype=np.int32) * 3
    assert np.array_equal(numbers_of(selection), numbers)
    assert size(selection) == numbers.size
    assert span(selection) == (numbers.min(), numbers.max() + 1)
    assert np.array_equal(gather(memory, selection), memory[numbers])
    if is_distinct(selection):
        assert np.unique(numbers).size == numbers.size
    if is_whole(selection):
        assert set(numbers) == set(range(*span(selection)))
    written, expected = memory.copy(), memory.copy()
    words = np.arange(numbers.size, dtype=np.int32) + 1000
    expected[numbers] = words
    put(written, selection, words, distinct=is_distinct(selection))
    assert np.array_equal(written, expected)
    put(written, selection, -1)
    expected[numbers] = -1
    assert np.array_equal(written, expected)
    assert np.array_equal(numbers_of(moved(selection, 7)), numbers + 7)
    wide = (numbers[:, None] * 2 + np.arange(2)).reshape(-1)
    assert np.array_equal(numbers_of(widened(selection, 2)), wide)
    assert are_same(selection, selection)


def test_rows_are_found():
    assert isinstance(selected(NUMBERS["run"]), slice)
    for name in ("apart", "in another order", "end to end", "at the end", "overlapping"):
        assert isinstance(selected(NUMBERS[name]), Rows), name
    assert isinstance(selected(NUMBERS["broken"]), np.ndarray)
    assert isinstance(selected(rows(0, 8, 40), width=8), Rows)


def test_what_is_distinct_or_whole_is_known():
    assert is_distinct(selected(NUMBERS["in another order"]))
    assert is_whole(selected(NUMBERS["end to end"]))
    assert not is_whole(selected(NUMBERS["apart"]))
    assert not is_distinct(selected(NUMBERS["overlapping"]))
    assert not is_distinct(selected(NUMBERS["the same twice"]))


def test_one_value_for_all_elements_is_gathered_too():
    repeated = torch.tensor([4], dtype=torch.int32).expand(100).numpy()
    assert np.array_equal(gather(repeated.copy(), selected(rows(0, 20))), [4] * 16)
    assert np.array_equal(gather(repeated, selected(rows(0, 20))), [4] * 16)
