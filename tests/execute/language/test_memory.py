"""Loads and stores of every form, descriptors, and atomics with every type and order."""

import inspect

import pytest
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from builder.errors import MemoryFault
from builder.execute import run

COVERED = {
    "advance", "atomic_add", "atomic_and", "atomic_cas", "atomic_max", "atomic_min", "atomic_or",
    "atomic_xchg", "atomic_xor", "load", "load_tensor_descriptor", "make_block_ptr",
    "make_tensor_descriptor", "store", "store_tensor_descriptor", "tensor_descriptor",
    "tensor_descriptor_type",
}  # fmt: skip


@triton.jit
def copied(x, out, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x + lane, lane < n, other=-1.0, cache_modifier=".cg")
    b = tl.load(x + lane, mask=lane < n, other=0, eviction_policy="evict_last", volatile=True)
    total = a + b
    tl.store(out + lane, total, mask=lane < n, cache_modifier=".wb", eviction_policy="evict_first")
    (out + n + lane).store(a, lane < n)
    first = tl.load(x)
    tl.store(out + 2 * n, first)


def test_hints_to_caches_change_nothing():
    x, out = torch.randn(45), torch.empty(91)
    run(copied, (3,), x, out, 45, BLOCK=16)
    assert torch.equal(out, torch.cat([x * 2, x, x[:1]]))


@triton.jit
def block_sums(x, out, m, n, M: tl.constexpr, N: tl.constexpr, PAD: tl.constexpr):
    source = tl.make_block_ptr(
        base=x, shape=(m, n), strides=(n, 1), offsets=(tl.program_id(0) * M, 0),
        block_shape=(M, N), order=(1, 0),
    )  # fmt: skip
    target = tl.make_block_ptr(out, (m, n), (n, 1), (tl.program_id(0) * M, 0), (M, N), (1, 0))
    for _ in range(0, n, N):
        value = tl.load(source, boundary_check=(0, 1), padding_option=PAD)
        kept = tl.where(value == value, value, 5.0)  # noqa: PLR0124
        tl.store(target, kept + tl.sum(kept, 1)[:, None], boundary_check=(0, 1))
        source = tl.advance(source, (0, N))
        target = target.advance((0, N))


@pytest.mark.parametrize("padding", ["zero", "nan"])
def test_block_pointers(padding):
    m, n = 13, 21
    x, out = torch.randn(m, n), torch.empty(m, n)
    run(block_sums, (4,), x, out, m, n, M=4, N=8, PAD=padding)
    padded = torch.nn.functional.pad(x, (0, 3), value=5.0 if padding == "nan" else 0.0)
    sums = padded.unflatten(1, (3, 8)).sum(2).repeat_interleave(8, 1)[:, :n]
    assert torch.allclose(out, x + sums, atol=1e-5)


@triton.jit
def block_past_the_end(x, out, m, M: tl.constexpr):
    source = tl.make_block_ptr(x, (m,), (1,), (0,), (M,), (0,))
    tl.store(out + tl.arange(0, M), tl.load(source))


def test_block_pointers_without_a_check_may_leave_the_tensor():
    with pytest.raises(MemoryFault, match="element 13 of 13"):
        run(block_past_the_end, (1,), torch.zeros(13), torch.zeros(16), 13, M=16)


@triton.jit
def described(x, out, m, n, M: tl.constexpr, N: tl.constexpr, PAD: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [m, n], [n, 1], [M, N], padding_option=PAD)
    target = tl.make_tensor_descriptor(out, shape=[m, n], strides=[n, 1], block_shape=[M, N])
    row, column = tl.program_id(0) * M, tl.program_id(1) * N
    first = tl.load_tensor_descriptor(source, [row, column])
    second = source.load([row, column])
    missing = tl.sum((second != second).to(tl.int32))  # noqa: PLR0124
    tl.store_tensor_descriptor(target, [row, column], first + missing)


@pytest.mark.parametrize("padding", ["zero", "nan"])
def test_descriptors_made_by_the_device(padding):
    x, out = torch.randn(10, 20), torch.empty(10, 20)
    run(described, (3, 3), x, out, 10, 20, M=4, N=8, PAD=padding)
    outside = torch.nn.functional.pad(torch.zeros(10, 20), (0, 4, 0, 2), value=1.0)
    sums = outside.unflatten(0, (3, 4)).unflatten(2, (3, 8)).sum((1, 3))
    wide = sums.repeat_interleave(4, 0).repeat_interleave(8, 1)[:10, :20]
    assert torch.equal(out, x + (wide if padding == "nan" else 0))


