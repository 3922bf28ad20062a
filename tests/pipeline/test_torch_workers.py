"""Workers as builds use them: with torch and triton imported before the fork."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import pytest

from builder.config import Limits
from builder.pipeline.supervisor import Supervisor
from tests.pipeline.conftest import HERE, job


@pytest.fixture(scope="module")
def supervisor():
    preload = ("torch", "triton", "torch._inductor.compile_fx", "steps_for_tests")
    limits = Limits(deadline_s=30.0, memory_bytes=1 << 30)
    with Supervisor(1, limits, preload, extra_paths=[str(HERE)]) as opened:
        yield opened


def run(supervisor, *jobs):
    return [outcome.value or outcome.rejection for outcome in supervisor.run(jobs)]


def test_torch_runs_one_thread_and_the_fixed_instruction_set(supervisor):
    first, second = run(supervisor, job("torch_facts"), job("torch_facts"))
    assert first == second
    assert first["threads"] == 1
    assert first["modules"] == ["torch", "torch._inductor", "triton"]
    assert first["sum"] == pytest.approx(64.0, rel=1e-4)
    assert Path(first["cache"]).is_relative_to(tempfile.gettempdir())
    if platform.machine() == "x86_64":
        assert first["capability"] == "AVX2"


def test_autograd_works_after_the_fork(supervisor):
    assert run(supervisor, job("torch_backward")) == [{"gradient": 1024.0}]


def test_a_tensor_above_the_limit_is_a_memory_rejection(supervisor):
    (rejection,) = run(supervisor, job("torch_out_of_memory", bytes=64 << 30))
    assert (rejection["kind"], rejection["deterministic"]) == ("memory", False)
    (rejection,) = run(supervisor, job("torch_out_of_memory", bytes=3 << 29))
    assert (rejection["kind"], rejection["deterministic"]) == ("memory", False)


def test_a_step_costs_little(supervisor):
    """The aim is 40 ms; the bound leaves room for a machine that is busy with other things."""
    seconds = [o.seconds for o in supervisor.run(job("nothing", key=str(i)) for i in range(20))]
    assert sorted(seconds)[len(seconds) // 2] < 0.2
