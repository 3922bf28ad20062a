from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from builder.cli import group
from tests.dataset.samples import dataset, row


@pytest.fixture
def folder(tmp_path):
    dataset(tmp_path / "set", pairs=4)
    return str(tmp_path / "set")


def inspect(*arguments):
    return CliRunner().invoke(group, ["inspect", *arguments])


def test_without_a_row_the_pairs_are_listed(folder):
    shown = inspect(folder)
    assert shown.exit_code == 0
    for index in range(4):
        made = row(index)
        line = next(line for line in shown.stdout.splitlines() if made["pair_id"] in line)
        words = line.split()
        assert words[:5] == [
            str(index), made["pair_id"], made["family"], "pointwise", "float32",
        ]  # fmt: skip


def test_the_list_as_json_and_quiet(folder):
    listed = json.loads(inspect(folder, "--format", "json").stdout)
    assert [pair["pair_id"] for pair in listed["pairs"]] == [row(n)["pair_id"] for n in range(4)]
    assert listed["pairs"][1]["python_lines"] == len(row(1)["python_code"].splitlines())
    quiet = inspect(folder, "--format", "quiet").stdout.split()
    assert quiet == [row(n)["pair_id"] for n in range(4)]


@pytest.mark.parametrize("how", ["row", "pair", "prefix"])
def test_one_pair_is_shown_whole_in_a_pipe(folder, how):
    made = row(2)
    option = {
        "row": ["--row", "2"],
        "pair": ["--pair", made["pair_id"]],
        "prefix": ["--pair", made["pair_id"][:6]],
    }[how]
    shown = inspect(folder, *option)
    assert shown.exit_code == 0
    assert made["python_code"] in shown.stdout
    assert made["triton_code"] in shown.stdout
    assert "verified yes" in shown.stdout
    assert "error 4.768e-07" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_json_gives_the_row(folder):
    assert json.loads(inspect(folder, "--row", "3", "--format", "json").stdout) == row(3)


def test_a_single_file_can_be_inspected(folder):
    file = f"{folder}/data/train-00000-of-00001.parquet"
    assert row(1)["python_code"] in inspect(file, "--row", "1").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--row", "4"], "there is no row 4; rows of {} are 0 to 3"),
        (["--row", "-1"], "there is no row -1; rows of {} are 0 to 3"),
        (["--pair", "zz"], "no pair 'zz' among the 4 of {}"),
        (["--pair", ""], "no pair ''"),
        (["--row", "1", "--pair", "a"], "exclude each other"),
        (["--row", "one"], "'one' is not a valid integer"),
    ],
)
def test_a_wrong_row_or_pair_is_told(folder, arguments, said):
    ended = inspect(folder, *arguments)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert said.format(folder) in ended.stderr


def test_an_ambiguous_pair_is_told(tmp_path):
    rows = [row(n) | {"pair_id": f"abc{n}"} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    ended = inspect(str(tmp_path / "x.parquet"), "--pair", "abc")
    assert (ended.exit_code, ended.stderr) == (
        2, "error: 2 pairs begin with 'abc'; give more of the ID\n",
    )  # fmt: skip


@pytest.mark.parametrize("path", ["nowhere", "", ".", "a" * 5000])
def test_a_path_that_is_no_data_set_is_told(tmp_path, path):
    ended = inspect(str(tmp_path / path))
    assert ended.exit_code == 2
    assert "Traceback" not in ended.stderr


def test_a_data_set_without_pairs_lists_none_and_has_no_row(tmp_path):
    dataset(tmp_path, pairs=0)
    assert inspect(str(tmp_path)).exit_code == 0
    assert "has no pairs" in inspect(str(tmp_path), "--row", "0").stderr


def test_kernelbooks_rows_and_hostile_text_are_shown_harmlessly(tmp_path):
    rows = [
        {
            "entry_point": "M",
            "python_code": "x = '[bold]' # \x1b[2J\x07",
            "triton_code": "y = 1  # " + "long " * 100,
            "uuid": 17,
            "stars": None,
        }
    ]
    path = tmp_path / "book.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    shown = inspect(str(path), "--row", "0").stdout
    assert r"x = '[bold]' # \x1b[2J\x07" in shown
    assert "long " * 99 in shown
    assert inspect(str(path)).exit_code == 0
    assert inspect(str(path), "--pair", "17", "--format", "quiet").stdout == "17\n"


def on_terminal(columns, *arguments, **environment):
    """What the command shows on a terminal of that width."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    run = subprocess.Popen(
        [sys.executable, "-m", "builder", "inspect", *arguments],
        stdout=child,
        env=kept | {"TERM": "xterm-256color"} | environment,
    )
    os.close(child)
    seen = b""
    with contextlib.suppress(OSError):  # raised when the other end is closed
        while True:
            seen += os.read(parent, 65536)
    os.close(parent)
    assert run.wait() == 0
    return seen.decode().replace("\r", "")


def test_a_wide_terminal_shows_program_and_triton_side_by_side(folder):
    seen = on_terminal(160, folder, "--row", "0")
    titles = next(line for line in seen.splitlines() if "python_code" in line)
    assert "triton_code" in titles
    assert "\x1b[" in seen


def test_a_narrow_terminal_stacks_them(folder):
    seen = on_terminal(70, folder, "--row", "0")
    titles = [line for line in seen.splitlines() if "_code" in line]
    assert len(titles) == 2


def test_no_color_is_respected(folder):
    assert "\x1b[3" not in on_terminal(160, folder, "--row", "0", NO_COLOR="1")
