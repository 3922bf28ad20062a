"""Step functions that workers run in these tests, most of them badly behaved."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from builder.errors import CaptureRejected
from builder.pipeline.steps import in_stage

STATE = []
WARMED_UP = []


def warm_up():
    WARMED_UP.append(os.getpid())


def _note_pid(payload):
    with Path(payload["pids"]).open("a") as file:
        file.write(f"{os.getpid()}\n")


def echo(payload):
    return payload


def nothing(payload):
    return {}


def add_one(payload):
    return {"count": payload["count"] + 1}


def only_first(payload):
    return {"first": True}


def rejecting(payload):
    return {"rejection": {"stage": "rewrite", "kind": "by_hand", "message": "no", "extra": 7}}


def half_rejecting(payload):
    return {"rejection": {"kind": "by_hand"}}


def remember(payload):
    seen = len(STATE)
    STATE.append(1)
    sys.modules["left_behind"] = sys
    return {"seen": seen, "pid": os.getpid(), "warmed_up": len(WARMED_UP)}


def leave_file(payload):
    found = sorted(str(path) for path in Path(os.environ["HOME"]).iterdir())
    listing = [str(path) for path in Path().iterdir()]
    Path(os.environ["HOME"], "left").write_text("x")
    Path("left_in_working_folder").write_text("x")
    return {"found": found, "cwd": str(Path.cwd()), "listing": listing}


def environment(payload):
    return {"environment": dict(os.environ)}


def raise_rejected(payload):
    raise CaptureRejected("no_kernel", "nothing to capture; give it an operation")


@in_stage("verify")
def raise_other(payload):
    raise KeyError("the missing key")


class _Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raise_unprintable(payload):
    raise _Unprintable


def raise_with_place(payload):
    raise ValueError(f"in {Path.cwd()}/file.py at {object()!r}")


def exit_python(payload):
    sys.exit(4)


def return_set(payload):
    return {"value": {1, 2}}


def return_list(payload):
    return [1]


def return_too_much(payload):
    return {"text": "x" * (60 << 20)}


def return_large(payload):
    return {"text": "x" * payload["length"]}


@in_stage("capture")
def hang(payload):
    while True:
        time.sleep(1)


def spin(payload):
    while True:
        pass


def _ignore_and_sleep(payload):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _note_pid(payload)
    time.sleep(600)
    os._exit(0)


def _spawn_family(payload):
    """One forked twice and out of the session, one forked, one started with no environment."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            _ignore_and_sleep(payload)
        os._exit(0)
    if os.fork() == 0:
        _ignore_and_sleep(payload)
    bare = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
    with Path(payload["pids"]).open("a") as file:
        file.write(f"{bare.pid}\n")
    while len(Path(payload["pids"]).read_text().split()) < 3:
        time.sleep(0.01)


@in_stage("capture")
def hang_with_family(payload):
    _spawn_family(payload)
    _ignore_and_sleep(payload)


def leave_family(payload):
    _spawn_family(payload)
    return {"left": True}


def exit_without_result(payload):
    sys.stdout.write("about to leave\n")
    os._exit(payload["status"])


@in_stage("verify")
def segfault(payload):
    ctypes.string_at(0)


def abort(payload):
    os.abort()


def kill_itself(payload):
    os.kill(os.getpid(), signal.SIGKILL)


@in_stage("verify")
def eat_memory(payload):
    kept = []
    while True:
        kept.append(bytearray(b"x") * (8 << 20))
        time.sleep(0.002)


def eat_memory_in_children(payload):
    for _ in range(4):
        if os.fork() == 0:
            kept = bytearray(b"x") * (60 << 20)
            time.sleep(600)
            os._exit(len(kept) & 1)
    time.sleep(600)


def fork_without_end(payload):
    end = time.monotonic() + 1.0  # an end after all, should the worker fail the test
    while time.monotonic() < end:
        os.fork()
    time.sleep(600)


def allocate_at_once(payload):
    return {"length": len(bytearray(payload["bytes"]))}


