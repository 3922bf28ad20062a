"""The shipped device functions against torch, on inputs with ties, NaN and infinities."""

import importlib

import pytest
import torch
import triton
import triton.language as tl
from torch._inductor.runtime import triton_helpers

from builder.execute import run
from builder.rewrite import device_functions as functions

NAN, INF = float("nan"), float("inf")


def rows(height=7, width=53, seed=0):
    x = torch.randn(height, width, generator=torch.Generator().manual_seed(seed))
    x[1, 5:9] = 0.5
    x[2, 3], x[2, 9] = NAN, NAN
    x[3, 4], x[4, 6] = INF, -INF
    x[5] = (x[5] * 2).round()
    return x


@triton.jit
def extremes_kernel(x_ptr, max_ptr, min_ptr, argmax_ptr, argmin_ptr, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)[None, :]
    inside = cols < width
    x = tl.load(x_ptr + row * width + cols, inside, other=0.0)
    low = tl.where(inside, x, float("-inf"))
    high = tl.where(inside, x, float("inf"))
    at = tl.broadcast_to(cols, x.shape)
    one = tl.arange(0, 1)
    _, argmax = functions.reduce_max_with_index(low, at, 1)
    _, argmin = functions.reduce_min_with_index(high, at, 1)
    tl.store(max_ptr + row + one, functions.reduce_max(low, 1))
    tl.store(min_ptr + row + one, functions.reduce_min(high, 1))
    tl.store(argmax_ptr + row + one, argmax)
    tl.store(argmin_ptr + row + one, argmin)


def test_extremes_and_their_first_index():
    x = rows()
    values = [torch.empty(7) for _ in range(2)]
    places = [torch.empty(7, dtype=torch.int64) for _ in range(2)]
    run(extremes_kernel, (7,), x, *values, *places, 53, BLOCK=64)
    torch.testing.assert_close(values[0], x.amax(1), equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(values[1], x.amin(1), equal_nan=True, rtol=0, atol=0)
    assert places[0].tolist() == x.argmax(1).tolist()
    assert places[1].tolist() == x.argmin(1).tolist()


@triton.jit
def sort_kernel(
    x_ptr, out_ptr, index_ptr, height, width, count,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, DESCENDING: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, HEIGHT)[:, None]
    cols = tl.arange(0, WIDTH)[None, :]
    inside = (row < height) & (cols < width)
    x = tl.load(x_ptr + row * width + cols, inside, other=0.0)
    out, index = functions.sort_with_index(x, cols.to(tl.int16), count, 1, DESCENDING)
    tl.store(out_ptr + row * width + cols, out, inside)
    tl.store(index_ptr + row * width + cols, index.to(tl.int64), inside)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("width", [53, 64, 1, 2])
def test_sort_is_torchs_stable_sort(width, descending):
    x = rows(width=max(width, 10))[:, :width].contiguous()
    out, index = torch.empty_like(x), torch.empty(x.shape, dtype=torch.int64)
    block = triton.next_power_of_2(width)
    count = None if block == width else width
    run(
        sort_kernel, (1,), x, out, index, 7, width, count,
        HEIGHT=8, WIDTH=block, DESCENDING=descending,
    )  # fmt: skip
    expected = torch.sort(x, dim=1, stable=True, descending=descending)
    torch.testing.assert_close(out, expected[0], equal_nan=True, rtol=0, atol=0)
    assert index.tolist() == expected[1].tolist()


@triton.jit
def sort_values_kernel(
    x_ptr, out_ptr, height, width, count,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, DESCENDING: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, HEIGHT)[:, None]
    cols = tl.arange(0, WIDTH)[None, :]
    inside = (row < height) & (cols < width)
    x = tl.load(x_ptr + row * width + cols, inside, other=0)
    out = functions.sort_values(x, count, 1, DESCENDING)
    tl.store(out_ptr + row * width + cols, out, inside)


def integers(dtype, width):
    info = torch.iinfo(dtype)
    x = torch.randint(info.min, min(info.max, 1 << 40), (7, width)).to(dtype)
    x[:, 0], x[:, -1] = info.min, info.max
    return x


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("width", [53, 64, 1, 2, 3])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int8, torch.int64, torch.uint8]
)
def test_sorted_values_are_torchs(dtype, width, descending):
    is_float = dtype.is_floating_point
    x = rows(width=max(width, 10)).to(dtype) if is_float else integers(dtype, max(width, 10))
    x = x[:, :width].contiguous()
    if is_float and width > 4:
        x[1, 2], x[2, 3], x[3, :3] = float("inf"), float("-inf"), float("nan")
    out = torch.empty_like(x)
    block = triton.next_power_of_2(width)
    count = None if block == width else width
    run(
        sort_values_kernel, (1,), x, out, 7, width, count,
        HEIGHT=8, WIDTH=block, DESCENDING=descending,
    )  # fmt: skip
    expected = torch.sort(x, dim=1, descending=descending).values
    torch.testing.assert_close(out, expected, equal_nan=True, rtol=0, atol=0)


