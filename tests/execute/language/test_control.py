"""What runs, and when: loops, tuples, functions, assertions, hints."""

from typing import NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import cuda

from builder.errors import ExecutionError, UnsupportedOperation
from builder.execute import run

COVERED = {
    "assume", "condition", "constexpr", "debug_barrier", "device_assert", "device_print",
    "max_constancy", "max_contiguous", "multiple_of", "range", "static_assert", "static_print",
    "static_range", "tuple", "tuple_type", "TRITON_MAX_TENSOR_NUMEL", "target_info",
}  # fmt: skip


@triton.jit
def loops(out, n, N: tl.constexpr):
    total = 0
    for i in tl.range(0, n, 3, num_stages=2, disallow_acc_multi_buffer=True):
        total += i
    for i in tl.range(n, 0, -2, loop_unroll_factor=2):
        total += 100 * i
    for i in tl.static_range(N):
        for j in tl.static_range(i, N, 2):
            total += 10000 * (i + j)
    for i in tl.range(n, warp_specialize=False, flatten=True):
        for _j in tl.range(i):
            total += 1000000
    while total % 7 != 0:
        total += 1
        if total % 11 == 0:
            total += 3
    tl.store(out, total)


def test_loops():
    out = torch.empty(1, dtype=torch.int32)
    run(loops, (1,), out, 10, N=4)
    total = sum(range(0, 10, 3)) + 100 * sum(range(10, 0, -2))
    total += 10000 * sum(i + j for i in range(4) for j in range(i, 4, 2)) + 1000000 * 45
    while total % 7:
        total += 1
        if total % 11 == 0:
            total += 3
    assert out.item() == total


@triton.jit
def pairwise_loop(out, n):
    i, j = 0, n
    while tl.condition(i < j):
        i += 2
        j -= 1
    tl.store(out, i * 100 + j)


def test_condition_of_a_loop():
    out = torch.empty(1, dtype=torch.int32)
    run(pairwise_loop, (1,), out, 10)
    assert out.item() == 8 * 100 + 6


class Strides(NamedTuple):
    row: int
    column: int


class Matrix(NamedTuple):
    data: torch.Tensor
    strides: Strides


@triton.jit
def element(matrix, i, j):
    return matrix.data + i * matrix.strides.row + j * matrix.strides.column


@triton.jit
def with_tuples(matrix, pair, out, N: tl.constexpr):
    lane = tl.arange(0, N)
    values = (tl.load(element(matrix, 1, lane)), tl.load(element(matrix, lane, 2)))
    total = tl.zeros([N], tl.float32)
    for number in tl.static_range(len(values)):
        total += values[number] * pair[number]
    first, second, third = pair[0], pair[1], tl.tuple((3, 4))[1]
    tl.store(out + lane, total + first + second + third)


def test_tuples_as_arguments_and_inside():
    x, out = torch.randn(8, 12), torch.empty(8)
    run(with_tuples, (1,), Matrix(x, Strides(12, 1)), (2, 3.5), out, N=8)
    assert torch.allclose(out, x[1, :8] * 2 + x[:8, 2] * 3.5 + 9.5)


@triton.jit
def swapped_loop(out, n):
    state = (0, 1)
    for _ in range(n):
        state = (state[1], state[0] + state[1])
    tl.store(out, state[0])


def test_tuples_carried_by_loops():
    out = torch.empty(1, dtype=torch.int32)
    run(swapped_loop, (1,), out, 20)
    assert out.item() == 6765


@triton.constexpr_function
def log2_of(size):
    return size.bit_length() - 1


SHIFT = tl.constexpr(5)


@triton.jit
def scaled(value, factor: tl.constexpr = 3):
    return value * factor


@triton.jit
def chosen_function(value, FUNCTION: tl.constexpr):
    return FUNCTION(value, factor=4)


@triton.jit(noinline=True)
def deep(value, n):
    if n > 3:
        return value
    return scaled(value) + n


