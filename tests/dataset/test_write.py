from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from builder.dataset import write
from builder.dataset.read import read_rejections, read_rows
from builder.dataset.schema import REJECTION_SCHEMA, SCHEMA
from builder.dataset.summary import summarise
from builder.dataset.write import finalise
from builder.errors import OperationFailed, UsageError
from tests.dataset.samples import dataset, rejection, row


def written(folder, rows, rejections=()):
    finalise(folder, rows, rejections, summarise(rows, rejections))
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".torch2triton" not in path.parts
    }


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_rows_are_written_in_seed_order_with_the_schema(tmp_path):
    rows = [row(index) for index in (4, 0, 2)]
    written(tmp_path, rows)
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    assert pq.read_schema(file).equals(SCHEMA)
    assert read_rows(tmp_path) == [rows[1], rows[2], rows[0]]
    empty = pq.read_table(tmp_path / "rejections" / "rejections-00000-of-00001.parquet")
    assert (empty.num_rows, empty.schema.equals(REJECTION_SCHEMA)) == (0, True)


def test_rows_without_a_seed_keep_their_order(tmp_path):
    rows = [row(index, seed=None, source=f"file:{index}") for index in (3, 1, 2)]
    written(tmp_path, rows)
    assert [r["source"] for r in read_rows(tmp_path)] == ["file:3", "file:1", "file:2"]


def test_the_bytes_depend_on_the_rows_alone(tmp_path):
    rows, rejections = [row(n) for n in range(5)], [rejection(9), rejection(7)]
    names = [tmp_path / "one", tmp_path / "another"]
    for name in names:
        name.mkdir()
    one = written(names[0], rows, rejections)
    assert one == written(names[1], rows[::-1], rejections[::-1])
    assert one == written(names[0], rows, rejections)
    assert sorted(one) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "rejections/rejections-00000-of-00001.parquet",
    ]


def test_shards_are_cut_by_count_and_stale_ones_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "SHARD_ROWS", 2)
    rows = [row(index) for index in range(5)]
    written(tmp_path, rows, [rejection(n) for n in range(3)])
    assert [p.name for p in sorted((tmp_path / "data").iterdir())] == [
        f"train-0000{number}-of-00003.parquet" for number in range(3)
    ]
    assert read_rows(tmp_path) == rows
    written(tmp_path, [*rows, row(5), row(6)])
    names = [p.name for p in sorted((tmp_path / "data").iterdir())]
    assert names == [f"train-0000{number}-of-00004.parquet" for number in range(4)]
    assert len(read_rows(tmp_path)) == 7
    assert read_rejections(tmp_path) == []


def test_a_failure_leaves_the_earlier_data_set_whole(tmp_path, monkeypatch):
    before = written(tmp_path, [row(0)])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "_write_shard", full)
    with pytest.raises(OperationFailed, match=r"No space left on device; .*same command again"):
        finalise(tmp_path, [row(0), row(1)], [], summarise([], []))
    monkeypatch.undo()
    assert read_rows(tmp_path) == [row(0)]
    assert written(tmp_path, [row(0)]) == before


def test_a_kill_between_renames_is_noticed_and_mended(tmp_path, monkeypatch):
    dataset(tmp_path, pairs=3)
    replace = Path.replace

    def killed(self, target):
        if "rejections" in str(target):
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, [row(0)])
    monkeypatch.undo()
    with pytest.raises(UsageError, match="not finished; run the same build command again"):
        read_rows(tmp_path)
    written(tmp_path, [row(0)])
    assert read_rows(tmp_path) == [row(0)]
    assert not (tmp_path / ".torch2triton" / "staging").exists()


def test_the_cards_front_matter_names_both_configurations(tmp_path):
    dataset(tmp_path, pairs=3, rejected=2)
    front = front_matter(tmp_path)
    assert [config["config_name"] for config in front["configs"]] == ["default", "rejections"]
    assert front["license"] == "apache-2.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["text-generation"]


def test_without_rejections_the_card_does_not_promise_them(tmp_path):
    dataset(tmp_path, rejected=0)
    assert [config["config_name"] for config in front_matter(tmp_path)["configs"]] == ["default"]


@pytest.mark.parametrize(
    ("licenses", "named"),
    [
        (["MIT", "MIT"], "mit"),
        (["Apache-2.0", "MIT"], "other"),
        (["LicenseRef-Mine"], "other"),
        (["MIT\ntags: [broken"], "other"),
    ],
)
def test_the_card_names_the_license_as_the_hub_does(tmp_path, licenses, named):
    written(tmp_path, [row(n, license=name) for n, name in enumerate(licenses)])
    assert front_matter(tmp_path)["license"] == named


def test_the_card_explains_training_pairs_where_there_are_some(tmp_path):
    written(tmp_path / "forward", [row(0)])
    written(tmp_path / "training", [row(0), row(1, mode="training")])
    texts = [(tmp_path / name / "README.md").read_text() for name in ("forward", "training")]
    assert ["## Training pairs" in text for text in texts] == [False, True]


def test_the_card_has_counts_columns_and_no_place_or_time(tmp_path):
    dataset(tmp_path, pairs=4, rejected=2)
    card = (tmp_path / "README.md").read_text()
    assert "4 verified, 0 of them for any size; 2 rejected." in card
    assert "| `family_0` | 2 |" in card
    assert "| `pointwise` | 4 |" in card
    assert "| capture | `no_kernel` | 2 |" in card
    for name in (*SCHEMA.names, *REJECTION_SCHEMA.names):
        assert f"| `{name}` |" in card
    assert str(tmp_path) not in card
    assert "202" not in card


LOADER = """
import sys
import datasets
datasets.disable_progress_bars()
train = datasets.load_dataset(sys.argv[1])["train"]
rejections = datasets.load_dataset(sys.argv[1], "rejections")["train"]
import pyarrow.parquet as pq
assert pq.read_table(sys.argv[1] + "/data").to_pylist() == list(train)
print(len(train), len(rejections), train[1]["pair_id"], rejections[0]["kind"])
print(train.features["seed"])
"""


def test_it_loads_with_datasets_and_pyarrow(tmp_path):
    rows = dataset(tmp_path / "set", pairs=3, rejected=2)
    ended = subprocess.run(
        [sys.executable, "-c", LOADER, str(tmp_path / "set")],
        env={"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == ["3", "2", rows[1]["pair_id"], "no_kernel", "Value('int64')"], (
        ended.stderr
    )