@triton.jit
def sort_planes_kernel(x_ptr, values_ptr, out_ptr, index_ptr, WIDTH: tl.constexpr):
    plane = tl.arange(0, 2)[:, None, None]
    row = tl.arange(0, 4)[None, :, None]
    cols = tl.arange(0, WIDTH)[None, None, :]
    offsets = (plane * 4 + row) * WIDTH + cols
    x = tl.load(x_ptr + offsets)
    out, index = functions.sort_with_index(x, cols.to(tl.int16), None, 2, descending=True)
    tl.store(values_ptr + offsets, functions.sort_values(x, None, 2, descending=True))
    tl.store(out_ptr + offsets, out)
    tl.store(index_ptr + offsets, index.to(tl.int64))


def test_a_tile_of_three_dimensions_is_sorted_along_its_last():
    x = torch.randn(2, 4, 32).round(decimals=1)
    values, out, index = x.new_empty(x.shape), x.new_empty(x.shape), x.new_empty(x.shape).long()
    run(sort_planes_kernel, (1,), x, values, out, index, WIDTH=32)
    expected = torch.sort(x, dim=2, stable=True, descending=True)
    assert torch.equal(values, expected.values)
    assert torch.equal(out, expected.values)
    assert torch.equal(index, expected.indices)


@triton.jit
def moments_kernel(x_ptr, mean_ptr, m2_ptr, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)[None, :]
    mean = tl.zeros((1, BLOCK), tl.float32)
    m2 = tl.zeros((1, BLOCK), tl.float32)
    count = tl.zeros((1, BLOCK), tl.float32)
    for start in range(0, width, BLOCK):
        inside = start + cols < width
        x = tl.load(x_ptr + row * width + start + cols, inside, other=0.0)
        new_mean, new_m2, new_count = functions.welford_step(x, mean, m2, count)
        mean = tl.where(inside, new_mean, mean)
        m2 = tl.where(inside, new_m2, m2)
        count = tl.where(inside, new_count, count)
    mean, m2, count = functions.welford_reduce(mean, m2, count, 1)
    one = tl.arange(0, 1)
    tl.store(mean_ptr + row + one, mean)
    tl.store(m2_ptr + row + one, m2 / count)


def test_welford_gives_mean_and_variance():
    x = torch.randn(5, 77) * 3 + 1000
    mean, variance = torch.empty(5), torch.empty(5)
    run(moments_kernel, (5,), x, mean, variance, 77, BLOCK=16)
    torch.testing.assert_close(mean, x.double().mean(1).float(), rtol=1e-6, atol=0)
    expected = x.double().var(1, correction=0).float()
    torch.testing.assert_close(variance, expected, rtol=1e-4, atol=0)


@triton.jit
def softmax_kernel(x_ptr, max_ptr, sum_ptr, width, FAST: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)[None, :]
    running_max = tl.full((1, BLOCK), float("-inf"), tl.float32)
    running_sum = tl.zeros((1, BLOCK), tl.float32)
    for start in range(0, width, BLOCK):
        inside = start + cols < width
        x = tl.load(x_ptr + row * width + start + cols, inside, other=0.0)
        new_max, new_sum = functions.online_softmax_step(running_max, running_sum, x, FAST)
        running_max = tl.where(inside, new_max, running_max)
        running_sum = tl.where(inside, new_sum, running_sum)
    total_max, total_sum = functions.online_softmax_reduce(running_max, running_sum, 1, FAST)
    one = tl.arange(0, 1)
    tl.store(max_ptr + row + one, total_max)
    tl.store(sum_ptr + row + one, total_sum)


@pytest.mark.parametrize("fast", [False, True])
def test_online_softmax_takes_rows_with_minus_infinity(fast):
    x = rows(width=61)
    x[2, 3], x[2, 9], x[3, 4] = 1.0, 88.0, 2.0
    x[0, :20] = -INF
    largest, total = torch.empty(7), torch.empty(7)
    run(softmax_kernel, (7,), x, largest, total, 61, FAST=fast, BLOCK=16)
    torch.testing.assert_close(largest, x.amax(1), rtol=0, atol=0)
    expected = (x - x.amax(1, keepdim=True)).double().exp().sum(1).float()
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=0)


