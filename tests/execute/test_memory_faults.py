"""Planted mistakes are found, with the kernel's line and the program instance."""

import inspect

import pytest
import torch
import triton
import triton.language as tl

from builder.errors import ExecutionError, MemoryFault
from builder.execute import ExecutionOptions, launches_on_cpu, run


def line_of(kernel, text):
    """Line number in this file of the kernel's line that contains the text."""
    lines, start = inspect.getsourcelines(kernel.fn)
    return start + next(i for i, line in enumerate(lines) if text in line)


@triton.jit
def copy_without_mask(x, out, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index)  # reads
    tl.store(out + index, value)  # writes


def test_read_behind_the_end():
    x, out = torch.randn(100), torch.empty(128)
    with pytest.raises(MemoryFault) as caught:
        run(copy_without_mask, (2,), x, out, BLOCK=64)
    fault = caught.value
    assert fault.kind == "out_of_bounds"
    assert fault.kernel == "copy_without_mask"
    assert fault.line == line_of(copy_without_mask, "# reads")
    assert "instance (1, 0, 0)" in str(fault)
    assert "element 100 of 100" in str(fault)


def test_write_behind_the_end():
    with pytest.raises(MemoryFault) as caught:
        run(copy_without_mask, (2,), torch.randn(128), torch.empty(127), BLOCK=64)
    assert caught.value.line == line_of(copy_without_mask, "# writes")
    assert "'out'" in str(caught.value)


def test_inside_the_storage_is_inside():
    base = torch.randn(128)
    out = torch.empty(128)
    run(copy_without_mask, (1,), base[:10], out, BLOCK=64)
    assert torch.equal(out[:64], base[:64])


def test_view_with_an_offset_is_measured_from_its_storage():
    base, out = torch.randn(128), torch.empty(64)
    run(copy_without_mask, (1,), base[64:], out, BLOCK=64)
    assert torch.equal(out, base[64:])
    with pytest.raises(MemoryFault, match="element 128 of 128"):
        run(copy_without_mask, (1,), base[65:], out, BLOCK=64)


@triton.jit
def read_before(x, out, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + index - 1))


def test_read_before_the_start():
    with pytest.raises(MemoryFault, match="element -1 of 8"):
        run(read_before, (1,), torch.randn(8), torch.empty(8), BLOCK=8)


def test_offset_between_buffers_is_no_way_around():
    """A wrong offset stays an error even where another tensor would lie."""
    x = torch.randn(8)
    with pytest.raises(MemoryFault, match="out"):
        run(far_away, (1,), x, torch.empty(8), 1 << 33)


@triton.jit
def far_away(x, out, distance):
    tl.store(out + distance, tl.load(x))


