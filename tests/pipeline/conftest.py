"""Workers with a light module preloaded, and ways to look for what they leave behind."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.config import Limits
from builder.pipeline.messages import Job
from builder.pipeline.supervisor import Supervisor

HERE = Path(__file__).parent


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(condition, seconds=5.0):
    """Whether ``condition()`` comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pids_in(path):
    return [int(word) for word in path.read_text().split()]


def job(step, key="key", **payload):
    return Job(key, (f"steps_for_tests:{step}",), payload)


@pytest.fixture
def temporary_root(tmp_path, monkeypatch):
    """The folder in which workers make their private folders."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    return root


@pytest.fixture
def pids(tmp_path):
    """A file into which processes write their ids."""
    return tmp_path / "pids"


@pytest.fixture
def workers(temporary_root):
    """Opens supervisors; says at the end whether their folders are gone."""

    @contextmanager
    def opened(count=1, deadline_s=20.0, memory_bytes=1 << 30, **more):
        more.setdefault("preload", ("steps_for_tests",))
        limits = Limits(deadline_s=deadline_s, memory_bytes=memory_bytes)
        with Supervisor(count, limits, extra_paths=[str(HERE)], **more) as supervisor:
            yield supervisor
        assert list(temporary_root.iterdir()) == []

    return opened


@pytest.fixture
def run_one(workers):
    """Runs one job, then an innocent one that must succeed on the same supervisor."""

    def run(one, **more):
        with workers(**more) as supervisor:
            (outcome,) = supervisor.run([one])
            (after,) = supervisor.run([job("echo", key="after", x=1)])
        assert outcome.key == one.key
        assert after.value == {"x": 1}
        assert (outcome.value is None) != (outcome.rejection is None)
        return outcome

    return run
