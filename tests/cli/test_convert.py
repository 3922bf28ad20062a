"""Users' own files, good and bad, through the command itself: each does what it says, for real."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.dataset.read import read_rejections, read_rows
from tests.cli.command import torch2triton

HEADER = "import os, ctypes, time, sys\nimport torch\nfrom torch import nn\n\n"
MODEL = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(200))

    def forward(self, x):
        {forward}


def get_inputs():
    {inputs}


def get_init_inputs():
    return []
"""


SOFTMAX = "return torch.softmax(x * self.weight, -1)"
INPUTS = "return [torch.randn(48, 200)]"
UNWEIGHTED = """import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return {result}


def get_inputs():
    return [torch.randn(48, 20)]
"""


def program(forward=SOFTMAX, inputs=INPUTS):
    return HEADER + MODEL.format(forward=forward, inputs=inputs)


FORK_AND_HANG = "os.fork(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

OTHER_SIZES = """

def get_shape_variants():
    return [lambda n=n: [torch.randn(n, 200)] for n in (48, 17, 33)]
"""

GOOD = {
    "good.py": program(),
    "huge.py": program(inputs="return [torch.randn(1 << 23, 200)]") + OTHER_SIZES,  # 6 GiB
    "sub/kernel_bench.py": program()
    .replace("nn.Parameter(torch.randn(200))", "nn.Linear(200, 64)")
    .replace("torch.softmax(x * self.weight, -1)", "torch.relu(self.weight(x))"),
}

