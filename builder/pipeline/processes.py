"""Linux process control: families of processes, their memory, and how to end them all."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
# Present where the kernel has CONFIG_PROC_CHILDREN; without it every process is looked at.
_HAS_CHILDREN_FILES = Path("/proc/self/task", str(os.getpid()), "children").exists()

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}, {value}): {os.strerror(error)}")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends.

    Args:
        parent: pid that the caller took for its parent before the fork; if that process is gone
            already, this one ends at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Make every orphan among this process's descendants its own child."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def thread_count() -> int:
    """Threads of this process, native ones included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def address_space_bytes() -> int:
    """Virtual size of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES


def resident_bytes(pids: list[int]) -> int:
    """Resident memory summed over processes; a page that several share counts in each."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += int((_PROC / str(pid) / "statm").read_text().split()[1])
    return total * _PAGE_BYTES


def descendants(pid: int) -> list[int]:
    """Children of a process and theirs, the oldest generation first."""
    children = _children_of if _HAS_CHILDREN_FILES else _parents_map().__getitem__
    found: list[int] = []
    generation = [pid]
    while generation:
        generation = [child for parent in generation for child in children(parent)]
        found += generation
    return found


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _parents_map() -> defaultdict[int, list[int]]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name before the last ")" may hold anything, blanks and brackets too.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children[int(fields[1])].append(int(entry.name))
    return children


def kill(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)


def kill_descendants(timeout_s: float = 2.0) -> bool:
    """Kill and reap everything below this process, which must be a subreaper.

    Returns:
        Whether all were gone within the time: a process stuck in the kernel cannot be killed.
    """
    deadline = time.monotonic() + timeout_s
    pause = 0.0005
    while True:
        for pid in descendants(os.getpid()):
            kill(pid)
        if not _reap():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _reap() -> bool:
    """Collect ended children; whether any child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def kill_by_environment(marker: str) -> None:
    """Kill every process that was started with ``marker`` somewhere in its environment.

    The last net, for when the processes whose duty it was to end their descendants were killed.
    """
    wanted = marker.encode()
    for _ in range(10):
        found = [pid for pid in _other_pids() if wanted in _environment_of(pid)]
        if not found:
            return
        for pid in found:
            kill(pid)
        time.sleep(0.02)


def _other_pids() -> list[int]:
    names = (entry.name for entry in _PROC.iterdir())
    return [int(name) for name in names if name.isdigit() and int(name) != os.getpid()]


def _environment_of(pid: int) -> bytes:
    try:
        return (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def remove_tree(root: Path) -> None:
    """Remove a folder, also one whose parts were made unreadable; links are not followed."""
    shutil.rmtree(root, ignore_errors=True)
    if not root.exists():
        return
    for folder, names, _ in os.walk(root):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            with suppress(OSError):
                if stat.S_ISDIR(path.lstat().st_mode):
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(root, ignore_errors=True)
