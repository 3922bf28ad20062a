"""Which items a build asks for: decided by what is finished before them, not by who is quicker."""

from types import SimpleNamespace

import pytest

from builder.config import BuildConfig
from builder.pipeline import build as module
from builder.pipeline.build import _Run
from builder.pipeline.messages import Outcome


class Journal:
    """The journal's interface in memory."""

    def __init__(self, rows=(), rejections=()):
        self.items = dict.fromkeys(rows, "row") | dict.fromkeys(rejections, "no")

    def __contains__(self, index):
        return index in self.items

    @property
    def indices(self):
        return frozenset(self.items)

    @property
    def row_indices(self):
        return sorted(index for index, kind in self.items.items() if kind == "row")

    @property
    def num_rows(self):
        return len(self.row_indices)

    def rows(self):
        return [(index, {"index": index}) for index in self.row_indices]

    def rejections(self):
        no = sorted(index for index, kind in self.items.items() if kind == "no")
        return [(index, {"index": index}) for index in no]

    def append_row(self, index, row):
        self.items[index] = "row"

    def append_rejection(self, index, rejection):
        self.items[index] = rejection["kind"]


def stream(length=None):
    return SimpleNamespace(
        length=length, job=lambda index: index, source=lambda _: "file:x.py", seed=lambda _: None
    )


def run(journal, pairs, tmp_path, length=None):
    return _Run(BuildConfig(pairs=pairs, out=tmp_path), stream(length), journal)


def test_a_hole_below_finished_items_is_filled_first(tmp_path):
    journal = Journal(rows=(0, 1, 2, 3, 5))
    assert list(run(journal, 5, tmp_path).jobs()) == [4]


def test_enough_rows_end_the_stream(tmp_path):
    assert list(run(Journal(rows=range(5)), 5, tmp_path).jobs()) == []


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_giving_up_does_not_depend_on_the_number_of_workers(workers, tmp_path, monkeypatch):
    """Items end out of order; the one pair, at 9, is in flight when later ones are refused."""
    monkeypatch.setattr(module, "FRUITLESS", 10)
    journal = Journal()
    made = run(journal, 3, tmp_path)
    jobs, flying = made.jobs(), []
    for _ in range(200):
        while len(flying) < workers and (index := next(jobs, None)) is not None:
            flying.append(index)
        if not flying:
            break
        others = [index for index in flying if index != 9]
        index = others[0] if others and max(flying) < 25 else min(flying)
        flying.remove(index)
        journal.items[index] = "row" if index == 9 else "no"
    assert not flying
    rows, rejections = made.kept()
    assert [row["index"] for row in rows] == [9]
    assert [row["index"] for row in rejections] == [*range(9), *range(10, 20)]


def test_a_pair_that_fits_no_row_is_a_rejection(tmp_path):
    journal = Journal()
    broken = {"program": {}, "capture": {}, "verdict": {"verified": False}}
    run(journal, 1, tmp_path, length=1).record(Outcome("0", broken, None, 0.0, ""))
    assert journal.items == {0: "no_row"}


@pytest.mark.parametrize("workers", [1, 3])
def test_pairs_too_much_alike_are_rejections(workers, tmp_path, monkeypatch):
    """Every second item has one structure, of which two are wanted; items end out of order."""
    monkeypatch.setattr(module, "make_row", lambda **value: value)
    journal = Journal()
    journal.append_row = journal.items.__setitem__
    journal.rows = lambda: sorted(
        (index, item) for index, item in journal.items.items() if isinstance(item, dict)
    )
    monkeypatch.setattr(Journal, "row_indices", property(lambda self: sorted(self.items)))
    config = BuildConfig(pairs=6, out=tmp_path, most_alike=2)
    made = _Run(config, stream(), journal)
    jobs, flying = made.jobs(), []
    while True:
        while len(flying) < workers and (index := next(jobs, None)) is not None:
            flying.append(index)
        if not flying:
            break
        index = flying.pop()
        structure = "one" if index % 2 else str(index)
        row = {"structure": structure, "variant": "default", "seed": index, "source": "family:x"}
        made.record(Outcome(str(index), row, None, 0.0, ""))
    rows, rejections = made.kept()
    assert [row["seed"] for row in rows] == [0, 1, 2, 3, 4, 6]
    assert [(item["seed"], item["kind"]) for item in rejections] == [(5, "duplicate")]