@triton.jit
def add_one(x, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    tl.store(x + index, tl.load(x + index, mask) + 1, mask)


def test_fresh_memory_is_unwritten():
    with launches_on_cpu():
        x = torch.empty(10)
        with pytest.raises(MemoryFault) as caught:
            run(add_one, (1,), x, 10, BLOCK=16)
    assert caught.value.kind == "uninitialised_read"


@pytest.mark.parametrize(
    "allocate",
    [
        torch.empty_like,
        lambda like: torch.empty_strided((10,), (1,)),
        lambda like: like.new_empty(10),
        lambda like: torch.empty((2, 5)),
    ],
)
def test_every_kind_of_fresh_memory(allocate):
    like = torch.zeros(10)
    with launches_on_cpu():
        x = allocate(like)
        with pytest.raises(MemoryFault, match="nothing has written"):
            run(add_one, (1,), x, 10, BLOCK=16)


def test_torch_writes_count():
    with launches_on_cpu():
        x = torch.empty(10)
        x.zero_()
        run(add_one, (1,), x, 10, BLOCK=16)
        y = torch.empty(10)
        y[:5].fill_(3)
        run(add_one, (1,), y, 5, BLOCK=16)
        with pytest.raises(MemoryFault, match="element 5 of 10"):
            run(add_one, (1,), y, 6, BLOCK=16)
    assert torch.equal(x, torch.ones(10))


def test_torch_writes_to_strided_views_count():
    with launches_on_cpu():
        x = torch.empty(4, 4)
        x[:, 1].zero_()
        with pytest.raises(MemoryFault, match="element 0 of 16"):
            run(add_one, (1,), x, 16, BLOCK=16)
        run(add_one, (1,), x[0, 1:], 1, BLOCK=16)


def test_kernel_writes_count_across_launches():
    with launches_on_cpu():
        x, y = torch.empty(64), torch.empty(64)
        run(copy_without_mask, (1,), torch.ones(64), x, BLOCK=64)
        run(copy_without_mask, (1,), x, y, BLOCK=64)
    assert torch.equal(y, torch.ones(64))


def test_fresh_memory_is_poisoned():
    with launches_on_cpu():
        assert torch.empty(3).isnan().all()
        assert torch.empty(3, dtype=torch.bfloat16).isnan().all()
        assert (torch.empty(3, dtype=torch.int64) > 1 << 60).all()
        assert torch.empty(0).numel() == 0


@triton.jit
def everyone_writes(out, same):
    pid = tl.program_id(0)
    value = tl.where(same != 0, 7, pid)
    tl.store(out, value)


def test_two_instances_write_different_values():
    with pytest.raises(MemoryFault) as caught:
        run(everyone_writes, (4,), torch.zeros(1, dtype=torch.int32), 0)
    assert caught.value.kind == "race"
    assert caught.value.line == line_of(everyone_writes, "tl.store")


def test_equal_values_are_no_race():
    out = torch.zeros(1, dtype=torch.int32)
    run(everyone_writes, (4,), out, 2)
    assert out.item() == 7


def test_race_across_chunks():
    options = ExecutionOptions(chunk_elements=1)
    with launches_on_cpu(options), pytest.raises(MemoryFault, match="different value"):
        run(everyone_writes, (4,), torch.zeros(1, dtype=torch.int32), 0)


@triton.jit
def shift(x, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index + 1, index < n - 1, other=0.0)  # reads
    tl.store(x + index, value, index < n)  # writes


@pytest.mark.parametrize("chunk", [1, 1 << 18])
@pytest.mark.parametrize("permute_seed", [None, 0, 1])
def test_read_of_what_another_writes(chunk, permute_seed):
    options = ExecutionOptions(chunk_elements=chunk, permute_seed=permute_seed)
    with launches_on_cpu(options), pytest.raises(MemoryFault) as caught:
        run(shift, (4,), torch.randn(64), 64, BLOCK=16)
    assert caught.value.kind == "race"
    expected = {line_of(shift, "# reads"), line_of(shift, "# writes")}
    assert caught.value.line in expected


def test_one_instance_alone_races_with_nobody():
    x = torch.randn(64)
    expected = torch.cat([x[1:], torch.zeros(1)])
    run(shift, (1,), x, 64, BLOCK=64)
    assert torch.equal(x, expected)


def test_aliased_arguments_race():
    x = torch.randn(128)
    with pytest.raises(MemoryFault) as caught:
        run(copy_without_mask, (2,), x[:65], x[1:], BLOCK=32)
    assert caught.value.kind == "race"


@triton.jit
def lanes_collide(out, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(out + lane // 2, lane)


def test_lanes_of_one_instance_write_different_values():
    with pytest.raises(MemoryFault) as caught:
        run(lanes_collide, (1,), torch.zeros(8, dtype=torch.int32), BLOCK=16)
    assert caught.value.kind == "race"


@triton.jit
def bytes_as_words(workspace, out, BLOCK: tl.constexpr):
    words = workspace.to(tl.pointer_type(tl.float32))
    index = tl.arange(0, BLOCK)
    tl.store(words + index, index.to(tl.float32))
    tl.store(out + index, tl.load(words + index) * 2)


def test_memory_seen_as_another_type():
    with launches_on_cpu():
        workspace = torch.empty(64, dtype=torch.uint8)
        out = torch.empty(16)
        run(bytes_as_words, (1,), workspace, out, BLOCK=16)
    assert torch.equal(out, torch.arange(16.0) * 2)
    with pytest.raises(MemoryFault, match="element 15 of 15"):
        run(bytes_as_words, (1,), torch.zeros(63, dtype=torch.uint8), out, BLOCK=16)


def test_unchecked_runs_still_keep_to_the_storage():
    options = ExecutionOptions(check_memory=False)
    with launches_on_cpu(options):
        run(everyone_writes, (4,), torch.zeros(1, dtype=torch.int32), 0)
        with pytest.raises(MemoryFault, match="outside"):
            run(copy_without_mask, (2,), torch.randn(100), torch.zeros(128), BLOCK=64)


@triton.jit
def checked_index(x, index, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    chosen = tl.load(index + lane)
    tl.device_assert((chosen >= 0) & (chosen < n), "index out of bounds")
    tl.store(out + lane, tl.load(x + chosen))


def test_device_assert_is_kept():
    x, out = torch.randn(8), torch.zeros(4)
    run(checked_index, (1,), x, torch.tensor([0, 7, 3, 2]), out, 8, BLOCK=4)
    assert torch.equal(out, x[[0, 7, 3, 2]])
    with pytest.raises(ExecutionError) as caught:
        run(checked_index, (1,), x, torch.tensor([0, 8, 3, 2]), out, 8, BLOCK=4)
    assert caught.value.kind == "device_assert"
    assert caught.value.line == line_of(checked_index, "device_assert")
    assert "index out of bounds" in str(caught.value)
