"""Atomics: their results, their order, and what they order."""

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import ExecutionError, MemoryFault
from builder.execute import ExecutionOptions, launches_on_cpu, run


@triton.jit
def scatter_add(index, x, out, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    place = tl.load(index + lane, mask)
    tl.atomic_add(out + place, tl.load(x + lane, mask), mask, sem="relaxed")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int32, torch.int64, torch.bfloat16]
)
def test_colliding_sums(dtype):
    index = torch.randint(0, 5, (100,))
    x = torch.randint(-9, 9, (100,)).to(dtype)
    out = torch.zeros(5, dtype=dtype)
    run(scatter_add, (4,), index, x, out, 100, BLOCK=32)
    assert torch.equal(out, torch.zeros(5, dtype=dtype).index_add(0, index, x))


@triton.jit
def tickets(counter, out):
    out_place = tl.program_id(0)
    tl.store(out + out_place, tl.atomic_add(counter, 1))


@pytest.mark.parametrize("chunk", [1, 4, 1 << 18])
def test_old_values_are_all_different(chunk):
    counter, out = torch.zeros(1, dtype=torch.int32), torch.zeros(50, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk)):
        run(tickets, (50,), counter, out)
    assert counter.item() == 50
    assert sorted(out.tolist()) == list(range(50))


@triton.jit
def several(x, out, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    value = tl.load(x + lane, mask)
    zero = tl.zeros([BLOCK], tl.int32)
    tl.atomic_max(out + zero, value, mask)
    tl.atomic_min(out + 1 + zero, value, mask)
    tl.atomic_and(out + 2 + zero, value, mask)
    tl.atomic_or(out + 3 + zero, value, mask)
    tl.atomic_xor(out + 4 + zero, value, mask)


def test_integer_updates():
    x = torch.randint(-1000, 1000, (70,), dtype=torch.int32)
    out = torch.tensor([-5000, 5000, -1, 0, 0], dtype=torch.int32)
    run(several, (3,), x, out, 70, BLOCK=32)
    conjunction, disjunction, parity = -1, 0, 0
    for value in x.tolist():
        conjunction &= value
        disjunction |= value
        parity ^= value
    assert out.tolist() == [max(x.tolist()), min(x.tolist()), conjunction, disjunction, parity]


@triton.jit
def float_extremes(x, out, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n)
    zero = tl.zeros([BLOCK], tl.int32)
    tl.atomic_max(out + zero, value, lane < n)
    tl.atomic_min(out + 1 + zero, value, lane < n)


def test_float_extremes_by_integer_updates():
    x = torch.randn(100)
    out = torch.tensor([-1e9, 1e9])
    run(float_extremes, (4,), x, out, 100, BLOCK=32)
    assert out.tolist() == [x.max().item(), x.min().item()]


@triton.jit
def scalar_sum(out):
    tl.atomic_add(out, 1.0)


def test_every_instance_updates_once():
    out = torch.zeros(1)
    run(scalar_sum, (37,), out)
    assert out.item() == 37


def test_updates_of_unwritten_memory():
    with launches_on_cpu():
        out = torch.empty(1)
        with pytest.raises(MemoryFault, match="nothing has written it before"):
            run(scalar_sum, (37,), out)


@triton.jit
def locked(lock, total, n):
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(total, tl.load(total) + tl.program_id(0))
    tl.atomic_xchg(lock, 0)


@pytest.mark.parametrize("permute_seed", [None, 4])
def test_locks(permute_seed):
    lock, total = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)):
        run(locked, (20,), lock, total, 20)
    assert total.item() == sum(range(20))


@triton.jit
def unlocked(total):
    tl.store(total, tl.load(total) + 1)


def test_without_the_lock_it_is_a_race():
    with pytest.raises(MemoryFault) as caught:
        run(unlocked, (20,), torch.zeros(1, dtype=torch.int32))
    assert caught.value.kind == "race"


@triton.jit
def barrier(counter, x, out, n):
    pid = tl.program_id(0)
    tl.store(x + pid, pid * 10)
    tl.atomic_add(counter, 1)
    while tl.atomic_add(counter, 0) < n:
        pass
    tl.store(out + pid, tl.load(x + (pid + 1) % n))


@pytest.mark.parametrize("permute_seed", [None, 0])
def test_instances_that_wait_for_each_other(permute_seed):
    x, out = torch.zeros(9, dtype=torch.int32), torch.zeros(9, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)):
        run(barrier, (9,), torch.zeros(1, dtype=torch.int32), x, out, 9)
    assert out.tolist() == [10 * ((pid + 1) % 9) for pid in range(9)]


@triton.jit
def never(counter):
    while tl.atomic_add(counter, 0) == 0:
        pass


def test_waiting_for_ever():
    options = ExecutionOptions(instruction_budget=500)
    with launches_on_cpu(options), pytest.raises(ExecutionError) as caught:
        run(never, (3,), torch.zeros(1, dtype=torch.int32))
    assert caught.value.kind == "budget"


@triton.jit
def last_one_sums(x, partial, counter, out, n, SYNCHRONISED: tl.constexpr, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    tl.store(partial + pid, tl.sum(tl.load(x + pid * BLOCK + lane)))
    if SYNCHRONISED:
        done = tl.atomic_add(counter, 1, sem="acq_rel")
    else:
        done = tl.atomic_add(counter, 1, sem="relaxed")
    if done == n - 1:
        tl.store(out, tl.sum(tl.load(partial + lane, lane < n, other=0.0)))


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_the_last_instance_may_read_what_others_released(chunk):
    x, out = torch.randn(6, 16), torch.zeros(1)
    counter = torch.zeros(1, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk)):
        partial = torch.empty(6)
        run(last_one_sums, (6,), x, partial, counter, out, 6, SYNCHRONISED=True, BLOCK=16)
    assert torch.allclose(out, x.sum().reshape(1), atol=1e-5)


def test_relaxed_atomics_order_nothing():
    x, out = torch.randn(6, 16), torch.zeros(1)
    counter = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(MemoryFault) as caught:
        run(last_one_sums, (6,), x, torch.zeros(6), counter, out, 6, SYNCHRONISED=False, BLOCK=16)
    assert caught.value.kind == "race"


@triton.jit
def clears_and_adds(out):
    if tl.program_id(0) == 0:
        tl.store(out, 0.0)
    tl.atomic_add(out, 1.0, sem="relaxed")


def test_plain_stores_against_atomics_are_races():
    with pytest.raises(MemoryFault) as caught:
        run(clears_and_adds, (4,), torch.zeros(1))
    assert caught.value.kind == "race"
