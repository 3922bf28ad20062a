"""Reductions, scans, sorts and counts, against torch."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run
from tests.execute.language.harness import INF, NAN

COVERED = {
    "argmax", "argmin", "associative_scan", "bitonic_merge", "cumprod", "cumsum", "histogram",
    "max", "min", "reduce", "reduce_or", "softmax", "sort", "sum", "topk", "xor_sum",
}  # fmt: skip


@triton.jit
def load2(x, M: tl.constexpr, N: tl.constexpr):
    return tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])


@triton.jit
def save(out, value):
    tl.store(out + tl.arange(0, value.numel), tl.reshape(value, [value.numel]))


@triton.jit
def sums(x, out, M: tl.constexpr, N: tl.constexpr):
    v = load2(x, M, N)
    save(out, tl.sum(v, 0))
    save(out + N, tl.sum(v, axis=1, keep_dims=True))
    tl.store(out + N + M, tl.sum(v))
    save(out + N + M + 1, v.sum(1).to(out.dtype.element_ty))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int8])
def test_sums(dtype):
    """Narrow integers are summed as 32 bits."""
    x = torch.randint(-99, 99, (8, 16)).to(dtype)
    wide = torch.int32 if dtype == torch.int8 else dtype
    out = torch.empty(16 + 8 + 1 + 8, dtype=wide)
    run(sums, (1,), x, out, M=8, N=16)
    y = x.to(wide)
    parts = [y.sum(0), y.sum(1), y.sum().reshape(1), y.sum(1)]
    assert torch.equal(out, torch.cat(parts).to(wide))


@triton.jit
def half_sum(x, out, N: tl.constexpr):
    tl.store(out, tl.sum(tl.load(x + tl.arange(0, N)), dtype=tl.float32))
    tl.store(out + 1, tl.sum(tl.load(x + tl.arange(0, N))))


def test_sums_of_halves_are_made_in_float32():
    x, out = torch.full((4096,), 1.0, dtype=torch.float16), torch.empty(2)
    run(half_sum, (1,), x, out, N=4096)
    assert out.tolist() == [4096.0, 4096.0]


@triton.jit
def bits(x, out, M: tl.constexpr, N: tl.constexpr):
    v = load2(x, M, N)
    save(out, tl.xor_sum(v, 0))
    save(out + N, tl.reduce_or(v, 1))
    save(out + N + M, v.xor_sum(1))
    tl.store(out + N + 2 * M, v.reduce_or(None))


def test_bits():
    x = torch.randint(-(2**31), 2**31, (4, 16)).int()
    out = torch.empty(16 + 8 + 1, dtype=torch.int32)
    run(bits, (1,), x, out, M=4, N=16)
    columns, rows, either = torch.zeros(16).int(), torch.zeros(4).int(), torch.zeros(4).int()
    for row in x:
        columns ^= row
    for column in x.T:
        rows ^= column
        either |= column
    total = either[0] | either[1] | either[2] | either[3]
    assert torch.equal(out, torch.cat([columns, either, rows, total.reshape(1)]))


@triton.jit
def extremes(x, out, places, M: tl.constexpr, N: tl.constexpr):
    v = load2(x, M, N)
    save(out, tl.max(v, 1))
    save(out + M, tl.min(v, 1))
    best, place = tl.max(v, 1, return_indices=True)
    worst, where = tl.min(v, 1, return_indices=True, return_indices_tie_break_left=True)
    save(out + 2 * M, best)
    save(out + 3 * M, worst)
    save(places, place)
    save(places + M, where)
    save(places + 2 * M, tl.argmax(v, 1))
    save(places + 3 * M, v.argmin(1, tie_break_left=True))
    tl.store(out + 4 * M, v.max())
    tl.store(out + 4 * M + 1, tl.min(v))
    any_place = tl.argmax(v, 1, tie_break_left=False)
    save(out + 4 * M + 2, tl.gather(v, any_place[:, None], 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64, torch.float16])
def test_extremes_and_their_places(dtype):
    x = torch.randint(-3, 4, (8, 32)).to(dtype)
    x[0, 5] = x[0, 9] = 50
    x[1] = -7
    if dtype.is_floating_point:
        x[2, 3], x[2, 4], x[3, 31] = INF, -INF, INF
    out, places = torch.empty(5 * 8 + 2, dtype=dtype), torch.empty(4 * 8, dtype=torch.int32)
    run(extremes, (1,), x, out, places, M=8, N=32)
    high, low = x.amax(1), x.amin(1)
    ends = torch.stack([x.max(), x.min()])
    assert torch.equal(out, torch.cat([high, low, high, low, ends, high]))
    first_high = torch.tensor([r.tolist().index(max(r.tolist())) for r in x])
    first_low = torch.tensor([r.tolist().index(min(r.tolist())) for r in x])
    assert torch.equal(places.long(), torch.cat([first_high, first_low] * 2))


def test_extremes_skip_nan():
    x = torch.randn(8, 32)
    x[:, 3] = NAN
    x[4] = NAN
    out, places = torch.empty(5 * 8 + 2), torch.empty(4 * 8, dtype=torch.int32)
    run(extremes, (1,), x, out, places, M=8, N=32)
    expected = x.nan_to_num(-INF).amax(1)
    expected[4] = NAN
    assert torch.equal(out[:8].nan_to_num(9e9), expected.nan_to_num(9e9))


@triton.jit
def either(x_value, x_count, y_value, y_count):
    if x_count > y_count:
        return x_value, x_count
    return tl.where(x_count == y_count, x_value + y_value, y_value), y_count


@triton.jit
def pairs(x, out, counts, M: tl.constexpr, N: tl.constexpr):
    v = load2(x, M, N)
    total, count = tl.reduce((v, (v * 7).to(tl.int32) % 5), 1, either)
    save(out, total)
    save(counts, count)
    kept, _ = tl.reduce((v, (v * 7).to(tl.int32) % 5), 0, either, keep_dims=True)
    save(out + M, kept)


def test_reductions_of_several_operands_that_return_early():
    x = torch.randint(0, 20, (4, 16)).float()
    out, counts = torch.empty(20), torch.empty(4, dtype=torch.int32)
    run(pairs, (1,), x, out, counts, M=4, N=16)
    keys = (x * 7).int() % 5

    def reference(values, ranks):
        return (values * (ranks == ranks.amax(1, keepdim=True))).sum(1)

    assert torch.equal(out, torch.cat([reference(x, keys), reference(x.T, keys.T)]))
    assert torch.equal(counts, keys.amax(1).int())


@triton.jit
def joined_text(a_left, a_right, b_left, b_right):
    """Not commutative: the first of the left, the last of the right."""
    return a_left, b_right + 0 * a_right + 0 * b_left


@triton.jit
def scans(x, out, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    v = load2(x, M, N)
    save(out, tl.cumsum(v, AXIS, reverse=REVERSE))
    save(out + M * N, v.cumprod(AXIS, reverse=REVERSE))
    first, last = tl.associative_scan((v, v), AXIS, joined_text, reverse=REVERSE)
    save(out + 2 * M * N, first)
    save(out + 3 * M * N, last)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int32])
def test_scans(axis, reverse, dtype):
    x = torch.randint(-2, 3, (8, 16)).to(dtype)
    out = torch.empty(4, 8, 16, dtype=dtype)
    run(scans, (1,), x, out, M=8, N=16, AXIS=axis, REVERSE=reverse)
    given = x.flip(axis) if reverse else x
    first = given.narrow(axis, 0, 1).expand(8, 16)
    parts = [given.cumsum(axis), given.cumprod(axis), first, given]
    expected = torch.stack([p.flip(axis) if reverse else p for p in parts]).to(dtype)
    assert torch.equal(out, expected)


@triton.jit
def narrow_scan(x, out, N: tl.constexpr):
    save(out, tl.cumsum(tl.load(x + tl.arange(0, N)), dtype=tl.int64))


def test_scan_in_another_type():
    x, out = torch.full((64,), 2**30).int(), torch.empty(64, dtype=torch.int64)
    run(narrow_scan, (1,), x, out, N=64)
    assert torch.equal(out, x.long().cumsum(0))


@triton.jit
def sorted_rows(x, out, K: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    v = load2(x, M, N)
    save(out, tl.sort(v, 1))
    save(out + M * N, tl.sort(v, descending=True))
    save(out + 2 * M * N, tl.topk(v, K))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.int64, torch.bfloat16])
def test_sorts_with_ties(dtype):
    x = torch.randint(-9, 9, (4, 32)).to(dtype)
    if dtype.is_floating_point:
        x[0, 3], x[0, 9], x[1, 0] = INF, -INF, -INF
    out = torch.empty(2 * 4 * 32 + 4 * 8, dtype=dtype)
    run(sorted_rows, (1,), x, out, K=8, M=4, N=32)
    up, down = x.sort(1).values, x.sort(1, descending=True).values
    assert torch.equal(out, torch.cat([up.reshape(-1), down.reshape(-1), down[:, :8].reshape(-1)]))


@triton.jit
def merged(x, out, N: tl.constexpr, DESCENDING: tl.constexpr):
    lane = tl.arange(0, N)
    save(out, tl.bitonic_merge(tl.load(x + lane), descending=DESCENDING))


@pytest.mark.parametrize("descending", [False, True])
def test_bitonic_merge(descending):
    """The halves of a bitonic sequence are sorted in opposite directions."""
    left, right = torch.randn(16).sort().values, torch.randn(16).sort(descending=True).values
    x, out = torch.cat([left, right]), torch.empty(32)
    run(merged, (1,), x, out, N=32, DESCENDING=descending)
    assert torch.equal(out, x.sort(descending=descending).values)


@triton.jit
def counted(x, out, n, N: tl.constexpr, BINS: tl.constexpr):
    lane = tl.arange(0, N)
    v = tl.load(x + lane, lane < n, other=0)
    save(out, tl.histogram(v, BINS, mask=lane < n))
    save(out + BINS, v.histogram(BINS))


def test_histogram():
    x = torch.randint(0, 8, (45,), dtype=torch.int32)
    out = torch.empty(16, dtype=torch.int32)
    run(counted, (1,), x, out, 45, N=64, BINS=8)
    counts = torch.bincount(x, minlength=8)
    padded = counts.clone()
    padded[0] += 64 - 45
    assert torch.equal(out.long(), torch.cat([counts, padded]))


@triton.jit
def probabilities(x, out, M: tl.constexpr, N: tl.constexpr):
    save(out, tl.softmax(load2(x, M, N), dim=1, keep_dims=True))
    save(out + M * N, load2(x, M, N).softmax(0, keep_dims=True))


def test_softmax():
    x = torch.randn(4, 16) * 30
    x[1, 2] = -INF
    out = torch.empty(2, 4, 16)
    run(probabilities, (1,), x, out, M=4, N=16)
    assert torch.allclose(out, torch.stack([x.softmax(1), x.softmax(0)]), atol=1e-6)
