"""``torch2triton bench verifier`` on two tiny pairs, and how its forks end."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from builder.bench.verifier import VerifierBench, _allowed, _share, measure, passes
from builder.bench.verifier_steps import in_fork, judge_mutants, verify_untouched
from tests.bench.verifier_samples import ROW_SUM, rows
from tests.cli.command import torch2triton
from tests.verify.data import gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAYLOAD = rows()[0] | {"draws": 2, "seed": 0, "mode": "forward", "generic": False, "unrun": False}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As workers have: a fork of a process whose threads add up tensors may wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def judged(*changes: tuple[str, str], category: str = "any") -> list[dict[str, Any]]:
    mutants = [{"text": ROW_SUM.replace(old, new), "category": category} for old, new in changes]
    results: list[dict[str, Any]] = judge_mutants(
        PAYLOAD | {"mutants": mutants, "wanted": len(mutants)}
    )["results"]
    return results


def test_faults_are_killed_and_look_alikes_proven() -> None:
    results = judged(
        ("tmp0 - tmp1", "tmp1 - tmp0"),
        ("r0_index + 10 * x0", "r0_index + 11 * x0"),
        ("tl.store(out_ptr0 + x0, tmp5, xmask)", "pass"),
        ("tl.sum(_tmp5, 1)", "tl.sum(_tmp5, 7)"),
        ("grid = (triton.cdiv(6, XBLOCK),)", "grid = (3,)"),
    )
    assert [(one["outcome"], one["kind"]) for one in results[:4]] == [
        ("killed", "wrong_values"),
        ("killed", "out_of_bounds"),
        ("killed", "wrong_non_finite"),
        ("killed", "compile"),
    ]
    assert results[4]["outcome"] == "equivalent"
    assert results[4]["proof"] == "same_terms"


def test_a_text_that_does_not_import_is_no_mutant() -> None:
    results = judged(("(nn.Module)", "(nn.Nothing)"), ("tmp0 - tmp1", "tmp0"))
    assert [one["outcome"] for one in results] == ["invalid", "killed"]


def test_an_endless_mutant_is_killed_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.bench.verifier_steps.MUTANT_DEADLINE_S", 2.0)
    endless = "launch_row_sum(x, y, self.weight, buf0)"
    results = judged((endless, f"while True: pass\n        {endless}"), ("tmp0 - tmp1", "tmp0"))
    assert [(one["outcome"], one["kind"]) for one in results] == [
        ("killed", "timeout"),
        ("killed", "wrong_values"),
    ]


def test_a_rounding_that_loses_little_is_no_fault() -> None:
    exact = (
        "tmp2 = tl.load(in_ptr2 + r0_index, r0_mask, other=0.0)",
        "tmp2 = tl.load(in_ptr2 + r0_index, r0_mask, other=0.0) * 4.0 / 4.0",
    )
    coarse = ("tmp4 = tmp3 * tmp2", "tmp4 = (tmp3 * tmp2).to(tl.float16).to(tl.float32)")
    results = judged(exact, coarse, category="lower precision")
    assert [(one["outcome"], one["proof"]) for one in results] == [
        ("equivalent", "same_reals"),
        ("killed", None),
    ]


def test_what_is_as_far_off_as_eager_counts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the strict share it is a fault, killed or not, though all that passes has a kind."""
    coarse = "tmp4 = (tmp3 * tmp2).to(tl.float16).to(tl.float32)"
    change = ("tmp4 = tmp3 * tmp2", coarse)
    monkeypatch.setattr("builder.bench.mutants.errors.EAGER_FACTOR", 1e9)
    (killed,) = judged(change, category="lower precision")
    assert (killed["proof"], killed["kind"]) == ("precision_of_eager", "wrong_values")
    monkeypatch.setattr("builder.verify.floats.EAGER_FACTOR", 1e9)
    monkeypatch.setattr("builder.verify.exactness.Exactness.check", lambda _: None)
    (passed,) = judged(change, category="lower precision")
    assert (passed["proof"], passed["kind"]) == ("precision_of_eager", None)
    assert _share(_allowed([(0, None, killed), (0, None, passed)])) == 0.5