@triton.jit
def doubled(source, target, rows: tl.constexpr, columns: tl.constexpr):
    place = [tl.program_id(0) * rows, tl.program_id(1) * columns]
    target.store(place, source.load(place) * 2)


@pytest.mark.parametrize("view", [False, True])
def test_descriptors_made_by_the_host(view):
    whole = torch.randn(12, 40)
    x = whole[2:11, 4:33] if view else whole
    out = torch.full_like(whole, 7.0)
    target = out[2:11, 4:33] if view else out
    source = TensorDescriptor(x, list(x.shape), list(x.stride()), [4, 8])
    run(doubled, (3, 5), source, TensorDescriptor(target, x.shape, x.stride(), [4, 8]), 4, 8)
    assert torch.equal(target, x * 2)
    assert int((out == 7.0).sum()) == (out.numel() - target.numel() if view else 0)


@pytest.mark.skipif(
    "round_f32_to_tf32" not in inspect.signature(TensorDescriptor).parameters,
    reason="since Triton 3.7",
)
def test_padding_and_rounding_that_the_host_chose():
    x = torch.full((4, 12), 1.0 + 2.0**-11 + 2.0**-13)
    out = torch.zeros(4, 16)
    source = TensorDescriptor.from_tensor(x, [4, 16], padding="nan", round_f32_to_tf32=True)
    run(doubled, (1, 1), source, TensorDescriptor.from_tensor(out, [4, 16]), 4, 16)
    assert torch.equal(out[:, :12], torch.full((4, 12), 2.0 + 2.0**-9))
    assert out[:, 12:].isnan().all()


@triton.jit
def in_a_tuple(pair, scale):
    source, target = pair
    target.store([0, 0], source.load([0, 0]) * scale)


def test_descriptors_in_a_tuple():
    x, out = torch.randn(4, 8), torch.empty(4, 8)
    pair = tuple(TensorDescriptor.from_tensor(t, [4, 8]) for t in (x, out))
    run(in_a_tuple, (1,), pair, 3)
    assert torch.equal(out, x * 3)


@triton.jit
def rows_of(x, index, out, m, n, K: tl.constexpr, N: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [m, n], [n, 1], [1, N])
    target = tl.make_tensor_descriptor(out, [m, n], [n, 1], [1, N])
    rows = tl.load(index + tl.arange(0, K))
    target.scatter(source.gather(rows, 4), (rows + 1) % m, 4)


def test_descriptors_gather_and_scatter_rows():
    x, out = torch.randn(40, 32), torch.zeros(40, 32)
    rows = torch.randperm(40)[:32].int()
    run(rows_of, (1,), x, rows, out, 40, 32, K=32, N=16)
    expected = torch.zeros(40, 32)
    expected[(rows.long() + 1) % 40, 4:20] = x[rows.long(), 4:20]
    assert torch.equal(out, expected)


