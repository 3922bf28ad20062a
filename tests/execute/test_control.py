"""Branches and loops that differ between program instances, calls, early returns."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import ExecutionOptions, launches_on_cpu, run


@triton.jit
def collatz(out):
    pid = tl.program_id(0)
    value = pid + 1
    steps = 0
    while value != 1:
        if value % 2 == 0:  # noqa: SIM108
            value = value // 2
        else:
            value = 3 * value + 1
        steps += 1
    tl.store(out + pid, steps)


@pytest.mark.parametrize("chunk", [1, 5, 1 << 18])
def test_instances_loop_differently(chunk):
    out = torch.zeros(30, dtype=torch.int32)
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk)):
        run(collatz, (30,), out)

    def steps(value):
        return 0 if value == 1 else 1 + steps(value // 2 if value % 2 == 0 else 3 * value + 1)

    assert out.tolist() == [steps(i + 1) for i in range(30)]


@triton.jit
def triangle(x, out, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for row in range(pid, n, 2):
        total += tl.load(x + row * BLOCK + lane) * (pid + 1)
        if row == 3:
            total += 100
    tl.store(out + pid * BLOCK + lane, total)


def test_trip_counts_differ():
    x, out = torch.randn(7, 16), torch.empty(9, 16)
    run(triangle, (9,), x, out, 7, BLOCK=16)
    for pid in range(9):
        expected = x[pid::2].sum(0) * (pid + 1) + (100 if pid in (1, 3) else 0)
        assert torch.allclose(out[pid], expected, atol=1e-4)


@triton.jit
def foreach(a, b, c, out_a, out_b, out_c, n_a, n_b, n_c, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    blocks_a = tl.cdiv(n_a, BLOCK)
    blocks_b = tl.cdiv(n_b, BLOCK)
    if pid < blocks_a:
        index = pid * BLOCK + tl.arange(0, BLOCK)
        tl.store(out_a + index, tl.load(a + index, index < n_a) * 2, index < n_a)
    elif pid < blocks_a + blocks_b:
        index = (pid - blocks_a) * BLOCK + tl.arange(0, BLOCK)
        tl.store(out_b + index, tl.load(b + index, index < n_b) * 3, index < n_b)
    else:
        index = (pid - blocks_a - blocks_b) * BLOCK + tl.arange(0, BLOCK)
        tl.store(out_c + index, tl.load(c + index, index < n_c) * 4, index < n_c)


def test_each_group_of_instances_has_its_own_tensors():
    tensors = [torch.randn(n) for n in (100, 33, 65)]
    outs = [torch.empty_like(t) for t in tensors]
    run(foreach, (4 + 2 + 3,), *tensors, *outs, 100, 33, 65, BLOCK=32)
    for out, tensor, factor in zip(outs, tensors, (2, 3, 4), strict=True):
        assert torch.equal(out, tensor * factor)


@triton.jit
def chosen_pointer(a, b, out, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    source = a
    if pid % 2 == 1:
        source = b
    lane = tl.arange(0, BLOCK)
    both = tl.where(lane % 2 == 0, source + lane, a + lane)
    tl.store(out + pid * BLOCK + lane, tl.load(both))


def test_pointers_into_different_tensors():
    a, b, out = torch.randn(16), torch.randn(16), torch.empty(3, 16)
    run(chosen_pointer, (3,), a, b, out, BLOCK=16)
    mixed = torch.where(torch.arange(16) % 2 == 0, b, a)
    assert torch.equal(out, torch.stack([a, mixed, a]))


@triton.jit
def early(x, out, n):
    pid = tl.program_id(0)
    if pid >= n:
        return
    if pid == 2:
        tl.store(out + pid, -1.0)
        return
    tl.store(out + pid, tl.load(x + pid))


@pytest.mark.parametrize("permute_seed", [None, 1])
def test_early_return(permute_seed):
    x, out = torch.randn(5), torch.zeros(8)
    with launches_on_cpu(ExecutionOptions(permute_seed=permute_seed)):
        run(early, (8,), x, out, 5)
    expected = torch.cat([x, torch.zeros(3)])
    expected[2] = -1
    assert torch.equal(out, expected)


@triton.jit(noinline=True)
def halve(x, y):
    if x > y:
        return x / 2
    return y / 2


@triton.jit
def calls(x, y, out):
    pid = tl.program_id(0)
    tl.store(out + pid, halve(tl.load(x + pid), tl.load(y + pid)))


def test_functions_that_are_not_inlined():
    x, y, out = torch.randn(20), torch.randn(20), torch.empty(20)
    run(calls, (20,), x, y, out)
    assert torch.equal(out, torch.maximum(x, y) / 2)


@triton.jit
def nested(out, n):
    pid = tl.program_id(0)
    total = 0
    for i in range(pid):
        for j in range(i):
            if (i + j) % 3 == pid % 3:
                total += i * j
    tl.store(out + pid, total)


def test_nested_loops():
    out = torch.zeros(12, dtype=torch.int32)
    run(nested, (12,), out, 12)
    expected = [
        sum(i * j for i in range(p) for j in range(i) if (i + j) % 3 == p % 3) for p in range(12)
    ]
    assert out.tolist() == expected


@triton.jit
def persistent(x, out, tiles, n, BLOCK: tl.constexpr):
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        index = tile * BLOCK + tl.arange(0, BLOCK)
        mask = index < n
        tl.store(out + index, tl.load(x + index, mask) + tile, mask)


def test_persistent_loops():
    x, out = torch.randn(200), torch.empty(200)
    run(persistent, (3,), x, out, 7, 200, BLOCK=32)
    assert torch.equal(out, x + torch.arange(200) // 32)


@triton.jit
def wide_indices(x, out, n, stride, BLOCK: tl.constexpr):
    index = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64) * stride
    tl.store(out + index, tl.load(x + index, index < n) + 1, index < n)


def test_wide_indices():
    x, out = torch.randn(1000), torch.zeros(1000)
    run(wide_indices, (10,), x, out, 1000, 3, BLOCK=64)
    expected = torch.zeros(1000)
    expected[::3] = x[::3] + 1
    assert torch.equal(out, expected)


@triton.jit
def masked_out(x, out, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    nothing = lane < 0
    value = tl.load(x + lane, nothing)
    tl.store(out + lane, tl.load(x + lane, nothing, other=5.0))
    tl.store(out + lane, value, nothing)


def test_loads_without_active_lanes():
    out = torch.zeros(16)
    run(masked_out, (1,), torch.randn(0), out, BLOCK=16)
    assert torch.equal(out, torch.full((16,), 5.0))
