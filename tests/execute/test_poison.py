"""Lanes that a masked load without ``other`` leaves out are undefined; using them is an error."""

import inspect

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import MemoryFault
from builder.execute import ExecutionOptions, launches_on_cpu, run


@triton.jit
def by_maximum(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + tl.program_id(0), tl.max(tl.load(x + lane, lane < n), 0))  # stored


@triton.jit
def by_address(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    index = tl.load(x + lane, lane < n).to(tl.int32)
    tl.store(out + index, 1.0)  # stored


@triton.jit
def by_branch(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    if tl.sum(tl.load(x + lane, lane < n), 0) > 0:  # branches
        tl.store(out, 1.0)


@triton.jit
def by_loop(x, out, n, BLOCK: tl.constexpr):
    trips = tl.load(x, n > 100).to(tl.int32)
    for i in range(trips):  # branches
        tl.store(out + i, 1.0)


@triton.jit
def by_mask(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane, 1.0, tl.load(x + lane, lane < n) > 0)  # stored


@triton.jit
def by_scan(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    total = tl.cumsum(tl.load(x + lane, lane < n), 0)
    tl.store(out + lane, total, lane <= n)  # stored


@triton.jit
def by_product(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    place = lane[:, None] * BLOCK + lane[None, :]
    value = tl.load(x + place, lane[None, :] < n)
    tl.store(out + place, tl.dot(value, value))  # stored


@triton.jit
def by_assertion(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.device_assert(tl.load(x + lane, lane < n) < 1e9, "too large")  # asserts


@triton.jit
def by_atomic_value(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.atomic_add(out + lane, tl.load(x + lane, lane < n))  # updates


@triton.jit
def by_atomic_mask(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    chosen = tl.load(x + lane, lane < n) > 0
    tl.atomic_max(out + lane, 1.0, mask=chosen)  # updates


@triton.jit
def by_exchange(x, out, n, BLOCK: tl.constexpr):
    value = tl.load(x, n >= BLOCK).to(tl.int32)
    tl.atomic_cas(out.to(tl.pointer_type(tl.int32)), 0, value)  # updates


@triton.jit
def by_condition(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane, tl.where(tl.load(x + lane, lane < n) > 0, 1.0, 2.0))  # stored


@triton.jit
def by_address_of_a_load(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    index = tl.load(x + lane, lane < n).to(tl.int32)
    value = tl.load(x + index)  # reads
    tl.store(out + lane, value, lane < n)


@triton.jit
def by_reduction_nobody_uses_at_once(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    total = tl.sum(tl.load(x + lane, lane < n), 0)  # reduced
    total = tl.where(n > 100, total, total * 2)
    tl.store(out, total)


@triton.jit
def by_place_of_the_largest(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    place = tl.argmax(tl.load(x + lane, lane < n), 0)  # reduced
    tl.store(out, place.to(tl.float32))


@triton.jit
def by_while(x, out, n, BLOCK: tl.constexpr):
    limit = tl.load(x, n >= BLOCK)
    i = 0
    while i < limit:  # branches
        tl.store(out + i, 1.0)
        i += 1


@triton.jit
def by_backward_scan(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    total = tl.cumsum(tl.load(x + lane, lane < n), 0, reverse=True)
    tl.store(out + lane, total, lane == 0)  # stored


@triton.jit
def by_accumulator(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    place = lane[:, None] * BLOCK + lane[None, :]
    value = tl.load(x + place)
    start = tl.load(x + place, lane[None, :] < n)
    tl.store(out + place, tl.dot(value, value, start))  # stored


WRONG = [
    by_maximum, by_address, by_branch, by_loop, by_mask, by_scan, by_product, by_assertion,
    by_atomic_value, by_atomic_mask, by_exchange, by_condition, by_address_of_a_load,
    by_reduction_nobody_uses_at_once, by_place_of_the_largest, by_while, by_backward_scan,
    by_accumulator,
]  # fmt: skip


@pytest.mark.parametrize("kernel", WRONG, ids=lambda kernel: kernel.__name__)
def test_use_is_an_error(kernel):
    with pytest.raises(MemoryFault) as caught:
        run(kernel, (1,), torch.ones(256), torch.zeros(256), 10, BLOCK=16)
    fault = caught.value
    assert fault.kind == "poison"
    lines, start = inspect.getsourcelines(kernel.fn)
    marked = [start + i for i, line in enumerate(lines) if "# " in line]
    assert fault.line in marked
    assert "`other`" in str(fault)


@pytest.mark.parametrize("kernel", WRONG, ids=lambda kernel: kernel.__name__)
def test_without_masked_lanes_there_is_none(kernel):
    n = 1000 if kernel is by_loop else 16
    run(kernel, (1,), torch.ones(256), torch.zeros(256), n, BLOCK=16)


@triton.jit
def right_uses(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    mask = lane < n
    value = tl.load(x + lane, mask)
    tl.store(out + lane, value * 2 + 1, mask)
    tl.store(out + BLOCK, tl.sum(tl.where(mask, value, 0.0), 0))
    positive = mask & (value > 0)
    tl.store(out + BLOCK + 1, tl.sum(positive.to(tl.int32), 0))
    tl.device_assert((value < 1e9) | ~mask, "too large")
    index = tl.load(x + lane, mask).to(tl.int32)
    tl.store(out + 32 + lane, tl.load(x + index, mask), mask)
    half = tl.load(x + lane, lane < BLOCK // 2)
    rows = tl.reshape(half, [2, BLOCK // 2])
    tl.store(out + 64 + tl.arange(0, 2), tl.max(rows, 1), tl.arange(0, 2) < n // 8)
    whole = value.to(tl.int32)
    kept = tl.sum(whole * mask.to(tl.int32), 0)
    tl.store(out + BLOCK + 2, kept)


def test_left_behind_in_time():
    x, out = torch.arange(16.0), torch.zeros(80)
    run(right_uses, (1,), x, out, 10, BLOCK=16)
    assert torch.equal(out[:10], x[:10] * 2 + 1)
    assert out[16:19].tolist() == [45.0, 9.0, 45.0]
    assert torch.equal(out[32:42], x[:10])
    assert out[64:66].tolist() == [7.0, 0.0]


@triton.jit
def left_behind(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    place = lane[:, None] * BLOCK + lane[None, :]
    inside = lane < n
    value = tl.load(x + lane, inside)
    chosen = tl.where(inside, value, 0.0)
    tl.store(out + lane, chosen)
    tl.store(out + BLOCK + lane, tl.cumsum(chosen, 0))
    tl.store(out + 2 * BLOCK + lane, tl.cumsum(value, 0), inside)
    tl.atomic_add(out + 3 * BLOCK + lane, value, mask=inside)
    rows = tl.load(x + place, inside[:, None])
    product = tl.dot(rows, tl.load(x + place))
    tl.store(out + 4 * BLOCK + place, product, inside[:, None])
    tl.store(out + 20 * BLOCK + lane, tl.sum(rows, 1), inside)
    if tl.sum(tl.where(inside, value, 0.0), 0) > 0:
        tl.store(out + 21 * BLOCK, 1.0)
    index = tl.where(inside, value.to(tl.int32), 0)
    tl.store(out + 22 * BLOCK + lane, tl.load(x + index))


def test_selected_away_or_masked():
    x, out = torch.arange(256.0) % 16, torch.zeros(16 * 23)
    run(left_behind, (1,), x, out, 10, BLOCK=16)
    kept = torch.where(torch.arange(16) < 10, x[:16], 0.0)
    square = x.view(16, 16)
    parts = out.view(23, 16)
    assert torch.equal(parts[0], kept)
    assert torch.equal(parts[1], kept.cumsum(0))
    assert torch.equal(parts[2, :10], x[:10].cumsum(0))
    assert torch.equal(parts[3], kept)
    assert torch.equal(parts[4:14], (square @ square)[:10])
    assert not parts[14:20].any()
    assert torch.equal(parts[20, :10], square.sum(1)[:10])
    assert parts[21, 0] == 1
    assert torch.equal(parts[22], x[kept.long()])


@triton.jit
def bisect(x, borders, out, n, count, BLOCK: tl.constexpr, STEPS: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n)
    low = tl.zeros([BLOCK], tl.int32)
    high = tl.full([BLOCK], count, tl.int32)
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        inside = middle < count
        border = tl.load(borders + middle, inside, other=0.0)
        above = value > border
        low = tl.where(above & inside, middle + 1, low)
        high = tl.where(above, high, middle)
    tl.store(out + lane, low, lane < n)


def test_bisection_in_lanes_nobody_looks_at():
    x, borders = torch.randn(10), torch.randn(13).sort().values
    out = torch.zeros(10, dtype=torch.int32)
    run(bisect, (1,), x, borders, out, 10, 13, BLOCK=16, STEPS=5)
    assert torch.equal(out.long(), torch.bucketize(x, borders))


@triton.jit
def in_some_instances(x, out, n, WHERE: tl.constexpr, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    lane = pid * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n)
    if pid > 0:
        value = value + 1
    total = tl.zeros([BLOCK], tl.float32)
    for _ in range(pid + 1):
        total += value
    if WHERE:
        total = tl.where(lane < n, total, 0.0)
    tl.store(out + pid, tl.sum(total, 0))


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_through_branches_and_loops(chunk):
    x, out = torch.randn(40), torch.zeros(3)
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk)):
        run(in_some_instances, (3,), x, out, 40, WHERE=True, BLOCK=16)
        expected = [x[:16].sum(), (x[16:32] + 1).sum() * 2, (x[32:] + 1).sum() * 3]
        assert torch.allclose(out, torch.stack(expected), atol=1e-4)
        with pytest.raises(MemoryFault, match=r"instance \(2, 0, 0\)"):
            run(in_some_instances, (3,), x, out, 40, WHERE=False, BLOCK=16)


@triton.jit
def swapped_far(x, out, DISTANCE: tl.constexpr, N: tl.constexpr):
    lane = tl.arange(0, N)
    value = tl.load(x + lane)
    other = tl.gather(value, lane ^ DISTANCE, 0)
    tl.store(out + lane, tl.maximum(value, other))


def test_a_gather_beyond_its_block_gives_nothing():
    x, out = torch.arange(16.0), torch.zeros(16)
    run(swapped_far, (1,), x, out, DISTANCE=8, N=16)
    assert out.tolist() == [8, 9, 10, 11, 12, 13, 14, 15] * 2
    with pytest.raises(MemoryFault) as caught:
        run(swapped_far, (1,), x, out, DISTANCE=16, N=16)
    assert caught.value.kind == "poison"


@triton.jit
def chosen_near(x, out, N: tl.constexpr):
    lane = tl.arange(0, N)
    value = tl.load(x + lane)
    following = tl.gather(value, lane + 1, 0)
    tl.store(out + lane, tl.where(lane < N - 1, following, 0.0))


def test_what_a_gather_finds_beyond_its_block_may_be_selected_away():
    x, out = torch.arange(16.0), torch.zeros(16)
    run(chosen_near, (1,), x, out, N=16)
    assert out.tolist() == [*range(1, 16), 0]
