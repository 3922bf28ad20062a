"""Grids of instances that may wait for each other."""

import threading

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import ExecutionError
from builder.execute import machine, run


@triton.jit
def locked_sum(lock, total):
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(total, tl.load(total) + 1)
    tl.atomic_xchg(lock, 0)


def test_a_lock_may_serve_more_instances_than_may_wait(monkeypatch):
    monkeypatch.setattr(machine, "_MOST_WAITING", 4)
    total = torch.zeros(1, dtype=torch.int32)
    run(locked_sum, (60,), torch.zeros(1, dtype=torch.int32), total)
    assert total.item() == 60


@triton.jit
def barrier(counter, n):
    tl.atomic_add(counter, 1)
    while tl.atomic_add(counter, 0) < n:
        pass


def test_too_many_that_wait_are_refused(monkeypatch):
    counter = torch.zeros(1, dtype=torch.int32)
    run(barrier, (9,), counter, 9)
    assert counter.item() == 9
    monkeypatch.setattr(machine, "_MOST_WAITING", 4)
    with pytest.raises(ExecutionError, match="more than 4 program instances wait") as caught:
        run(barrier, (9,), torch.zeros(1, dtype=torch.int32), 9)
    assert caught.value.kind == "grid"


def test_a_thread_that_cannot_be_had_is_reported(monkeypatch):
    start, started = threading.Thread.start, []

    def fails_later(thread):
        started.append(thread)
        if len(started) > 5:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fails_later)
    with pytest.raises(ExecutionError, match="can't start new thread; launch a smaller") as caught:
        run(barrier, (9,), torch.zeros(1, dtype=torch.int32), 9)
    assert caught.value.kind == "grid"
    monkeypatch.undo()
    assert not any(thread.is_alive() for thread in started)