@triton.jit
def integers_kernel(a_ptr, b_ptr, quotient_ptr, remainder_ptr, power_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    a = tl.load(a_ptr + at, at < n, other=1)
    b = tl.load(b_ptr + at, at < n, other=1)
    tl.store(quotient_ptr + at, functions.floor_divide(a, b), at < n)
    tl.store(remainder_ptr + at, functions.floor_remainder(a, b), at < n)
    tl.store(power_ptr + at, functions.integer_power(a, tl.abs(b)), at < n)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integer_arithmetic_rounds_down_and_wraps(dtype):
    a = torch.tensor([7, -7, 7, -7, 6, -6, 0, 5, -1, 3], dtype=dtype)
    b = torch.tensor([2, 2, -2, -2, 3, 3, -4, 7, 31, 21], dtype=dtype)
    out = [torch.empty_like(a) for _ in range(3)]
    run(integers_kernel, (1,), a, b, *out, 10, BLOCK=16)
    assert out[0].tolist() == torch.div(a, b, rounding_mode="floor").tolist()
    assert out[1].tolist() == torch.remainder(a, b).tolist()
    assert out[2].tolist() == (a ** b.abs()).tolist()


@triton.jit
def joins_kernel(x_ptr, product_ptr, any_ptr, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + row * width + cols, cols < width, other=1.0)
    one = tl.arange(0, 1)
    tl.store(product_ptr + row + one, functions.reduce_product(x, 1))
    tl.store(any_ptr + row + one, functions.reduce_any((x > 2.5) & (cols < width), 1))


def test_product_and_any():
    x = torch.randn(9, 29)
    product, found = torch.empty(9), torch.empty(9, dtype=torch.bool)
    run(joins_kernel, (9,), x, product, found, 29, BLOCK=32)
    torch.testing.assert_close(product, x.double().prod(1).float(), rtol=1e-5, atol=0)
    assert found.tolist() == (x > 2.5).any(1).tolist()


@triton.jit
def last_kernel(x_ptr, out_ptr, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + row * width + cols, cols < width, other=float("nan"))
    last = functions.select_one(x, cols == width - 1, dim=-1, keep_dims=True)
    tl.store(out_ptr + row + tl.arange(0, 1)[None, :], last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_selecting_one_ignores_the_others(dtype):
    x = rows().to(dtype)
    x[:3, -1] = torch.tensor([INF, 65504.0 if dtype is torch.float16 else 3e38, -2.0]).to(dtype)
    out = torch.empty(7, 1, dtype=dtype)
    run(last_kernel, (7,), x, out, 53, BLOCK=64)
    torch.testing.assert_close(out, x[:, -1:], rtol=0, atol=0)


SINCE = {"pow_integer": (2, 12), "online_softmax_combine_with_sum": (2, 13)}


def missing_helpers():
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return {name for name, since in SINCE.items() if version < since}


def test_arguments_agree_with_those_of_inductors_helpers():
    """What a generated kernel passes, by position or keyword, means the same here."""
    for theirs, ours in functions.FUNCTIONS.items():
        if theirs in missing_helpers():
            continue
        given = set(getattr(triton_helpers, theirs).arg_names) & set(functions.KEYWORDS)
        assert {functions.KEYWORDS[name] for name in given} <= set(
            getattr(functions, ours).arg_names
        )
        needless = functions.NEEDLESS_ARGUMENTS.get(theirs, ())
        wanted = [
            name
            for place, name in enumerate(getattr(triton_helpers, theirs).arg_names)
            if place not in needless and name not in needless
        ]
        have = getattr(functions, ours).arg_names
        assert len(have) == len(wanted), (theirs, wanted, have)
        for keyword in {"keep_dims", "descending"} & set(wanted):
            assert have.index(keyword) == wanted.index(keyword)
    assert functions.select_one.arg_names[2] == "dim"


def test_every_name_stands_for_a_helper_of_inductor():
    """Fails when Inductor renames a helper that generated kernels call (torch 2.11 to 2.13)."""
    missing = {name for name in functions.FUNCTIONS if not hasattr(triton_helpers, name)}
    assert missing == missing_helpers()
    module = importlib.import_module(functions.__name__)
    assert all(hasattr(module, name) for name in functions.FUNCTIONS.values())


@triton.jit
def frexp_kernel(x_ptr, mantissa_ptr, exponent_ptr, count, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    inside = place < count
    mantissa, exponent = functions.mantissa_and_exponent(tl.load(x_ptr + place, inside, other=1.0))
    tl.store(mantissa_ptr + place, mantissa, inside)
    tl.store(exponent_ptr + place, exponent, inside)


def test_mantissa_and_exponent():
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 2.0**-126, -(2.0**127), INF, -INF, NAN]
    x = torch.cat([torch.tensor(edges), rows().flatten()[:200] * 1e5])
    mantissa, exponent = torch.empty_like(x), torch.empty(len(x), dtype=torch.int32)
    run(frexp_kernel, (1,), x, mantissa, exponent, len(x), BLOCK=256)
    wanted, powers = torch.frexp(x)
    torch.testing.assert_close(mantissa, wanted, equal_nan=True, rtol=0, atol=0)
    finite = torch.isfinite(x)
    assert torch.equal(exponent[finite], powers[finite])


@triton.jit
def meeting_kernel(semaphore_ptr, x_ptr, out_ptr):
    me = tl.program_id(0)
    row = tl.program_id(1)
    count = tl.num_programs(0)
    base = x_ptr + row * count
    for _ in range(3):
        tl.store(base + me, tl.load(base + me) * 2)
        functions.grid_barrier(semaphore_ptr + row)
        other = tl.load(base + (me + 1) % count)
        functions.grid_barrier(semaphore_ptr + row)
        tl.store(base + me, other)
    tl.store(out_ptr + row * count + me, tl.load(base + me))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_barrier_serves_several_times(count):
    x = torch.arange(2.0 * count).view(2, count)
    wanted = torch.roll(x * 8, -3, dims=1)
    semaphores, out = torch.zeros(2, dtype=torch.uint32), torch.empty_like(x)
    run(meeting_kernel, (count, 2), semaphores, x, out)
    assert torch.equal(out, wanted)


@triton.jit
def add(a, b):
    return a + b


@triton.jit
def scan_kernel(x_ptr, out_ptr, scratch_ptr, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    me = tl.program_id(0)
    place = me * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + place)
    total = tl.reduce(x, 0, add)
    if WIDE:
        before = functions.preceding_blocks_64(scratch_ptr, total, me, add)
    else:
        before = functions.preceding_blocks(scratch_ptr, total, me, add, tl.uint32, tl.uint64)
    tl.store(out_ptr + place, tl.where(me == 0, 0, before) + tl.associative_scan(x, 0, add))


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.int64, torch.float64])
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_a_scan_over_blocks(dtype, blocks):
    x = torch.randint(-99, 99, (blocks * 16,)).to(dtype)
    out, wide = torch.empty_like(x), x.element_size() == 8
    scratch = torch.zeros(3 * blocks, dtype=torch.uint64)
    run(scan_kernel, (blocks,), x, out, scratch, BLOCK=16, WIDE=wide)
    assert torch.equal(out, x.cumsum(0).to(dtype))


