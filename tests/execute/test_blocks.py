"""Reductions, scans, sorts, shapes and products against torch."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import ExecutionOptions, launches_on_cpu, run


@triton.jit
def add(a, b):
    return a + b


@triton.jit
def nan_max(a, b):
    return tl.where((a > b) | (a != a), a, b)  # noqa: PLR0124


@triton.jit
def xor(a, b):
    return a ^ b


@triton.jit
def product(a, b):
    return a * b


@triton.jit
def branchy_max(a, b):
    result = a
    if b > a:
        result = b
    return result


@triton.jit
def row_reduce(x, out, n, COMBINE: tl.constexpr, BLOCK: tl.constexpr, FILL: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + row * n + lane, lane < n, other=FILL)
    if COMBINE == "add":
        result = tl.reduce(value, 0, add)
    elif COMBINE == "nan_max":
        result = tl.reduce(value, 0, nan_max)
    elif COMBINE == "branchy_max":
        result = tl.reduce(value, 0, branchy_max)
    elif COMBINE == "product":
        result = tl.reduce(value, 0, product)
    else:
        result = tl.reduce(value, 0, xor)
    tl.store(out + row, result)


def reduced(x, combine, fill):
    out = torch.empty(x.shape[0], dtype=x.dtype)
    block = triton.next_power_of_2(x.shape[1])
    run(row_reduce, (x.shape[0],), x, out, x.shape[1], COMBINE=combine, BLOCK=block, FILL=fill)
    return out


@pytest.mark.parametrize("width", [1, 7, 64, 1000])
def test_reductions(width):
    x = torch.randn(13, width)
    assert torch.allclose(reduced(x, "add", 0.0), x.sum(1), atol=1e-4)
    assert torch.equal(reduced(x, "nan_max", float("-inf")), x.amax(1))
    assert torch.equal(reduced(x, "branchy_max", float("-inf")), x.amax(1))
    assert torch.allclose(reduced(x, "product", 1.0), x.prod(1))
    integers = torch.randint(-1000, 1000, (13, width))
    expected = torch.zeros(13, dtype=torch.int64)
    for column in integers.unbind(1):
        expected ^= column
    assert torch.equal(reduced(integers, "xor", 0), expected)


def test_half_sums_round_at_each_step():
    """2048 + 1 is 2048 in float16; a sum in float32 would differ."""
    x = torch.tensor([[2048.0, 1.0]], dtype=torch.float16)
    assert reduced(x, "add", 0.0).item() == 2048.0


def test_nan_is_the_largest_in_inductors_maximum():
    x = torch.tensor([[1.0, float("nan"), 3.0], [1.0, 2.0, 3.0]])
    assert torch.equal(reduced(x, "nan_max", float("-inf")).isnan(), torch.tensor([True, False]))


@triton.jit
def builtin_max(x, out, index, N: tl.constexpr):
    row = tl.program_id(0)
    value = tl.load(x + row * N + tl.arange(0, N))
    best, place = tl.max(value, 0, return_indices=True)
    tl.store(out + row, best)
    tl.store(index + row, place)
    tl.store(out + 5 + row, tl.max(value, 0))


def test_argmax_takes_the_first_of_ties():
    x = torch.randint(0, 4, (5, 64)).float()
    out, index = torch.empty(10), torch.empty(5, dtype=torch.int32)
    run(builtin_max, (5,), x, out, index, N=64)
    assert torch.equal(out[:5], x.amax(1))
    assert torch.equal(out[5:], x.amax(1))
    assert index.tolist() == [row.tolist().index(max(row.tolist())) for row in x]


def test_max_ignores_nan():
    x = torch.randn(5, 64)
    x[2, 3] = float("nan")
    out, index = torch.empty(10), torch.empty(5, dtype=torch.int32)
    run(builtin_max, (5,), x, out, index, N=64)
    assert torch.equal(out[5:], x.nan_to_num(-10).amax(1))


@triton.jit
def welford_combine(mean_a, m2_a, weight_a, mean_b, m2_b, weight_b):
    delta = mean_b - mean_a
    weight = weight_a + weight_b
    share = tl.where(weight == 0.0, 0.0, weight_b / weight)
    m2 = m2_a + m2_b + delta * delta * weight_a * share
    return mean_a + delta * share, m2, weight


@triton.jit
def welford(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    row = tl.program_id(0)
    mean, m2, weight = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), 0.0
    weight = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        mask = start + lane < n
        value = tl.load(x + row * n + start + lane, mask, other=0.0)
        delta = value - mean
        fresh = weight + 1
        next_mean = mean + delta / fresh
        m2 = tl.where(mask, m2 + delta * (value - next_mean), m2)
        mean = tl.where(mask, next_mean, mean)
        weight = tl.where(mask, fresh, weight)
    mean, m2, weight = tl.reduce((mean, m2, weight), 0, welford_combine)
    tl.store(out + row * 2, mean)
    tl.store(out + row * 2 + 1, m2 / weight)


@pytest.mark.parametrize("n", [3, 64, 500])
def test_welford(n):
    x = torch.randn(7, n) + 100
    out = torch.empty(7, 2)
    run(welford, (7,), x, out, n, BLOCK=64)
    wide = x.double()
    assert torch.allclose(out[:, 0].double(), wide.mean(1), rtol=1e-6)
    # A rounding of the mean, 100 times epsilon, moves a variance by that times the deviation.
    deviation = wide.std(1, correction=0)
    moved = 4 * 100 * torch.finfo(torch.float32).eps * deviation
    assert ((out[:, 1].double() - deviation**2).abs() <= moved).all()


@triton.jit
def last(_a, b):
    return b


@triton.jit
def affine(scale_a, shift_a, scale_b, shift_b):
    return scale_a * scale_b, shift_a * scale_b + shift_b


@triton.jit
def scans(x, out, N: tl.constexpr, REVERSE: tl.constexpr):
    lane = tl.arange(0, N)
    value = tl.load(x + lane)
    tl.store(out + lane, tl.cumsum(value, 0, reverse=REVERSE))
    tl.store(out + N + lane, tl.associative_scan(value, 0, last, reverse=REVERSE))
    scale = tl.full([N], 0.5, tl.float32)
    _, state = tl.associative_scan((scale, value), 0, affine, reverse=REVERSE)
    tl.store(out + 2 * N + lane, state)


@pytest.mark.parametrize("size", [1, 2, 16, 128])
@pytest.mark.parametrize("reverse", [False, True])
def test_scans_keep_the_order(size, reverse):
    x = torch.randn(size)
    out = torch.empty(3, size)
    run(scans, (1,), x, out, N=size, REVERSE=reverse)
    given = x.flip(0) if reverse else x
    state, states = torch.zeros(()), []
    for value in given:
        state = state * 0.5 + value
        states.append(state)
    expected = torch.stack([given.cumsum(0), given, torch.stack(states)])
    expected = expected.flip(1) if reverse else expected
    assert torch.allclose(out, expected, atol=1e-5)


@triton.jit
def scan_rows(x, out, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr):
    index = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + index, tl.associative_scan(tl.load(x + index), AXIS, nan_max))


@pytest.mark.parametrize("axis", [0, 1])
def test_scans_along_any_axis(axis):
    x, out = torch.randn(8, 16), torch.empty(8, 16)
    run(scan_rows, (1,), x, out, M=8, N=16, AXIS=axis)
    assert torch.equal(out, x.cummax(axis).values)


@triton.jit
def sort_rows(x, out, N: tl.constexpr, DESCENDING: tl.constexpr):
    index = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(out + index, tl.sort(tl.load(x + index), descending=DESCENDING))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.float16])
@pytest.mark.parametrize("descending", [False, True])
def test_sort(dtype, descending):
    x = (torch.randn(3, 64) * 100).to(dtype)
    out = torch.empty_like(x)
    run(sort_rows, (3,), x, out, N=64, DESCENDING=descending)
    assert torch.equal(out, x.sort(1, descending=descending).values)


@triton.jit
def shapes(x, out, N: tl.constexpr):
    lane = tl.arange(0, N)
    value = tl.load(x + lane)
    joined = tl.join(value, value * 10)
    left, right = tl.split(joined)
    tl.store(out + lane, left + right)
    flat = tl.reshape(tl.trans(joined), [2 * N])
    tl.store(out + N + tl.arange(0, 2 * N), flat)
    picked = tl.gather(value, (N - 1) - lane, 0)
    tl.store(out + 3 * N + lane, picked)
    both = tl.interleave(value, -value)
    tl.store(out + 4 * N + tl.arange(0, 2 * N), both)


def test_shapes():
    x = torch.randn(16)
    out = torch.empty(6 * 16)
    run(shapes, (1,), x, out, N=16)
    parts = [x * 11, x, x * 10, x.flip(0), torch.stack([x, -x], 1).reshape(-1)]
    assert torch.allclose(out, torch.cat(parts))


@triton.jit
def count(x, out, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    mask = lane < n
    tl.store(out + tl.arange(0, BINS), tl.histogram(tl.load(x + lane, mask, 0), BINS, mask=mask))


def test_histogram():
    x = torch.randint(0, 16, (50,), dtype=torch.int32)
    out = torch.empty(16, dtype=torch.int32)
    run(count, (1,), x, out, 50, BLOCK=64, BINS=16)
    assert torch.equal(out.long(), torch.bincount(x, minlength=16))


@triton.jit
def matmul(a, b, c, m, n, k, PRECISION: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr):
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    kind: tl.constexpr = tl.int32 if a.dtype.element_ty == tl.int8 else tl.float32
    sums = tl.zeros((TILE, TILE), kind)
    for start in range(0, k, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        left_mask = (rows[:, None] < m) & (depth[None, :] < k)
        left = tl.load(a + rows[:, None] * k + depth[None, :], left_mask, other=0)
        right_mask = (depth[:, None] < k) & (columns[None, :] < n)
        right = tl.load(b + depth[:, None] * n + columns[None, :], right_mask, other=0)
        sums = tl.dot(left, right, sums, input_precision=PRECISION, out_dtype=kind)
    mask = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c + rows[:, None] * n + columns[None, :], sums.to(c.dtype.element_ty), mask)


def multiplied(a, b, dtype=None, precision="ieee", chunk=1 << 18):
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    c = torch.empty(m, n, dtype=dtype or a.dtype)
    grid = (triton.cdiv(m, 32), triton.cdiv(n, 32))
    with launches_on_cpu(ExecutionOptions(chunk_elements=chunk)):
        run(matmul, grid, a, b, c, m, n, k, PRECISION=precision, TILE=32, DEPTH=32)
    return c


@pytest.mark.parametrize("shape", [(64, 64, 64), (33, 65, 17), (1, 1, 1)])
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_matrix_products(shape, chunk):
    m, k, n = shape
    a, b = torch.randn(m, k), torch.randn(k, n)
    assert torch.allclose(multiplied(a, b, chunk=chunk), a @ b, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_products_sum_in_float32(dtype):
    a, b = torch.randn(64, 100).to(dtype), torch.randn(100, 48).to(dtype)
    exact = a.double() @ b.double()
    assert torch.allclose(multiplied(a, b, torch.float32).double(), exact, atol=1e-4)
    assert torch.equal(multiplied(a, b), multiplied(a, b, torch.float32).to(dtype))


def test_tf32_keeps_ten_bits():
    a = torch.full((32, 32), 1.0 + 2.0**-10 + 2.0**-11 + 2.0**-20)
    b = torch.eye(32)
    assert torch.equal(multiplied(a, b, precision="tf32"), torch.full((32, 32), 1.0 + 2.0**-10))
    assert torch.equal(multiplied(a, b, precision="ieee"), a)


def test_integer_products_are_exact():
    a = torch.randint(-128, 128, (40, 70), dtype=torch.int8)
    b = torch.randint(-128, 128, (70, 33), dtype=torch.int8)
    expected = (a.double() @ b.double()).to(torch.int32)
    assert torch.equal(multiplied(a, b, torch.int32), expected)


@triton.jit
def described(x, out, m, n, TILE: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [m, n], [n, 1], [TILE, TILE])
    target = tl.make_tensor_descriptor(out, [m, n], [n, 1], [TILE, TILE])
    place = [tl.program_id(0) * TILE, tl.program_id(1) * TILE]
    target.store(place, source.load(place) * 2)


def test_tensor_descriptors():
    x, out = torch.randn(40, 36), torch.empty(40, 36)
    run(described, (3, 3), x, out, 40, 36, TILE=16)
    assert torch.equal(out, x * 2)
