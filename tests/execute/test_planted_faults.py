"""More planted mistakes, each found with its line, instance and element; and what is none."""

import inspect

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import MemoryFault
from builder.execute import ExecutionOptions, launches_on_cpu, run


def marked_line(kernel, mark="# here"):
    lines, start = inspect.getsourcelines(kernel.fn)
    return start + next(i for i, line in enumerate(lines) if mark in line)


def check_fault(kind, kernel, grid, *args, instance, element, mark="# here", **constants):
    """``element`` is the text of the message's part that says which one of how many."""
    with pytest.raises(MemoryFault) as caught:
        run(kernel, grid, *args, **constants)
    fault = caught.value
    assert fault.kind == kind
    assert fault.kernel == kernel.__name__
    assert fault.line == marked_line(kernel, mark)
    assert f"program instance {instance}" in str(fault)
    assert f"element {element} behind" in str(fault)


def ints(count):
    return torch.zeros(count, dtype=torch.int32)


# Out of bounds


@triton.jit
def copy(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index, index <= n, 0.0)  # here
    tl.store(out + index, value, index < n)


@pytest.mark.parametrize("chunk", [1, 1 << 18])
@pytest.mark.parametrize("seed", [None, 5])
def test_off_by_one_in_the_last_lane_of_the_last_instance(chunk, seed):
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk, permute_seed=seed)):
        x, out = torch.randn(63), torch.zeros(63)
        check_fault(
            "out_of_bounds", copy, (4,), x, out, 63, BLOCK=16,
            instance=(3, 0, 0), element="63 of 63",
        )  # fmt: skip
        run(copy, (4,), x, out, 62, BLOCK=16)
        assert torch.equal(out[:62], x[:62])


@triton.jit
def copy_by_store(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index, index < n, 0.0)
    tl.store(out + index, value, index <= n)  # here


def test_store_off_by_one():
    check_fault(
        "out_of_bounds", copy_by_store, (4,), torch.randn(63), torch.zeros(63), 63, BLOCK=16,
        instance=(3, 0, 0), element="63 of 63",
    )  # fmt: skip


@triton.jit
def histogram(x, bins, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(bins + tl.load(x + index), 1)  # here


@triton.jit
def claims(x, bins, BLOCK: tl.constexpr):
    chosen = tl.load(x + tl.program_id(0))
    tl.atomic_cas(bins + chosen, 0, 1)  # here


@pytest.mark.parametrize("kernel", [histogram, claims])
@pytest.mark.parametrize("wrong", [8, -1])
def test_atomic(kernel, wrong):
    x = ints(32)
    x[16 if kernel is histogram else 1] = wrong
    check_fault(
        "out_of_bounds", kernel, (2,), x, ints(8), BLOCK=16,
        instance=(1, 0, 0), element=f"{wrong} of 8",
    )  # fmt: skip


@triton.jit
def tiles(x, out, rows, columns, CHECK: tl.constexpr):
    source = tl.make_block_ptr(
        x, (rows, columns), (columns, 1), (tl.program_id(0) * 4, 0), (4, 8), (1, 0)
    )
    target = tl.make_block_ptr(
        out, (rows, columns), (columns, 1), (tl.program_id(0) * 4, 0), (4, 8), (1, 0)
    )
    if CHECK:
        value = tl.load(source, boundary_check=(0, 1), padding_option="zero")
    else:
        value = tl.load(source)  # here
    tl.store(target, value, boundary_check=(0, 1))


@pytest.mark.filterwarnings("ignore:tl.make_block_ptr")
def test_block_pointer():
    x, out = torch.randn(6, 8), torch.zeros(6, 8)
    run(tiles, (2,), x, out, 6, 8, CHECK=True)
    assert torch.equal(out, x)
    check_fault(
        "out_of_bounds", tiles, (2,), x, out, 6, 8, CHECK=False,
        instance=(1, 0, 0), element="48 of 48",
    )  # fmt: skip


@triton.jit
def indirect(x, index, out):
    lane = tl.arange(0, 8)
    chosen = tl.load(index + tl.program_id(0) * 8 + lane)
    value = tl.load(x + chosen)  # here
    tl.store(out + tl.program_id(0) * 8 + lane, value)


@pytest.mark.parametrize("wrong", [10, -1, 2**31 - 1, -(2**31)])
def test_gather_through_indices(wrong):
    index = torch.arange(16, dtype=torch.int32) % 10
    index[13] = wrong
    check_fault(
        "out_of_bounds", indirect, (2,), torch.randn(10), index, torch.zeros(16),
        instance=(1, 0, 0), element=f"{wrong} of 10",
    )  # fmt: skip


@triton.jit
def rows_of_a_large_matrix(x, out, stride):
    row = tl.program_id(0) * stride
    value = tl.load(x + row % 4 + (row < 0).to(tl.int32) * row)  # here
    tl.store(out + tl.program_id(0), value)


def test_product_that_leaves_int32():
    """3 · 2**30 wraps to -2**30."""
    check_fault(
        "out_of_bounds", rows_of_a_large_matrix, (4,), torch.randn(4), torch.zeros(4), 1 << 30,
        instance=(2, 0, 0), element=f"{-(1 << 31)} of 4",
    )  # fmt: skip


# Memory that nothing has written


@triton.jit
def fill(out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, index.to(out.dtype.element_ty), index < n)


@triton.jit
def double(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index, index < n)  # here
    tl.store(out + index, value * 2, index < n)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int8, torch.int32, torch.int64, torch.bool]
)
def test_partly_written(dtype):
    with launches_on_cpu():
        x, out = torch.empty(64, dtype=dtype), torch.zeros(64, dtype=dtype)
        run(fill, (4,), x, 49, BLOCK=16)
        run(double, (4,), x, out, 49, BLOCK=16)
        check_fault(
            "uninitialised_read", double, (4,), x, out, 50, BLOCK=16,
            instance=(3, 0, 0), element="49 of 64",
        )  # fmt: skip


