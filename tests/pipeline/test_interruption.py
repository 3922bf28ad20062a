"""However the supervisor ends, its workers end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from builder.pipeline.processes import descendants
from tests.pipeline.conftest import HERE, is_alive, job, pids_in, wait_until

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from builder.config import Limits
from builder.pipeline.messages import Job
from builder.pipeline.supervisor import Supervisor

payload = {{"pids": {pids!r}}}
jobs = [Job(str(i), ("steps_for_tests:hang_with_family",), payload) for i in range(2)]
try:
    with Supervisor(2, Limits(), ("steps_for_tests",), extra_paths=[{here!r}]) as supervisor:
        for outcome in supervisor.run(jobs):
            print(outcome)
except KeyboardInterrupt:
    print("interrupted")
"""
# Two jobs; each writes down itself, two forked processes and one that it started.
PIDS = 8


@pytest.fixture
def hanging_build(temporary_root, pids):
    """A process with two busy workers: the process, and the ids of all that it started."""
    pids.touch()
    script = SCRIPT.format(root=str(HERE.parent.parent), here=str(HERE), pids=str(pids))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary_root)},
        text=True,
    )
    assert wait_until(lambda: len(pids_in(pids)) == PIDS, 10.0)
    family = {*pids_in(pids), *descendants(process.pid)}
    assert len(family) >= PIDS + 4
    yield process, family
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
    ("signal_number", "output"),
    [(signal.SIGINT, "interrupted\n"), (signal.SIGTERM, ""), (signal.SIGKILL, "")],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_no_process_and_no_folder_outlives_the_supervisor(
    hanging_build, temporary_root, signal_number, output
):
    process, family = hanging_build
    process.send_signal(signal_number)
    assert wait_until(lambda: not any(is_alive(pid) for pid in family), 5.0)
    assert wait_until(lambda: not list(temporary_root.iterdir()), 5.0)
    process.wait(5)
    assert process.stdout.read() == output


def test_closing_the_stream_kills_running_jobs_within_two_seconds(workers, pids):
    pids.touch()
    with workers(2) as supervisor:
        stream = supervisor.run([job("hang_with_family", pids=str(pids)), job("echo", key="echo")])
        assert next(stream).key == "echo"
        assert wait_until(lambda: len(pids_in(pids)) == 4, 10.0)
        started = time.monotonic()
        stream.close()
        assert time.monotonic() - started < 2.0
        assert not any(is_alive(pid) for pid in pids_in(pids))


def test_an_error_in_the_callers_jobs_ends_the_workers(workers):
    def failing():
        yield job("hang")
        raise RuntimeError("the caller's own")

    with workers(2) as supervisor:
        with pytest.raises(RuntimeError, match="the caller's own"):
            list(supervisor.run(failing()))
        assert descendants(os.getpid()) == []


def test_leaving_the_context_ends_idle_workers(workers):
    with workers(2) as supervisor:
        list(supervisor.run([job("echo")]))
        assert wait_until(lambda: len(descendants(os.getpid())) >= 4)
        before = descendants(os.getpid())
    assert not any(is_alive(pid) for pid in before)
