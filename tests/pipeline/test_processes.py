"""Finding, measuring and ending families of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from builder.pipeline import processes
from tests.pipeline.conftest import is_alive, wait_until

# Forks a child that forks a sleeper; prints both pids.
FAMILY = """
import os, sys, time
read, write = os.pipe()
if os.fork() == 0:
    sleeper = os.fork()
    if sleeper:
        os.write(write, f"{os.getpid()} {sleeper}".encode())
    time.sleep(600)
print(os.read(read, 100).decode(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def family():
    process = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    child, grandchild = map(int, process.stdout.readline().split())
    yield process.pid, child, grandchild
    for pid in (process.pid, child, grandchild):
        processes.kill(pid)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("has_children_files", [True, False])
def test_descendants_come_generation_by_generation(family, monkeypatch, has_children_files):
    if has_children_files and not processes._HAS_CHILDREN_FILES:
        pytest.fail("this kernel has no children files; the other case covers it")
    monkeypatch.setattr(processes, "_HAS_CHILDREN_FILES", has_children_files)
    parent, child, grandchild = family
    assert processes.descendants(parent) == [child, grandchild]
    assert processes.descendants(grandchild) == []


def test_resident_bytes_adds_up_and_forgives_dead_pids(family):
    def adds_up() -> bool:
        each = [processes.resident_bytes([pid]) for pid in family]
        together = processes.resident_bytes([*family, 2**22 + 5])
        return all(size > 1 << 20 for size in each) and together == sum(each)

    assert wait_until(adds_up)  # they take more memory until they sleep


def test_resident_bytes_follows_an_allocation():
    before = processes.resident_bytes([os.getpid()])
    kept = bytearray(b"x") * (64 << 20)
    assert processes.resident_bytes([os.getpid()]) - before > 60 << 20
    assert len(kept) == 64 << 20


def test_the_address_space_is_larger_than_what_is_resident():
    assert processes.address_space_bytes() > processes.resident_bytes([os.getpid()])


def test_kill_forgives_a_pid_that_is_gone():
    process = subprocess.Popen(["true"])
    process.wait()
    processes.kill(process.pid)
    assert not is_alive(process.pid)


def test_kill_descendants_ends_orphans_of_a_subreaper():
    script = """
import os, sys, time
from builder.pipeline.processes import become_subreaper, descendants, kill_descendants
become_subreaper()
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        os.write(write, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
print(os.read(read, 100).decode())
print(kill_descendants(), descendants(os.getpid()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    orphan, result = done.stdout.splitlines()
    assert result == "True []"
    assert not is_alive(int(orphan))


def test_kill_by_environment_finds_marked_processes_alone():
    marked = subprocess.Popen(["sleep", "60"], env={"SOME": "marker-of-this-test"})
    other = subprocess.Popen(["sleep", "60"], env={"SOME": "thing"})
    assert wait_until(lambda: b"marker" in processes._environment_of(marked.pid))
    processes.kill_by_environment("marker-of-this-test")
    assert marked.wait(5) == -9
    assert other.poll() is None
    other.kill()
    other.wait()


def test_remove_tree_removes_what_was_locked_and_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("x")
    (root / "a" / "link").symlink_to(outside)
    (root / "a" / "b").chmod(0)
    (root / "a").chmod(0o500)
    processes.remove_tree(root)
    assert not root.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_remove_tree_forgives_a_folder_that_is_not_there(tmp_path):
    processes.remove_tree(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