def test_what_a_fork_said_last_stands() -> None:
    def dies() -> Iterator[dict[str, Any]]:
        yield {"outcome": "survived"}
        os.kill(os.getpid(), signal.SIGKILL)

    def hangs() -> Iterator[dict[str, Any]]:
        time.sleep(60)
        yield {}

    def crashes() -> Iterator[dict[str, Any]]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield {}

    assert in_fork(dies, 10.0, 1 << 30) == {"outcome": "survived"}
    assert in_fork(hangs, 0.3, 1 << 30)["kind"] == "timeout"
    assert in_fork(crashes, 10.0, 1 << 30)["kind"] == "crash"


def test_faults_of_gradients_are_killed_and_none_is_proven_equal() -> None:
    """Backward is no part of what a proof looks at."""
    texts = {
        "scaled": gate.TRITON.replace("given * t)", "given * t * 1.01)"),
        "same": gate.TRITON.replace("given * t)", "t * given)"),
    }
    found = judge_mutants(
        {
            "python_code": gate.PYTHON,
            "triton_code": gate.TRITON,
            "entry_point": "Gate",
            "mode": "training",
            "generic": False,
            "unrun": False,
            "draws": 2,
            "seed": 0,
            "wanted": 2,
            "mutants": [{"text": text, "category": "any"} for text in texts.values()],
        }
    )["results"]
    assert [one["outcome"] for one in found] == ["killed", "survived"]
    assert "backward" in found[1]["reason"]


def test_an_untouched_pair_passes_and_a_broken_one_is_an_alarm() -> None:
    found = verify_untouched(PAYLOAD | {"targets": ["cuda:90"]})
    assert found["passes"]
    assert found["costs"]["compilation"] > 0
    assert found["costs"]["verification"] > found["costs"]["executor"] > 0
    broken = ROW_SUM.replace("tmp0 - tmp1", "tmp1 - tmp0")
    found = verify_untouched(PAYLOAD | {"targets": [], "triton_code": broken})
    assert not found["passes"]
    assert found["reason"].startswith("wrong_values")


def test_figures_add_up() -> None:
    done: dict[str, int] = {"mutants": 0, "verifications": 0}
    told: list[str] = []

    def on_done(name: str, count: int, faults: list[str]) -> None:
        done[name] += count
        told.extend(faults)

    result = measure(VerifierBench(24, 4, workers=2, seed=0, draws=2), rows(), on_done)
    assert done == {"mutants": 24, "verifications": 4}
    assert result["mutants"] == 24
    assert result["killed"] + result["equivalent"] + len(result["survivors"]) == 24
    assert result["killed"] == sum(result["killed_by"].values()) > 12
    assert sum(one["mutants"] for one in result["categories"].values()) == 24
    assert result["verifications"] == 4
    assert result["false_alarms"] == 0
    assert 0 < result["core_seconds_per_verification"] < 60
    assert not result["unjudged"]
    assert len(told) == len(result["survivors"])


def test_a_false_alarm_is_told_at_once() -> None:
    wrong = PAYLOAD | {"triton_code": ROW_SUM.replace("tmp0 - tmp1", "tmp1 - tmp0")}
    told: list[str] = []
    bench = VerifierBench(0, 1, workers=1, seed=0, draws=2)
    result = measure(bench, [wrong], lambda *found: told.extend(found[2]))
    assert result["false_alarms"] == 1
    assert len(told) == 1
    assert told[0].startswith("false alarm: ")
    assert "wrong_values" in told[0]


@pytest.mark.parametrize(
    ("killed", "equivalent", "false_alarms", "good"),
    [(995, 0, 0, True), (994, 0, 0, False), (796, 200, 0, True), (1000, 0, 1, False)],
)
def test_what_is_good_enough(killed: int, equivalent: int, false_alarms: int, good: bool) -> None:
    result = {"mutants": 1000, "killed": killed, "equivalent": equivalent}
    assert passes(result | {"false_alarms": false_alarms}) is good


def test_the_command(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "pairs.parquet")
    options = ["--pairs", "2", "--mutants", "6", "--verifications", "2", "--workers", "1"]
    given = ["bench", "verifier", "--data", tmp_path / "pairs.parquet", *options]
    outcome = torch2triton(*given, "--format", "json")
    result = json.loads(outcome.stdout)
    assert result["pairs"] == 2
    assert result["mutants"] == 6
    assert outcome.returncode == (0 if passes(result) else 1)
    assert "mutants: 6 of 6" in outcome.stderr
