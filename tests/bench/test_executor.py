"""The measurement itself: what counts as equal, what a mismatch does, one small run for real."""

import dataclasses
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from builder.bench import executor
from builder.bench.kernels import KERNELS
from builder.cli.bench.executor import command
from builder.errors import UsageError
from tests.cli.command import torch2triton


def row(**changes):
    values = {
        "name": "a", "kind": "scan", "executor_s": 1.0, "executor_cold_s": 2.0,
        "interpreter_s": 100.0, "speedup": 100.0, "cold_speedup": 50.0, "max_abs_diff": 0.0,
        "allowed_diff": 0.0, "equal": True, "in_mean": True, "peak_memory_bytes": 5,
    }  # fmt: skip
    return executor.Row(**(values | changes))


def test_sums_in_another_order_are_equal_and_lower_precision_is_not():
    terms = torch.randn(512, 256)
    forwards, backwards = torch.zeros(512), torch.zeros(512)
    for first, last in zip(terms.unbind(1), terms.flip(1).unbind(1), strict=True):
        forwards, backwards = forwards + first, backwards + last
    found, allowed = executor.compared(forwards, backwards, 256)
    assert 0 < found <= allowed
    found, allowed = executor.compared(terms.to(torch.bfloat16).sum(1).float(), forwards, 256)
    assert found > allowed


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0])),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, -math.inf])),
        (torch.tensor([1.0]), torch.tensor([1.0, 1.0])),
        (torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0])),
        (torch.tensor([3]), torch.tensor([4])),
        (torch.tensor([3], dtype=torch.int32), torch.tensor([4], dtype=torch.int32)),
    ],
)
def test_a_difference_that_no_order_explains(ours, theirs):
    found, allowed = executor.compared(ours, theirs, 10**9)
    assert found > allowed


def test_nan_and_infinities_in_the_same_places_are_equal():
    value = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    assert executor.compared(value, value.clone(), 1)[0] == 0.0


def test_the_mean_is_over_the_rows_that_count():
    rows = [row(speedup=10.0), row(speedup=1000.0), row(speedup=7.0, in_mean=False)]
    report = executor.summarise(rows)
    assert report.geomean_speedup == pytest.approx(100.0)
    assert report.equal
    assert not executor.summarise([*rows, row(equal=False)]).equal
    assert executor.summarise(rows[2:]).geomean_speedup == pytest.approx(7.0)


def test_the_report_is_json_with_its_figures():
    data = json.loads(json.dumps(executor.as_data(executor.summarise([row()]))))
    assert data["geomean_speedup"] == pytest.approx(100.0)
    assert data["peak_memory_bytes"] == 5
    fields = {"name", "kind", "executor_s", "interpreter_s", "speedup", "max_abs_diff"}
    assert fields <= set(data["kernels"][0])


def test_an_unknown_name_names_the_known_ones():
    with pytest.raises(UsageError, match="layer_norm"):
        executor.chosen_kernels(["nothing"])


def test_every_kind_that_is_captured_counts_once_at_least():
    kinds = {kernel.kind for kernel in KERNELS if kernel.in_mean}
    assert kinds >= {"pointwise", "reduction", "persistent_reduction", "scan", "sort", "template"}


def test_the_command_runs_both_and_they_agree():
    done = torch2triton("bench", "executor", "--only", "argmax_cumsum", "--format", "json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    (found,) = data["kernels"]
    assert found["name"] == "argmax_cumsum"
    assert found["speedup"] == pytest.approx(found["interpreter_s"] / found["executor_s"])
    assert found["max_abs_diff"] <= found["allowed_diff"]
    assert data["peak_memory_bytes"] < 2e9
    assert "interpreter" in done.stderr


def test_a_mismatch_ends_with_status_one(monkeypatch):
    wrong = dataclasses.replace(row(), equal=False, max_abs_diff=1.0)
    monkeypatch.setattr(executor, "measure", lambda *_: executor.summarise([wrong]))
    done = CliRunner().invoke(command, ["--only", "matmul"])
    assert done.exit_code == 1
    assert "NO" in done.output


def test_library_calls_have_answers_under_the_interpreter(tmp_path):
    """``libdevice`` functions have no body there, so their kernels would fail."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, triton, triton.language as tl\n"
        "from builder.bench.executor_interpreter import answer_library_calls\n"
        "answer_library_calls()\n"
        "from triton.language.extra import libdevice\n"
        "@triton.jit\n"
        "def kernel(x_ptr, N: tl.constexpr):\n"
        "    place = x_ptr + tl.arange(0, N)\n"
        "    x = tl.load(place)\n"
        "    tl.store(place, libdevice.tanh(x) + libdevice.rsqrt(4.0 + x))\n"
        "x = torch.linspace(-2, 2, 16)\n"
        "wanted = torch.tanh(x) + torch.rsqrt(4.0 + x)\n"
        "kernel[(1,)](x, 16)\n"
        "torch.testing.assert_close(x, wanted)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
