"""Kernels that never end are stopped by the instruction budget, wherever they hang."""

import inspect

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import ExecutionError
from builder.execute import ExecutionOptions, launches_on_cpu, run


@triton.jit
def endless(x, n):
    total = 0.0
    while n > 0:
        total += tl.load(x)
    tl.store(x, total)


@triton.jit
def counts_far(x, n):
    total = 0.0
    for _ in range(n * 1000000000):
        total += tl.load(x)
    tl.store(x, total)


@triton.jit
def only_swaps(x, n):
    left, right = tl.load(x), tl.load(x + 1)
    for _ in range(n * 1000000000):
        left, right = right, left
    tl.store(x, left)


@triton.jit
def nested_loops(x, n):
    total = 0.0
    for _ in range(n * 1000):
        for _ in range(n * 1000):
            for _ in range(n * 1000):
                total += tl.load(x)
    tl.store(x, total)


@triton.jit
def some_instances_only(x, n):
    trips = tl.where(tl.program_id(0) == 2, n * 1000000000, 1)
    total = 0.0
    for _ in range(trips):
        total += tl.load(x)
    tl.store(x + tl.program_id(0), total)


@triton.jit(noinline=True)
def helper(x, n):
    total = 0.0
    while n > 0:
        total += tl.load(x)
    return total


@triton.jit
def in_a_called_function(x, n):
    tl.store(x, helper(x, n))


@triton.jit
def waits_for_nobody(x, n):
    flag = x.to(tl.pointer_type(tl.int32))
    while tl.atomic_add(flag, 0) == 0:
        pass
    tl.store(x + 1 + tl.program_id(0), n)


@triton.jit
def waits_for_an_instance_that_is_not_there(x, n):
    flag = x.to(tl.pointer_type(tl.int32))
    tl.atomic_add(flag, 1)
    while tl.atomic_add(flag, 0) < 4 + n:
        pass


@triton.jit
def waits_for_a_lock(x, n):
    lock = x.to(tl.pointer_type(tl.int32))
    while tl.atomic_cas(lock, 0, 1) != 0:
        pass
    tl.store(x + 1, n)


ENDLESS = [
    endless, counts_far, only_swaps, nested_loops, some_instances_only,
    in_a_called_function, waits_for_nobody, waits_for_an_instance_that_is_not_there,
    waits_for_a_lock,
]  # fmt: skip


def lines_of(*kernels):
    ranges = [inspect.getsourcelines(kernel.fn) for kernel in kernels]
    return {start + i for lines, start in ranges for i in range(len(lines))}


@pytest.mark.parametrize("kernel", ENDLESS, ids=lambda kernel: kernel.__name__)
def test_stopped(kernel):
    options = ExecutionOptions(instruction_budget=5000)
    with launches_on_cpu(options), pytest.raises(ExecutionError) as caught:
        run(kernel, (4,), torch.zeros(8), 2)
    error = caught.value
    assert error.kind == "budget"
    assert error.kernel == kernel.__name__
    assert error.line in lines_of(kernel, helper)
    assert "5000 instructions" in str(error)


@triton.jit(noinline=True)
def calls_itself(x, n):
    if n > 0:
        calls_itself(x, n)
    tl.store(x, n)


@triton.jit
def recursive(x, n):
    calls_itself(x, n)


def test_recursion_ends():
    """Triton's front end or the budget refuses it; it never hangs or ends the process."""
    options = ExecutionOptions(instruction_budget=5000)
    with launches_on_cpu(options), pytest.raises(ExecutionError) as caught:
        run(recursive, (1,), torch.zeros(8), 2)
    assert caught.value.kind in ("compile", "budget")
    assert caught.value.kernel == "recursive"


def test_within_the_budget():
    with launches_on_cpu(ExecutionOptions(instruction_budget=5000)) as trace:
        run(endless, (4,), torch.zeros(8), 0)
        run(nested_loops, (4,), torch.zeros(8), 0)
    assert 0 < trace.instructions < 200
