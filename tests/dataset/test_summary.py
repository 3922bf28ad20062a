from __future__ import annotations

from builder.dataset.summary import summarise
from tests.dataset.samples import rejection, row


def test_counts_by_family_kind_stage_and_reason():
    rows = [
        row(0, kernel_kinds=["reduction", "pointwise", "pointwise"]),
        row(1),
        row(3),
        row(4, source="file:mine.py", seed=None),
    ]
    rejections = [
        rejection(1, stage="verify", kind="wrong"),
        rejection(2),
        rejection(3),
        rejection(4, kind="error"),
    ]
    assert summarise(rows, rejections) == {
        "pairs": 4,
        "rejections": {"capture": {"error": 1, "no_kernel": 2}, "verify": {"wrong": 1}},
        "families": {"family_0": 2, "family_1": 1, "user_files": 1},
        "kernel_kinds": {"pointwise": 4, "reduction": 1},
    }


def test_nothing_is_counted_as_nothing():
    empty = {"pairs": 0, "rejections": {}, "families": {}, "kernel_kinds": {}}
    assert summarise([], []) == empty


def test_iterators_are_enough():
    assert summarise(iter([row(0)]), iter([]))["pairs"] == 1