@triton.jit
def reduced(x, out, m, n, HOW: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    value = tl.make_tensor_descriptor(x, [m, n], [n, 1], [M, N]).load([0, tl.program_id(0) * N])
    target = tl.make_tensor_descriptor(out, [m, N], [N, 1], [M, N])
    if HOW == "add":
        target.atomic_add([0, 0], value)
    elif HOW == "min":
        target.atomic_min([0, 0], value)
    elif HOW == "max":
        target.atomic_max([0, 0], value)
    elif HOW == "and":
        target.atomic_and([0, 0], value)
    elif HOW == "or":
        target.atomic_or([0, 0], value)
    else:
        target.atomic_xor([0, 0], value)


BITS = {"and": torch.bitwise_and, "or": torch.bitwise_or, "xor": torch.bitwise_xor}
FOLDS = {"add": torch.add, "min": torch.minimum, "max": torch.maximum} | BITS


def folded(function, start, parts):
    for part in parts:
        start = function(start, part)
    return start


@pytest.mark.parametrize("how", FOLDS)
def test_descriptors_update_atomically(how):
    x = torch.randint(-1000, 1000, (6, 48)).int()
    out = torch.randint(-1000, 1000, (6, 16)).int()
    expected = folded(FOLDS[how], out.clone(), x.split(16, 1))
    run(reduced, (3,), x, out, 6, 48, HOW=how, M=8, N=16)
    assert torch.equal(out, expected)


@triton.jit
def updated(x, out, old, n, OP: tl.constexpr, SEM: tl.constexpr, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n)
    before = OP(out + lane % 7, value, mask=lane < n, sem=SEM, scope="gpu")
    tl.store(old + lane, before, lane < n)


ATOMICS = {
    tl.atomic_add: torch.add, tl.atomic_max: torch.maximum, tl.atomic_min: torch.minimum,
    tl.atomic_and: torch.bitwise_and, tl.atomic_or: torch.bitwise_or,
    tl.atomic_xor: torch.bitwise_xor, tl.atomic_xchg: lambda _, new: new,
}  # fmt: skip
SEMANTICS = ["relaxed", "acquire", "release", "acq_rel"]
INTEGERS = [torch.int32, torch.int64, torch.uint32, torch.uint64]
CASES = [(a, d) for a in ATOMICS for d in INTEGERS] + [
    (tl.atomic_add, d) for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
]
CASES += [(a, d) for a in (tl.atomic_max, tl.atomic_min) for d in (torch.float32, torch.float64)]
CASES += [(tl.atomic_xchg, d) for d in (torch.float32, torch.float64)]


@pytest.mark.parametrize(("atomic", "dtype"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_atomics(atomic, dtype):
    """Lanes and instances take turns in order; each gets what the one before left."""
    for number, semantics in enumerate(SEMANTICS):
        if dtype.is_floating_point or dtype.is_signed:
            x = torch.randint(-40, 40, (45,)).to(dtype)
        else:
            values = torch.randint(0, 2**31, (45,)).tolist()
            x = torch.tensor([*values[:44], torch.iinfo(dtype).max - number], dtype=dtype)
        out = torch.zeros(7, dtype=dtype)
        memory, expected = out.tolist(), []
        for lane, value in enumerate(x.tolist()):
            slot = lane % 7
            expected.append(memory[slot])
            memory[slot] = once(ATOMICS[atomic], memory[slot], value, dtype)
        old = torch.empty(45, dtype=dtype)
        run(updated, (3,), x, out, old, 45, OP=atomic, SEM=semantics, BLOCK=16)
        assert out.tolist() == memory
        if not (dtype.is_floating_point and atomic in (tl.atomic_max, tl.atomic_min)):
            assert old.tolist() == expected  # those are two integer atomics, one for each sign


def once(function, memory, value, dtype):
    if dtype.is_floating_point or dtype.is_signed:
        return function(*(torch.tensor(v, dtype=dtype) for v in (memory, value))).item()
    plain = {
        torch.add: lambda a, b: (a + b) % (1 << dtype.itemsize * 8), torch.maximum: max,
        torch.minimum: min, torch.bitwise_and: lambda a, b: a & b,
        torch.bitwise_or: lambda a, b: a | b, torch.bitwise_xor: lambda a, b: a ^ b,
    }  # fmt: skip
    return plain.get(function, lambda _, new: new)(memory, value)


def test_float_extremes_with_signs_and_infinities():
    x = torch.tensor([0.0, -0.0, -1.5, float("inf"), -float("inf"), 3e38, -1e-45, 2.0])
    for atomic, ends in ((tl.atomic_max, x.max()), (tl.atomic_min, x.min())):
        out, old = torch.zeros(7), torch.empty(57)
        spread = torch.zeros(57)
        spread[::7][:8] = x
        run(updated, (4,), spread, out, old, 57, OP=atomic, SEM="relaxed", BLOCK=16)
        assert out[0] == ends


@triton.jit
def exchanged(x, out, old, SEM: tl.constexpr):
    lane = tl.arange(0, 8)
    before = tl.atomic_cas(out + lane, tl.load(x + lane), lane.to(x.dtype.element_ty), sem=SEM)
    tl.store(old + lane, before)
    tl.store(old + 8, tl.atomic_cas(out + 8, tl.load(x + 8), tl.load(x + 9), SEM, "sys"))


@pytest.mark.parametrize("semantics", SEMANTICS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint64, torch.int16])
def test_compare_and_swap(semantics, dtype):
    out = torch.arange(10, 20).to(dtype)
    x = out.clone()
    x[1], x[3], x[8] = 99, 98, 18
    memory, old = out.clone(), torch.empty(9, dtype=dtype)
    run(exchanged, (1,), x, out, old, SEM=semantics)
    assert torch.equal(old, memory[:9])
    expected = [0, 11, 2, 13, 4, 5, 6, 7, 19, 19]
    assert out.tolist() == expected