@triton.jit
def hands_on(workspace, out):
    pid = tl.program_id(0)
    value = tl.load(workspace + pid + 1, pid < 3, 0.0)  # here
    tl.store(workspace + pid, 1.0)
    tl.store(out + pid, value)


def test_written_by_a_later_instance():
    with launches_on_cpu(ExecutionOptions(chunk_elements=1)):
        check_fault(
            "uninitialised_read", hands_on, (4,), torch.empty(4), torch.zeros(4),
            instance=(0, 0, 0), element="1 of 4",
        )  # fmt: skip


@triton.jit
def counts(counter):
    tl.atomic_add(counter + tl.program_id(0), 1)  # here


def test_atomic_on_fresh_memory():
    with launches_on_cpu():
        counter = torch.empty(4, dtype=torch.int32)
        counter[:2].zero_()
        check_fault(
            "uninitialised_read", counts, (4,), counter, instance=(2, 0, 0), element="2 of 4"
        )


# Races


@triton.jit
def sums_without_atomics(x, out, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(out)  # reads
    tl.store(out, total + tl.sum(tl.load(x + index), 0))  # writes


@triton.jit
def overlapping_tiles(x, out, BLOCK: tl.constexpr):
    index = tl.program_id(0) * (BLOCK - 1) + tl.arange(0, BLOCK)
    tl.store(out + index, tl.program_id(0).to(tl.float32))  # writes


@triton.jit
def reads_its_neighbour(x, out, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    tl.store(out + pid, 1.0)  # writes
    left = tl.load(out + tl.maximum(pid - 1, 0))  # reads
    tl.store(x + pid, left)


@triton.jit
def writes_its_neighbour(x, out, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    right = tl.load(out + pid)  # reads
    tl.store(out + (pid + 1) % 4, right + pid + 1)  # writes


RACES = [sums_without_atomics, overlapping_tiles, reads_its_neighbour, writes_its_neighbour]


@pytest.mark.parametrize("kernel", RACES, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("chunk", [1, 1 << 18])
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_race_in_any_order(kernel, chunk, seed):
    options = ExecutionOptions(chunk_elements=chunk, permute_seed=seed)
    with launches_on_cpu(options), pytest.raises(MemoryFault) as caught:
        run(kernel, (4,), torch.randn(64), torch.zeros(64), BLOCK=16)
    lines, start = inspect.getsourcelines(kernel.fn)
    marked = {start + i for i, line in enumerate(lines) if "# reads" in line or "# writes" in line}
    assert caught.value.kind == "race"
    assert caught.value.line in marked
    assert "program instance (" in str(caught.value)
    assert "of 64 behind 'out'" in str(caught.value)


@triton.jit
def lanes_meet(out):
    lane = tl.arange(0, 16)
    tl.store(out + tl.program_id(0) * 8 + lane % 8, lane)  # here


def test_lanes_of_one_instance():
    check_fault("race", lanes_meet, (2,), ints(16), instance=(0, 0, 0), element="0 of 16")


@triton.jit
def shared_row(out, grid_x):
    x, y, z = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tl.store(out + x + grid_x * z, y)  # here


def test_instance_in_a_grid_of_three_dimensions():
    with launches_on_cpu(ExecutionOptions(chunk_elements=1)):
        check_fault("race", shared_row, (2, 3, 2), ints(4), 2, instance=(0, 1, 0), element="0 of 4")


# No mistakes


@triton.jit
def add_in_place(x, n, stride, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = x + index * stride
    tl.store(place, tl.load(place, index < n) + 1, index < n)


@pytest.mark.parametrize("seed", [None, 4])
def test_in_place_with_padding_lanes(seed):
    x = torch.randn(50)
    expected = x + 1
    with launches_on_cpu(ExecutionOptions(permute_seed=seed, chunk_elements=16)):
        run(add_in_place, (4,), x, 50, 1, BLOCK=16)
    assert torch.equal(x, expected)


def test_views_of_one_storage_that_interleave():
    base = torch.arange(32.0)
    expected = base.clone()
    expected[1::2] = base[::2] * 2
    run(double_strided, (2,), base[::2], base[1::2], 2, 16, BLOCK=8)
    assert torch.equal(base, expected)


@triton.jit
def double_strided(x, out, stride, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index * stride, tl.load(x + index * stride, index < n) * 2, index < n)


def test_column_of_a_matrix_in_place():
    x = torch.zeros(16, 4)
    run(add_in_place, (2,), x[:, 2], 16, 4, BLOCK=8)
    assert x.sum(0).tolist() == [0, 0, 16, 0]


def test_tensors_without_elements():
    empty = torch.empty(0)
    run(copy, (1,), empty, empty, -1, BLOCK=16)
    run(copy, (0,), empty, empty, 0, BLOCK=16)
    with pytest.raises(MemoryFault, match="element 0 of 0"):
        run(copy, (1,), empty, empty, 0, BLOCK=16)


def test_workspace_used_again_by_the_next_launch():
    x = torch.randn(64)
    with launches_on_cpu():
        workspace, out = torch.empty(64), torch.empty(64)
        for _ in range(3):
            run(double, (4,), x, workspace, 64, BLOCK=16)
            run(double, (2,), workspace, out, 64, BLOCK=32)
            x = out.clone()
            run(fill, (1,), workspace, 64, BLOCK=64)
    assert torch.equal(out, x)


@triton.jit
def atomics_only(x, out, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out + index % 4, tl.load(x + index))
    tl.atomic_max(out + 4, tl.max(tl.load(x + index), 0))


def test_atomics_meet():
    x, out = torch.arange(64.0), torch.zeros(5)
    run(atomics_only, (4,), x, out, BLOCK=16)
    assert torch.equal(out[:4], x.view(16, 4).sum(0))
    assert out[4] == 63


@triton.jit
def look_back(x, out, sums, flags, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    index = pid * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index)
    before = 0.0
    if pid > 0:
        while tl.atomic_add(flags + pid - 1, 0, sem="acquire") == 0:
            pass
        before = tl.load(sums + pid - 1)
    tl.store(sums + pid, before + tl.sum(value, 0))
    tl.atomic_xchg(flags + pid, 1, sem="release")
    tl.store(out + index, before + tl.cumsum(value, 0))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_decoupled_look_back(seed):
    x = torch.randint(0, 9, (128,)).float()
    with launches_on_cpu(ExecutionOptions(permute_seed=seed)):
        out, sums = torch.empty(128), torch.empty(8)
        run(look_back, (8,), x, out, sums, ints(8), BLOCK=16)
    assert torch.equal(out, x.cumsum(0))
