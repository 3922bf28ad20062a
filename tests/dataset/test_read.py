from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.dataset.read import read_rejections, read_rows
from builder.errors import UsageError
from tests.dataset.samples import dataset, rejection, row

PAIR = {"entry_point": "M", "python_code": "a", "triton_code": "b"}


def parquet(path, *rows):
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_a_folder_and_one_of_its_shards_are_read(tmp_path):
    rows = dataset(tmp_path, pairs=2, rejected=1)
    assert read_rows(tmp_path) == rows
    assert read_rows(str(tmp_path / "data" / "train-00000-of-00001.parquet")) == rows
    assert read_rejections(tmp_path) == [rejection(2)]


def test_a_downloaded_folder_without_a_journal_is_read(tmp_path):
    parquet_rows = [row(0)]
    (tmp_path / "data").mkdir()
    parquet(tmp_path / "data" / "train-00000-of-00001.parquet", *parquet_rows)
    assert read_rows(tmp_path)[0]["pair_id"] == row(0)["pair_id"]


def test_kernelbooks_form_is_read(tmp_path):
    rows = [PAIR | {"uuid": 5, "repo_name": "x", "stars": 3}]
    assert read_rows(parquet(tmp_path / "book.parquet", *rows)) == rows


def test_large_strings_are_text_too(tmp_path):
    table = pa.table({name: pa.array([text], pa.large_string()) for name, text in PAIR.items()})
    pq.write_table(table, tmp_path / "large.parquet")
    assert read_rows(tmp_path / "large.parquet") == [PAIR]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist; give a data set folder"),
        (b"", "cannot be read as Parquet"),
        (b"PAR1 nothing PAR1", "cannot be read as Parquet"),
        (b"{}" * 100, "cannot be read as Parquet"),
    ],
)
def test_what_is_no_parquet_is_refused(tmp_path, content, said):
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path):
    path = parquet(tmp_path / "x.parquet", *[PAIR] * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read_rows(path)


def test_damage_within_a_file_is_refused(tmp_path):
    rows = [PAIR | {"python_code": f"x = {number}"} for number in range(1000)]
    path = parquet(tmp_path / "x.parquet", *rows)
    content = bytearray(path.read_bytes())
    content[8:2000] = b"\xff" * 1992
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read_rows(path)


def test_missing_columns_are_named(tmp_path):
    path = parquet(tmp_path / "x.parquet", {"python_code": "a", "text": "b"})
    with pytest.raises(UsageError, match="has no column entry_point, triton_code; pairs need"):
        read_rows(path)


@pytest.mark.parametrize("value", [None, 3])
def test_a_column_that_is_not_text_is_refused(tmp_path, value):
    path = parquet(tmp_path / "x.parquet", PAIR | {"triton_code": value})
    with pytest.raises(UsageError, match=r"column triton_code .* is not text in every row"):
        read_rows(path)


def test_a_null_among_texts_is_refused(tmp_path):
    path = parquet(tmp_path / "x.parquet", PAIR, PAIR | {"python_code": None})
    with pytest.raises(UsageError, match="column python_code"):
        read_rows(path)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no data/train-\*.parquet; give the folder"):
        read_rows(tmp_path)


@pytest.mark.parametrize("names", [["00000-of-00002"], ["00000-of-00001", "00000-of-00002"]])
def test_an_incomplete_or_mixed_set_of_shards_is_refused(tmp_path, names):
    (tmp_path / "data").mkdir()
    for name in names:
        parquet(tmp_path / "data" / f"train-{name}.parquet", PAIR)
    with pytest.raises(UsageError, match="lacks shards or holds those of two builds"):
        read_rows(tmp_path)