def print_gigabyte(payload):
    line = b"y" * ((1 << 20) - 1) + b"\n"
    for _ in range(1024):
        os.write(1, line)
    os.write(2, b"the end of it\n")
    return {"printed": True}


def print_and_fail(payload):
    sys.stdout.write("printed first\n")
    sys.stderr.write("to stderr\n")
    os.write(1, b"\xff\xfe not text\n")
    raise RuntimeError("failed")


def fill_file(payload):
    block = b"z" * (1 << 20)
    with Path("large").open("wb") as file:
        file.writelines(block for _ in range(1 << 11))
    return {}


def lock_folder(payload):
    folder = Path("locked")
    folder.mkdir()
    (folder / "file").write_text("x")
    folder.chmod(0)
    return {"folder": str(folder.resolve())}


@in_stage("execute")
def kill_parent(payload):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def kill_parent_leaving_family(payload):
    _spawn_family(payload)
    kill_parent(payload)


def _parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill_guard_leaving_family(payload):
    """Kills the server's parent too; the supervisor must find the rest by itself."""
    if os.fork() == 0:
        os.setsid()
        _ignore_and_sleep(payload)
    while not Path(payload["pids"]).exists():
        time.sleep(0.01)
    os.kill(_parent_of(os.getppid()), signal.SIGKILL)
    time.sleep(600)


@in_stage("execute")
def stop_parent(payload):
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(600)


def _pipes():
    """Descriptors of this process that are pipes, standard streams aside."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if int(link.name) > 2 and str(link.readlink()).startswith("pipe:"):
                found.append(int(link.name))
    return found


def count_pipes(payload):
    return {"pipes": len(_pipes())}


def close_pipe_and_hang(payload):
    for fd in (*_pipes(), 1, 2):
        os.close(fd)
    time.sleep(600)


def close_pipe_and_return(payload):
    for fd in _pipes():
        os.close(fd)
    return {}


def write_garbage(payload):
    for fd in _pipes():
        os.write(fd, b"garbage that is no frame at all")
    time.sleep(600)


def write_deep_nesting(payload):
    body = b"[" * 100_000 + b"]" * 100_000
    for fd in _pipes():
        os.write(fd, len(body).to_bytes(4, "big") + body)
    time.sleep(600)


def write_gigabytes(payload):
    (fd,) = _pipes()
    os.write(fd, (64 << 20).to_bytes(4, "big"))
    block = b" " * (1 << 20)
    while True:
        os.write(fd, block)


def write_stages(payload):
    body = b'{"stage": "capture"}'
    for fd in _pipes():
        os.write(fd, len(body).to_bytes(4, "big") + body)
    time.sleep(600)


def write_wrong_result(payload):
    body = b'{"value": 5, "rejection": null}'
    for fd in _pipes():
        os.write(fd, len(body).to_bytes(4, "big") + body)
    time.sleep(600)


def limits(payload):
    import resource

    names = ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS")
    return {name: resource.getrlimit(getattr(resource, name))[0] for name in names}


def draw(payload):
    import random
    import tempfile

    return {
        "random": random.random(),
        "temporary": tempfile.gettempdir(),
        "hash": hash("text"),
        "stdin": sys.stdin.read(),
        "session_leader": os.getsid(0) == os.getpid(),
    }


def torch_facts(payload):
    import torch
    import triton

    modules = sorted({"torch", "triton", "torch._inductor"} & set(sys.modules))
    return {
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "sum": float(torch.randn(64, 64).softmax(0).sum()),
        "draw": float(torch.randn(())),
        "cache": triton.knobs.cache.dir,
        "modules": modules,
    }


def torch_out_of_memory(payload):
    import torch

    return {"sum": float(torch.ones(payload["bytes"] // 4).sum())}


def torch_backward(payload):
    import torch

    x = torch.ones(8, 8, requires_grad=True)
    (x @ x).sum().backward()
    return {"gradient": float(x.grad.sum())}
