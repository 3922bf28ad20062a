from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from builder.cli import render
from builder.cli.output import DEBUG_VARIABLE, Output, with_output
from builder.errors import (
    Interrupted,
    MemoryFault,
    OperationFailed,
    ProgramRejected,
    UsageError,
)


def invoke(function, *arguments):
    return CliRunner().invoke(click.command()(with_output(function)), arguments)


def raising(error):
    def function(*, output):
        raise error

    return function


SOURCE = """
import sys, time
import click
from builder.cli import render
from builder.cli.output import with_output

@click.command()
@with_output
def command(*, output):
    {body}

command()
"""


# An unbuffered stdout does not notice that a reader left in the middle of a write.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}


def script(body, **options):
    return subprocess.Popen(
        [sys.executable, "-c", SOURCE.format(body=body)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        | {"env": ENVIRONMENT}
        | options,
    )


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("no such target; choose another"), 2, "error: no such target; choose another"),
        (OperationFailed("no network"), 1, "error: no network"),
        (Interrupted("stopped; run it again"), 130, "error: stopped; run it again"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (ProgramRejected("trivial", "it does\nnothing"), 1, "error: it does nothing"),
        (MemoryFault("race", "two writes", kernel="k", line=3), 1, "error: k:3: two writes"),
        (
            UsageError("bell \x07 and \x1b[31mred\x1b[0m"),
            2,
            r"error: bell \x07 and \x1b[31mred\x1b[0m",
        ),
    ],
)
def test_an_error_is_one_line_and_a_status(error, status, line):
    ended = invoke(raising(error))
    assert ended.exit_code == status
    assert ended.stdout == ""
    assert ended.stderr == line + "\n"


@pytest.mark.parametrize("mode", ["human", "json", "quiet"])
def test_an_unexpected_error_says_how_to_see_more(mode, monkeypatch):
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    ended = invoke(raising(ZeroDivisionError("division by zero")), "--format", mode)
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "error: unexpected ZeroDivisionError: division by zero "
        f"(set {DEBUG_VARIABLE}=1 to see the traceback)\n"
    )


def test_the_traceback_is_shown_on_demand(monkeypatch):
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    ended = invoke(raising(ZeroDivisionError("division by zero")))
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: unexpected ZeroDivisionError")


def test_clicks_own_errors_stay_usage_errors():
    assert invoke(raising(click.BadParameter("no"))).exit_code == 2


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_a_commands_return_value_is_its_status(returned, status):
    assert invoke(lambda *, output: returned).exit_code == status


def result_of(mode, **options):
    def function(*, output):
        output.result({"pairs": 3, "rate": float("nan"), "at": {"a": (1, 2)}}, **options)

    return invoke(function, "--format", mode)


def test_json_is_one_object_on_stdout():
    ended = result_of("json", human="never", quiet="never")
    assert json.loads(ended.stdout) == {"pairs": 3, "rate": None, "at": {"a": [1, 2]}}
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""


def test_human_shows_names_and_values_or_the_view():
    assert result_of("human").stdout.split() == ["pairs", "3", "rate", "nan", "at", "a", "1,", "2"]
    assert result_of("human", human="x" * 500).stdout == "x" * 500 + "\n"


def test_quiet_shows_the_essentials():
    assert result_of("quiet").stdout == ""
    assert result_of("quiet", quiet="one").stdout == "one\n"
    assert result_of("quiet", quiet=["one", "two"]).stdout == "one\ntwo\n"


@pytest.mark.parametrize(("mode", "noted"), [("human", True), ("json", True), ("quiet", False)])
def test_notes_and_warnings_go_to_stderr(mode, noted):
    def function(*, output):
        output.note("working")
        output.warn("slow")

    ended = invoke(function, "--format", mode)
    assert ended.stdout == ""
    assert ended.stderr == ("working\n" if noted else "") + "warning: slow\n"


def test_a_reader_that_leaves_ends_the_command_quietly():
    for body in (
        "output.result({}, human='x' * 10_000_000)",
        "[output.result({}, human='line') for _ in range(200_000)]",
        "output.result({}, human=render.table(('a',), [['x' * 100]] * 2_000))",
    ):
        run = script(body)
        run.stdout.read(10)
        run.stdout.close()
        assert run.stderr.read() == ""
        run.stderr.close()
        assert run.wait() == 141


def test_a_full_disk_behind_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        run = script("output.result({'a': 1}, quiet='a')", stdout=full)
        errors = run.communicate()[1]
    assert run.returncode != 0
    assert "No space left on device" in errors


def test_ctrl_c_is_status_130():
    run = script("print('ready', flush=True); time.sleep(60)")
    assert run.stdout.readline() == "ready\n"
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate()
    assert (run.returncode, errors) == (130, "error: interrupted\n")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_text_that_the_terminal_cannot_show_is_no_crash(encoding):
    run = script(
        "output.result({'name': 'π ≤ 4'}, human='π ≤ 4')",
        env=os.environ | {"PYTHONIOENCODING": encoding},
        encoding=encoding,
    )
    shown, errors = run.communicate()
    assert run.returncode == 0, errors
    assert "4" in shown


def bar_on_terminal(mode):
    """What a command with a bar writes to a terminal that is its stderr."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    body = (
        "bar = output.progress(3, 'pairs', 'pair'); bar.update(2); output.note('half'); "
        "bar.close(); output.result({'a': 1}, quiet='a')"
    )
    source = SOURCE.format(body=body).replace("command()\n", f"command(['--format', '{mode}'])\n")
    run = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=child, text=True
    )
    os.close(child)
    shown, _ = run.communicate()
    seen = os.read(parent, 10_000).decode() if mode != "quiet" else ""
    os.close(parent)
    return shown, seen


def test_bars_are_on_the_terminal_in_human_mode_alone():
    shown, seen = bar_on_terminal("human")
    assert "pairs" in seen
    assert "2/3" in seen
    assert "half" in seen
    assert "2/3" not in shown
    shown, seen = bar_on_terminal("json")
    assert (json.loads(shown), seen.strip()) == ({"a": 1}, "half")


def test_bars_are_silent_without_a_terminal():
    run = script("bar = output.progress(3); bar.update(2); bar.close()")
    assert run.communicate() == ("", "")
    assert Output("quiet").progress(3).disable


def test_markup_and_escapes_of_foreign_text_are_shown_as_they_are(capsys):
    view = render.table(("name",), [["[red]x[/red] :smile: \x1b[31m"]])
    Output().result({}, human=view)
    assert r"[red]x[/red] :smile: \x1b[31m" in capsys.readouterr().out


def test_a_table_in_a_pipe_loses_nothing(capsys):
    long = "word " * 60
    Output().result({}, human=render.table(("name", "count"), [[long, 12345]]))
    shown = capsys.readouterr().out
    assert shown.count("word") == 60
    assert "12,345" in shown


@pytest.mark.parametrize("columns", ["abc", "0", "-5", "40"])
def test_any_COLUMNS_is_survived(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    Output().result({"name": "value"})
    assert "value" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (2.0**-21, "4.768e-07"),
        (["a", 1], "a, 1"),
        ({"a": [1, 2]}, "a 1, 2"),
        ("a\tb\x00", "a\tb\\x00"),
    ],
)
def test_cells(value, text):
    assert render.cell(value) == text
