"""Hints that do not hold are errors, with the kernel's line and the value that breaks them."""

import inspect

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import ExecutionError
from builder.execute import ExecutionOptions, launches_on_cpu, run


def marked_line(kernel, mark="# here"):
    lines, start = inspect.getsourcelines(kernel.fn)
    return start + next(i for i, line in enumerate(lines) if mark in line)


def check_false_hint(kernel, grid, *args, instance, says, **constants):
    with pytest.raises(ExecutionError) as caught:
        run(kernel, grid, *args, **constants)
    error = caught.value
    assert error.kind == "false_hint"
    assert error.kernel == kernel.__name__
    assert error.line == marked_line(kernel)
    assert f"program instance {instance}" in str(error)
    for part in says:
        assert part in str(error)


@triton.jit
def blocks(x, out, STRIDE: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0) * STRIDE
    index = start + tl.arange(0, BLOCK)  # here
    index = tl.max_contiguous(tl.multiple_of(index, V), C)
    tl.store(out + index, tl.load(x + index))


def test_true_hints_change_nothing():
    x, out = torch.randn(64), torch.zeros(64)
    run(blocks, (4,), x, out, STRIDE=16, V=16, C=16, BLOCK=16)
    assert torch.equal(out, x)


def test_hint_wider_than_the_block():
    x, out = torch.randn(64), torch.zeros(64)
    run(blocks, (4,), x, out, STRIDE=16, V=16, C=128, BLOCK=16)
    assert torch.equal(out, x)


@pytest.mark.parametrize("chunk", [1, 1 << 18])
@pytest.mark.parametrize("seed", [None, 3])
def test_multiple_in_one_instance_only(chunk, seed):
    """Only instance 1 starts at no multiple of 16, whichever way instances are run."""
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk, permute_seed=seed)):
        check_false_hint(
            blocks, (2,), torch.randn(64), torch.zeros(64), STRIDE=8, V=16, C=16, BLOCK=16,
            instance=(1, 0, 0), says=["tl.multiple_of(..., 16)", "8 is no multiple of 16", "(0,)"],
        )  # fmt: skip


@triton.jit
def strided(x, out, step, C: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK) * step  # here
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + tl.max_contiguous(index, C)))


def test_contiguous():
    x, out = torch.randn(64), torch.zeros(16)
    run(strided, (1,), x, out, 1, C=16, BLOCK=16)
    run(strided, (1,), x, out, 3, C=1, BLOCK=16)
    check_false_hint(
        strided, (1,), x, out, 3, C=4, BLOCK=16, instance=(0, 0, 0),
        says=["tl.max_contiguous(..., 4)", "3 comes after 0", "element (1,)"],
    )  # fmt: skip


