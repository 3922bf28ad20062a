from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from builder.dataset.journal import Journal, journal_path, open_output
from builder.errors import OperationFailed, UsageError
from tests.dataset.samples import dataset, rejection, row

HEADER = {"seed": 0, "targets": ["cuda:90"], "families": [], "torch": "2.13.0"}


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_items_come_back_by_index_in_another_process_life(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(7, row(7))
        journal.append_rejection(2, rejection(2))
        journal.append_row(1, row(1))
    with Journal(tmp_path, HEADER) as journal:
        assert journal.indices == {1, 2, 7}
        assert journal.row_indices == [1, 7]
        assert (len(journal), journal.num_rows, 2 in journal, 3 in journal) == (3, 2, True, False)
        assert list(journal.rows()) == [(1, row(1)), (7, row(7))]
        assert list(journal.rejections()) == [(2, rejection(2))]


def test_rows_can_be_read_while_others_are_appended(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        for index in range(3):
            journal.append_row(index, row(index))
        for index, _ in journal.rows():
            journal.append_rejection(10 + index, rejection(index))
        assert journal.indices == {0, 1, 2, 10, 11, 12}
        assert dict(journal.rejections())[11] == rejection(1)


def test_an_item_is_recorded_once(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(1, row(1))
        with pytest.raises(ValueError, match="item 1 is already"):
            journal.append_rejection(1, rejection(1))


def test_each_line_is_on_disk_at_once(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(0, row(0))
        lines = journal_path(tmp_path).read_bytes().splitlines()
    assert json.loads(lines[0])["seed"] == 0
    assert json.loads(lines[1])["row"] == row(0)


@pytest.mark.parametrize("cut", [1, 5, 400])
def test_the_partial_last_line_of_a_kill_is_dropped(tmp_path, cut):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(0, row(0))
        journal.append_row(1, row(1))
    path = journal_path(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(tmp_path, HEADER) as journal:
        assert journal.row_indices == [0]
        journal.append_row(1, row(1))
    with Journal(tmp_path, HEADER) as journal:
        assert list(journal.rows()) == [(0, row(0)), (1, row(1))]


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_header_cut_by_a_kill_is_written_again(tmp_path, kept):
    with Journal(tmp_path, HEADER):
        pass
    path = journal_path(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    with Journal(tmp_path, HEADER) as journal:
        assert not journal.indices
    assert path.read_bytes() == whole


def test_another_configuration_is_refused_and_named(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(0, row(0))
    before = journal_path(tmp_path).read_bytes()
    with pytest.raises(UsageError) as caught:
        Journal(tmp_path, HEADER | {"seed": 1, "targets": ["hip:gfx942"], "extra": 3})
    message = str(caught.value)
    assert "seed 0 there, 1 now" in message
    assert "targets cuda:90 there, hip:gfx942 now" in message
    assert "extra none there, 3 now" in message
    assert "another --out" in message
    assert "torch" not in message
    assert journal_path(tmp_path).read_bytes() == before


def test_tuples_and_lists_are_one_configuration(tmp_path):
    with Journal(tmp_path, HEADER):
        pass
    with Journal(tmp_path, HEADER | {"targets": ("cuda:90",)}) as journal:
        assert journal.header["targets"] == ["cuda:90"]


@pytest.mark.parametrize(
    "line",
    [b"\x00\xff\n", b"[]\n", b"{}\n", b'{"index": 1}\n', b'{"index": "a", "row": {}}\n', b"null\n"],
)
def test_a_damaged_line_is_named(tmp_path, line):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(0, row(0))
    path = journal_path(tmp_path)
    path.write_bytes(path.read_bytes() + line + b'{"index": 5, "row": {}}\n')
    with pytest.raises(UsageError, match=r"line 3 of .* is damaged; delete"):
        Journal(tmp_path, HEADER)


def test_a_journal_that_is_no_journal_is_refused(tmp_path):
    journal_path(tmp_path).parent.mkdir()
    journal_path(tmp_path).write_text("hello\nworld\n")
    with pytest.raises(UsageError, match="line 1"):
        Journal(tmp_path, HEADER)
    assert journal_path(tmp_path).read_text() == "hello\nworld\n"


def test_two_builds_cannot_write_to_one_folder(tmp_path):
    with Journal(tmp_path, HEADER), pytest.raises(UsageError, match="another build is writing"):
        Journal(tmp_path, HEADER)
    Journal(tmp_path, HEADER).close()


def test_a_full_disk_is_one_clear_line(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append_row(0, row(0))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal_path(tmp_path).stat().st_size + 9, hard))
        try:
            with pytest.raises(OperationFailed, match=r"File too large; .*make room and run"):
                journal.append_row(1, row(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not journal_path(tmp_path).read_bytes().rpartition(b"\n")[2]
    with Journal(tmp_path, HEADER) as journal:
        assert journal.row_indices == [0]


WRITER = """
import sys
from pathlib import Path
from builder.dataset.journal import Journal
from tests.dataset.samples import row
with Journal(Path(sys.argv[1]), {"seed": 0}) as journal:
    for index in range(10_000):
        journal.append_row(index, row(index % 7))
        print(index, flush=True)
"""


def test_a_killed_writer_loses_no_finished_item(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for line in writer.stdout:
        if int(line) >= 20:
            break
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    said = int(rest[-1]) if rest else 20
    with Journal(tmp_path, {"seed": 0}) as journal:
        assert set(range(said + 1)) <= journal.indices
        assert len(journal.indices) <= said + 2
        assert dict(journal.rows())[said] == row(said % 7)


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    out = open_output(tmp_path / "a" / "b")
    assert out.is_dir()
    assert tree(out) == []


def test_an_empty_folder_and_a_builds_own_are_accepted(tmp_path):
    assert open_output(str(tmp_path)) == tmp_path
    dataset(tmp_path)
    before = tree(tmp_path)
    assert open_output(tmp_path) == tmp_path
    assert tree(tmp_path) == before


def test_a_build_killed_before_its_journal_is_accepted(tmp_path):
    journal_path(tmp_path).parent.mkdir()
    assert open_output(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "stranger",
    [
        "notes.txt",
        "README.md",
        "data/train-00000-of-00001.parquet",
        ".git/config",
        ".torch2triton/other",
    ],
)
def test_a_folder_with_something_else_is_refused(tmp_path, stranger):
    (tmp_path / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / stranger).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=r"holds something else \(.*new or empty folder"):
        open_output(tmp_path)
    assert tree(tmp_path) == before
    assert (tmp_path / stranger).read_text() == "mine"


@pytest.mark.parametrize(
    "stranger",
    ["data/train-0.parquet", "data/mine.csv", "rejections/train-00000-of-00001.parquet", "x"],
)
def test_a_stranger_in_a_builds_folder_is_refused(tmp_path, stranger):
    dataset(tmp_path)
    (tmp_path / stranger).write_text("mine")
    with pytest.raises(UsageError, match="holds something else") as caught:
        open_output(tmp_path)
    assert stranger in str(caught.value)


def test_many_strangers_are_not_all_named(tmp_path):
    for number in range(50):
        (tmp_path / f"file{number:02}").touch()
    with pytest.raises(UsageError) as caught:
        open_output(tmp_path)
    assert "file02, ..." in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="is a file"):
            open_output(out)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="leads nowhere"):
        open_output(tmp_path / "link")
    assert tree(tmp_path) == ["file", "link"]


@pytest.mark.parametrize("out", ["/proc/builds/demo", "/sys/demo", "a" * 300])
def test_a_place_that_cannot_be_written_is_refused(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no permission|cannot use"):
        open_output(out)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("below", ["", "new"])
def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch, below):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match=f"no permission to write in {tmp_path}"):
        open_output(tmp_path / below)
    assert tree(tmp_path) == []