# name: text, stage, kind, words of the message
BAD = {
    "syntax.py": (HEADER + "def f(:\n    pass\n", "program", "syntax_error", ["line 5", "def f(:"]),
    "no_class.py": (HEADER + "x = 1\n", "program", "missing_class", ["nn.Module"]),
    "no_inputs.py": (
        program().replace("get_inputs", "inputs"),
        "program",
        "missing_function",
        ["get_inputs"],
    ),
    "bad_init.py": (
        program().replace("torch.randn(200)", "torch.randn(-1)"),
        "program",
        "init_error",
        ["line 9", "torch.randn(-1)"],
    ),
    "bad_inputs.py": (
        program(inputs="return [torch.randn(48, 200) / undefined]"),
        "program",
        "inputs_error",
        ["line 16", "undefined"],
    ),
    "bad_forward.py": (
        program("return x @ self.weight.reshape(3, -1)"),
        "program",
        "forward_error",
        ["line 12", "reshape"],
    ),
    "hangs.py": (
        program("while True:\n            time.sleep(1)"),
        "program",
        "deadline",
        ["--deadline"],
    ),
    "hangs_with_children.py": (
        program(f"import signal; {FORK_AND_HANG}"), "program", "deadline", ["--deadline"]
    ),
    "exits.py": (program("os._exit(0)"), "program", "exited", ["0"]),
    "segfaults.py": (program("ctypes.string_at(0)"), "program", "crashed", ["SIGSEGV"]),
    "eats_memory.py": (
        program("hoard = []\n        while True:\n            hoard.append(b'x' * (1 << 26))"),
        "program",
        "memory",
        ["--memory"],
    ),
    "not_tensors.py": (program("return 'text', x"), "program", "not_tensors", []),
    "nan.py": (program("return torch.log(x * self.weight)"), "program", "not_finite", []),
    "infinite.py": (program("return x * self.weight / 0"), "program", "not_finite", []),
    "constant.py": (program("return torch.zeros_like(x)"), "program", "constant_output", []),
    "ignores.py": (program("return torch.softmax(x, -1)"), "program", "ignores_input", ["weight"]),
    "random.py": (
        program("return x * self.weight + time.time_ns() % 1000003"),
        "program",
        "nondeterministic",
        [],
    ),
    "view.py": (UNWEIGHTED.format(result="x.t()"), "capture", "no_kernel", []),
    "library.py": (UNWEIGHTED.format(result="torch.linalg.qr(x)[1]"), "", "", []),
    "graph_break.py": (
        program("return x * self.weight if x.sum() > 0 else x + self.weight"),
        "capture",
        "graph_break",
        [],
    ),
    "latin1.py": (None, "program", "syntax_error", []),
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    for name, text in GOOD.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for name, (text, *_) in BAD.items():
        data = text.encode() if text is not None else b"x = '\xe9\xff'\n"
        (folder / name).write_bytes(data)
    out, temporary = folder / "out", tmp_path_factory.mktemp("temporary")
    limits = ["--deadline", "12", "--memory", "2"]
    done = torch2triton(
        "convert", folder, "--out", out, "--license", "MIT", "--format", "json", *limits,
        TMPDIR=str(temporary),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout), temporary


def test_good_files_become_pairs_with_their_licence(converted):
    out, result, _ = converted
    rows = read_rows(out)
    assert result["pairs"] == len(rows) == len(GOOD)
    sources = ["file:good.py", "file:huge.py", "file:sub/kernel_bench.py"]
    assert [row["source"] for row in rows] == sources
    assert [row["unrun_shapes"] for row in rows] == [[], ["[8388608, 200]"], []]
    assert {row["license"] for row in rows} == {"MIT"}
    assert {row["entry_point"] for row in rows} == {"Model"}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_one_rejection_that_says_why(converted, name):
    out, *_ = converted
    _, stage, kind, words = BAD[name]
    found = [item for item in read_rejections(out) if item["source"] == f"file:{name}"]
    assert len(found) == 1
    if kind:
        assert (found[0]["stage"], found[0]["kind"]) == (stage, kind), found[0]["message"]
    else:
        assert found[0]["kind"] in {"library_call", "no_kernel"}, found[0]
    assert all(word in found[0]["message"] for word in words), found[0]["message"]


def test_kills_by_time_and_memory_are_marked(converted):
    out, *_ = converted
    killed = {item["source"] for item in read_rejections(out) if not item["deterministic"]}
    names = ("eats_memory", "hangs", "hangs_with_children")
    assert killed == {f"file:{name}.py" for name in names}


def environment_of(process):
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def test_nothing_that_a_program_started_lives_on(converted):
    """Every worker, and what it starts, has its home below the folder for temporary files."""
    *_, temporary = converted
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    assert any(b"PATH=" in environment_of(process) for process in processes)
    alive = [item for item in processes if str(temporary).encode() in environment_of(item)]
    assert alive == []
    assert list(temporary.iterdir()) == []


def test_no_pair_is_exit_status_1(tmp_path):
    (tmp_path / "bad.py").write_text("x = (\n")
    done = torch2triton("convert", tmp_path / "bad.py", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "no pair was verified" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", "{tmp}/nothing.py", "--out", "{tmp}/out"], "nothing.py"),
        (["convert", "{tmp}", "--out", "{tmp}/out"], "no Python file"),
        (["build", "--pairs", "1", "--out", "{tmp}/out", "--target", "cuda:91"], "cuda:90"),
        (["build", "--pairs", "1", "--out", "{tmp}/out", "--families", "sofmax"], "softmax"),
        (["build", "--pairs", "1", "--out", "{tmp}/out", "--families", " ,"], "no family"),
        (["build", "--pairs", "0", "--out", "{tmp}/out"], "--pairs"),
        (["build", "--pairs", "1", "--out", "{tmp}/other"], "something else"),
        (["build", "--pairs", "1", "--out", "{tmp}/out", "--workers", "0"], "--workers"),
        (["verify", "{tmp}/out"], "does not exist"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(arguments, words, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = torch2triton(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_stops_soon_and_says_how_to_go_on(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "builder", "build", "--pairs", "50", "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = out / ".torch2triton" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b'"row"') >= 2):
        assert time.monotonic() < deadline, "no pair within two minutes"
        time.sleep(0.1)
    process.send_signal(2)
    started = time.monotonic()
    _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert "run the same command again" in stderr
    assert len(read_rows(out)) >= 2