@triton.jit
def jumps(x, out, C: tl.constexpr):
    lane = tl.arange(0, 16)
    index = lane + (lane // 8) * 16  # here
    tl.store(out + lane, tl.load(x + tl.max_contiguous(index, C)))


def test_contiguous_in_runs():
    x, out = torch.randn(64), torch.zeros(16)
    run(jumps, (1,), x, out, C=8)
    assert torch.equal(out, torch.cat([x[:8], x[24:32]]))
    says = ["24 comes after 7", "element (8,)"]
    check_false_hint(jumps, (1,), x, out, C=16, instance=(0, 0, 0), says=says)


@triton.jit
def repeated(x, out, times, C: tl.constexpr):
    lane = tl.arange(0, 16)
    index = lane // times  # here
    tl.store(out + lane, tl.load(x + tl.max_constancy(index, C)))


def test_constancy():
    x, out = torch.randn(16), torch.zeros(16)
    run(repeated, (1,), x, out, 4, C=4)
    run(repeated, (1,), x, out, 4, C=2)
    says = ["tl.max_constancy(..., 8)", "1 comes after 0", "element (4,)"]
    check_false_hint(repeated, (1,), x, out, 4, C=8, instance=(0, 0, 0), says=says)


@triton.jit
def constant_floats(x, out, C: tl.constexpr):
    lane = tl.arange(0, 8)
    value = tl.load(x + lane)  # here
    tl.store(out + lane, tl.max_constancy(value, C))


def test_constancy_of_loaded_values():
    out = torch.zeros(8)
    run(constant_floats, (1,), torch.tensor([1.0, 1, 2, 2, 3, 3, 4, 4]), out, C=2)
    run(constant_floats, (1,), torch.full((8,), torch.nan), out, C=8)
    x = torch.tensor([1.0, 1, 2, 2, 3, 3, 4, 5])
    says = ["5.0 comes after 4.0", "element (7,)"]
    check_false_hint(constant_floats, (1,), x, out, C=2, instance=(0, 0, 0), says=says)


@triton.jit
def tile(x, out, stride, V: tl.constexpr):
    row, lane = tl.arange(0, 4), tl.arange(0, 16)
    index = row[:, None] * stride + lane[None, :]  # here
    index = tl.max_contiguous(tl.multiple_of(index, (1, V)), (1, 16))
    tl.store(out + row[:, None] * 16 + lane[None, :], tl.load(x + index))


def test_dimensions_have_hints_of_their_own():
    x, out = torch.randn(128), torch.zeros(64)
    run(tile, (1,), x, out, 16, V=16)
    run(tile, (1,), x, out, 24, V=8)
    says = ["tl.multiple_of(..., [1, 16])", "24 is no multiple of 16", "element (1, 0)"]
    check_false_hint(tile, (1,), x, out, 24, V=16, instance=(0, 0, 0), says=says)


@triton.jit
def multiple_alone(x, out, start):
    index = start + tl.arange(0, 16)  # here
    tl.store(out + tl.arange(0, 16), tl.load(x + tl.multiple_of(index, 16)))


def test_multiples_count_from_where_a_run_starts():
    x, out = torch.randn(64), torch.zeros(16)
    run(multiple_alone, (1,), x, out, 32)
    says = ["33 is no multiple of 16", "element (0,)"]
    check_false_hint(multiple_alone, (1,), x, out, 33, instance=(0, 0, 0), says=says)


@triton.jit
def scalar(out):
    pid = tl.program_id(0)
    start = pid * 6  # here
    tl.store(out + tl.multiple_of(start, 4), 1.0)


def test_scalars():
    run(scalar, (1,), torch.zeros(32))
    says = ["6 is no multiple of 4"]
    check_false_hint(scalar, (3,), torch.zeros(32), instance=(1, 0, 0), says=says)


@triton.jit
def pointers(x, out, start, V: tl.constexpr, C: tl.constexpr):
    place = x + start + tl.arange(0, 8)  # here
    place = tl.max_contiguous(tl.multiple_of(place, V), C)
    tl.store(out + tl.arange(0, 8), tl.load(place))


def test_pointers_count_in_bytes():
    x, out = torch.randn(32), torch.zeros(8)
    run(pointers, (1,), x, out, 4, V=16, C=8)
    run(pointers, (1,), x[4:], out, 0, V=16, C=8)
    for base, start in ((x, 5), (x[5:], 0), (x[4:], 1)):
        says = ["tl.multiple_of(..., 16)", "byte address 0x", "is no multiple of 16"]
        check_false_hint(pointers, (1,), base, out, start, V=16, C=8, instance=(0, 0, 0), says=says)


def test_memory_is_aligned_as_the_allocator_does():
    x, out = torch.randn(512), torch.zeros(8)
    run(pointers, (1,), x, out, 128, V=512, C=8)
    says = ["is no multiple of 1024"]
    check_false_hint(pointers, (1,), x, out, 0, V=1024, C=8, instance=(0, 0, 0), says=says)


@triton.jit
def masked_lanes(x, out, n, V: tl.constexpr):
    lane = tl.arange(0, 16)
    index = tl.where(lane < n, lane * 4, 2)  # here
    tl.store(out + lane, tl.load(x + tl.multiple_of(index, V), lane < n, 0.0), lane < n)


def test_hints_hold_in_masked_lanes_too():
    x, out = torch.randn(64), torch.zeros(16)
    run(masked_lanes, (1,), x, out, 16, V=4)
    says = ["2 is no multiple of 4", "element (10,)"]
    check_false_hint(masked_lanes, (1,), x, out, 10, V=4, instance=(0, 0, 0), says=says)


@triton.jit
def undefined_lanes(index, x, out, n):
    lane = tl.arange(0, 16)
    place = tl.load(index + lane, lane < n)  # here
    place = tl.multiple_of(place, 4)
    tl.store(out + lane, tl.load(x + place, lane < n), lane < n)


@triton.jit
def derived_undefined_lanes(index, x, out, n):
    lane = tl.arange(0, 16)
    place = tl.load(index + lane, lane < n)
    place = tl.multiple_of(place * 2, 8)  # here
    tl.store(out + lane, tl.load(x + place, lane < n), lane < n)


@pytest.mark.parametrize("kernel", [undefined_lanes, derived_undefined_lanes])
def test_hints_say_nothing_of_undefined_lanes(kernel):
    x, out = torch.randn(128), torch.zeros(16)
    index = torch.arange(16, dtype=torch.int32) * 4
    run(kernel, (1,), index, x, out, 10)
    index[9] = 37
    with pytest.raises(ExecutionError) as caught:
        run(kernel, (1,), index, x, out, 10)
    assert (caught.value.kind, caught.value.line) == ("false_hint", marked_line(kernel))
    assert "element (9,)" in str(caught.value)


@triton.jit
def assumes(out, stride, limit):
    pid = tl.program_id(0)
    tl.assume(pid * stride < limit)  # here
    tl.store(out + pid, 1.0)


def test_assume():
    run(assumes, (4,), torch.zeros(4), 3, 10)
    says = ["tl.assume", "12 and 10"]
    check_false_hint(assumes, (5,), torch.zeros(8), 3, 10, instance=(4, 0, 0), says=says)


@triton.jit
def assumes_in_a_branch(out, n):
    pid = tl.program_id(0)
    if pid < n:
        tl.assume(pid < 2)  # here
        tl.store(out + pid, 1.0)


def test_only_what_runs_must_hold():
    run(assumes_in_a_branch, (4,), torch.zeros(4), 2)
    check_false_hint(assumes_in_a_branch, (4,), torch.zeros(4), 3, instance=(2, 0, 0), says=[])


@triton.jit
def in_a_loop(x, out, trips, step):
    total = tl.zeros([8], tl.float32)
    for i in range(trips):
        start = i * step  # here
        total += tl.load(x + tl.multiple_of(start, 8) + tl.arange(0, 8))
    tl.store(out + tl.arange(0, 8), total)


def test_a_later_pass_of_a_loop():
    x, out = torch.randn(64), torch.zeros(8)
    run(in_a_loop, (1,), x, out, 4, 8)
    run(in_a_loop, (1,), x, out, 1, 4)
    says = ["4 is no multiple of 8"]
    check_false_hint(in_a_loop, (1,), x, out, 2, 4, instance=(0, 0, 0), says=says)


def test_alignment_of_arguments_is_that_of_what_is_given():
    """Triton specialises on the address, so a view that starts anywhere is no false claim."""
    x, out = torch.randn(65), torch.zeros(65)
    run(blocks, (4,), x[1:], out[1:], STRIDE=16, V=16, C=16, BLOCK=16)
    assert torch.equal(out[1:], x[1:])
