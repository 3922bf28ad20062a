from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from builder import __version__
from builder.cli import COMMANDS, group
from builder.cli.bench import COMMANDS as MEASUREMENTS


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "builder", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def test_help_imports_no_heavy_library():
    program = (
        "import json, sys\n"
        "from builder.cli import group\n"
        "try:\n    group(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(json.loads(ended.stdout.splitlines()[-1]))
    assert not modules & {"torch", "triton", "numpy", "pyarrow", "datasets", "rich"}
    assert "click" in modules


def test_help_is_quick():
    def processor_seconds():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = processor_seconds()
    ended = run("--help")
    assert processor_seconds() - before < 0.4
    assert ended.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ended.stdout


@pytest.mark.parametrize(
    "name",
    [*sorted(set(COMMANDS) - {"bench"}), *(f"bench {name}" for name in sorted(MEASUREMENTS))],
)
def test_every_command_explains_itself_with_an_example(name):
    shown = CliRunner().invoke(group, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"torch2triton {name}" in shown.output
    assert "--format [human|json|quiet]" in shown.output


def test_the_version_is_shown():
    assert CliRunner().invoke(group, ["--version"]).output.split()[-1] == __version__


@pytest.mark.parametrize(
    "arguments", [["biuld"], ["--nope"], ["inspect"], ["inspect", "x", "--format", "xml"]]
)
def test_wrong_usage_has_exit_status_2_and_says_so_on_stderr(arguments):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Error: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_crash(closed):
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m builder inspect nowhere {closed}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