@triton.jit
def functions(out, x, N: tl.constexpr):
    lane = tl.arange(0, N)
    steps: tl.constexpr = log2_of(N)
    tl.static_assert(steps == 4, "16 is the fourth power")
    tl.static_print("lanes", N)
    tl.static_assert(tl.TRITON_MAX_TENSOR_NUMEL >= 1 << 20)
    tl.static_assert(tl.target_info.current_target() is not None)
    value = tl.load(x + lane) + SHIFT
    value = chosen_function(scaled(value), scaled)
    tl.store(out + lane, value + deep(tl.load(x), tl.program_id(0) + 2) + steps)


def test_functions_and_constants():
    x, out = torch.randn(16), torch.empty(16)
    run(functions, (1,), out, x, N=16)
    assert torch.allclose(out, (x + 5) * 12 + x[0] * 3 + 2 + 4)


@triton.jit
def hinted(x, out, n, N: tl.constexpr):
    tl.assume(n > 0)
    lane = tl.max_contiguous(tl.multiple_of(tl.program_id(0) * N + tl.arange(0, N), N), N)
    value = tl.load(x + lane, lane < n)
    same = tl.max_constancy(tl.zeros([N], tl.int32) + n, N)
    tl.debug_barrier()
    tl.device_print("value", value, hex=False)
    tl.device_print("nothing")
    tl.device_assert(lane < 10000, "a lane too far")
    tl.store(out + lane, value + same, lane < n)


def test_hints_barriers_and_prints_change_nothing():
    x, out = torch.randn(45), torch.empty(45)
    run(hinted, (3,), x, out, 45, N=16)
    assert torch.equal(out, x + 45)


@triton.jit
def asserting(x, limit):
    tl.device_assert(tl.load(x + tl.program_id(0)) < limit, "beyond the limit")


def test_assertions_say_which_instance_failed():
    with pytest.raises(ExecutionError, match=r"\(2, 0, 0\).*beyond the limit") as caught:
        run(asserting, (4,), torch.arange(4), 2)
    assert caught.value.kind == "device_assert"


@triton.jit
def refusing(out, N: tl.constexpr):
    tl.static_assert(N == 3, "three lanes only")
    tl.store(out, N)


def test_static_assertions_stop_the_compiler():
    with pytest.raises(ExecutionError, match="three lanes only") as caught:
        run(refusing, (1,), torch.zeros(1), N=4)
    assert caught.value.kind == "compile"


@triton.jit
def waits(x, out, N: tl.constexpr):
    cuda.gdc_wait()
    tl.store(out + tl.arange(0, N), tl.load(x + tl.arange(0, N)) + cuda.num_warps())
    cuda.gdc_launch_dependents()


def test_launches_that_depend_on_each_other():
    x, out = torch.randn(16), torch.empty(16)
    run(waits, (1,), x, out, N=16, num_warps=2)
    assert torch.equal(out, x + 2)


@triton.jit
def clock(out):
    tl.store(out, cuda.globaltimer())


@triton.jit
def processor(out):
    tl.store(out, cuda.smid())


SHIFT_AND_COUNT = tl.constexpr("{ .reg .b32 t; shl.b32 t, $1, 2; popc.b32 $0, t; }")


@triton.jit
def several_instructions(out):
    x = tl.program_id(0) + 3
    y = tl.inline_asm_elementwise(SHIFT_AND_COUNT, "=r,r", [x], tl.int32, is_pure=True, pack=1)
    tl.store(out, y)


@pytest.mark.parametrize(("kernel", "offset", "text"), [
    (clock, 2, "globaltimer"), (processor, 2, "smid"), (several_instructions, 3, "popc"),
])  # fmt: skip
def test_other_assembly_is_refused_by_name_and_line(kernel, offset, text):
    with pytest.raises(UnsupportedOperation, match=text) as caught:
        run(kernel, (1,), torch.zeros(1, dtype=torch.int64))
    assert caught.value.operation.startswith("tt.elementwise_inline_asm")
    assert caught.value.line == kernel.starting_line_number + offset