@triton.jit
def drawn_integers_kernel(out_ptr, theirs_ptr, seed, low, high, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    low, high = tl.full([1], low, tl.int64), tl.full([1], high, tl.int64)
    ours = functions.random_integers(seed, place.to(tl.uint32), low, high)
    tl.store(out_ptr + place, ours)
    tl.store(theirs_ptr + place, triton_helpers.randint64(seed, place.to(tl.uint32), low, high))


@pytest.mark.parametrize("bounds", [(0, 2), (-7, 9), (3, 4), (-(2**40), 2**40), (0, 2**62 + 1)])
def test_random_integers_are_inductors(bounds):
    ours, theirs = (torch.full((256,), -1, dtype=torch.int64) for _ in range(2))
    run(drawn_integers_kernel, (1,), ours, theirs, 2**50 + 77, *bounds, BLOCK=256)
    assert torch.equal(ours, theirs)
    assert bounds[0] <= int(ours.min()) <= int(ours.max()) < bounds[1]
    assert len(ours.unique()) == min(bounds[1] - bounds[0], 256)


@triton.jit
def buckets_kernel(
    x_ptr, bounds_ptr, order_ptr, out_ptr, rows, RIGHT: tl.constexpr, BLOCK: tl.constexpr
):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < rows * 11
    start = place // 11 * 13
    x = tl.load(x_ptr + place, inside, other=0.0)
    found = functions.bucket_of(
        x, bounds_ptr, 13, rows * 13, 1, start, tl.int32, RIGHT, order_ptr, 1, start
    )
    tl.store(out_ptr + place, found, inside)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("sorts", [False, True])
def test_buckets_of_rows(right, sorts):
    bounds, x = rows(7, 13, seed=1), rows(7, 11, seed=2)
    order = bounds.argsort(1)
    if not sorts:
        bounds = bounds.gather(1, order)
    x[:, 5] = bounds[:, 4]
    found = torch.empty(7, 11, dtype=torch.int32)
    run(buckets_kernel, (3,), x, bounds, order if sorts else None, found, 7, RIGHT=right, BLOCK=32)
    wanted = torch.searchsorted(bounds, x, right=right, sorter=order if sorts else None)
    assert torch.equal(found.long(), wanted)
