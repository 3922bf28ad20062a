"""The kernels of Triton's tutorials, written anew from their descriptions, against torch.

All run with memory checks on, in the order of instances and in a permuted one.
"""

import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice
from triton.tools.tensor_descriptor import TensorDescriptor

from builder.execute import ExecutionOptions, launches_on_cpu


@pytest.fixture(params=[None, 3], ids=["in order", "permuted"], autouse=True)
def _on_cpu(request):
    with launches_on_cpu(ExecutionOptions(permute_seed=request.param)):
        yield


@triton.jit
def vector_add(x, y, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    tl.store(out + index, tl.load(x + index, mask=inside) + tl.load(y + index, inside), inside)


@pytest.mark.parametrize("n", [1, 1023, 98432])
def test_vector_add(n):
    x, y, out = torch.randn(n), torch.randn(n), torch.empty(n)
    vector_add[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n, BLOCK=1024)
    assert torch.equal(out, x + y)


@triton.jit
def fused_softmax(
    out, x, out_stride, stride, rows, columns, BLOCK: tl.constexpr, STAGES: tl.constexpr
):
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=STAGES):
        lane = tl.arange(0, BLOCK)
        value = tl.load(x + row * stride + lane, lane < columns, other=-float("inf"))
        powers = tl.exp(value - tl.max(value, axis=0))
        result = powers / tl.sum(powers, axis=0)
        tl.store(out + row * out_stride + lane, result, lane < columns)


@pytest.mark.parametrize("shape", [(183, 781), (5, 1), (2, 1024)])
def test_fused_softmax(shape):
    x = torch.randn(shape[0], shape[1] + 3)[:, : shape[1]]
    out = torch.empty(shape)
    block = triton.next_power_of_2(shape[1])
    fused_softmax[(7,)](out, x, out.stride(0), x.stride(0), *shape, BLOCK=block, STAGES=2)
    assert torch.allclose(out, x.softmax(1), atol=1e-6)


@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.autotune(
    configs=[
        triton.Config({"TM": 32, "TN": 64, "TK": 32, "GROUP": 3}, num_stages=3, num_warps=4),
        triton.Config({"TM": 64, "TN": 64, "TK": 16, "GROUP": 8}, num_stages=4, num_warps=2),
    ],
    key=["m", "n", "k"],
)
@triton.jit
def grouped_matmul(
    a, b, c, m, n, k, a_row, a_column, b_row, b_column, c_row, c_column,
    TM: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr, GROUP: tl.constexpr,
    ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Tiles are walked in groups of rows, so that neighbours share what the cache holds."""
    number = tl.program_id(axis=0)
    rows, columns = tl.cdiv(m, TM), tl.cdiv(n, TN)
    group = number // (GROUP * columns)
    height = min(rows - group * GROUP, GROUP)
    place = number % (GROUP * columns)
    tile_row, tile_column = group * GROUP + place % height, place // height
    tl.assume(tile_row >= 0)
    tl.assume(a_row > 0)
    i = (tile_row * TM + tl.arange(0, TM)) % m
    j = (tile_column * TN + tl.arange(0, TN)) % n
    depth = tl.arange(0, TK)
    left = a + i[:, None] * a_row + depth[None, :] * a_column
    right = b + depth[:, None] * b_row + j[None, :] * b_column
    total = tl.zeros((TM, TN), tl.float32)
    for step in range(tl.cdiv(k, TK)):
        rest = k - step * TK
        total = tl.dot(
            tl.load(left, depth[None, :] < rest, other=0.0),
            tl.load(right, depth[:, None] < rest, other=0.0),
            total,
        )
        left += TK * a_column
        right += TK * b_row
    if ACTIVATION == "leaky_relu":
        total = leaky_relu(total)
    i, j = tile_row * TM + tl.arange(0, TM), tile_column * TN + tl.arange(0, TN)
    place = c + i[:, None] * c_row + j[None, :] * c_column
    tl.store(place, total.to(c.dtype.element_ty), (i[:, None] < m) & (j[None, :] < n))


@pytest.mark.parametrize("shape", [(130, 77, 65), (33, 200, 129)])
@pytest.mark.parametrize("activation", ["", "leaky_relu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float8_e5m2])
def test_matmul(shape, activation, dtype):
    m, k, n = shape
    a = torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype).T
    c = torch.empty(m, n, dtype=torch.float16)
    grouped_matmul[lambda meta: (triton.cdiv(m, meta["TM"]) * triton.cdiv(n, meta["TN"]),)](
        a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride(), ACTIVATION=activation
    )
    exact = a.float() @ b.float()
    if activation:
        exact = torch.nn.functional.leaky_relu(exact)
    assert torch.allclose(c.float(), exact, rtol=1e-3, atol=1e-2)


@triton.jit
def seeded_dropout(x, out, n, p, seed, BLOCK: tl.constexpr):
    index = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    keep = tl.rand(seed, index) > p
    value = tl.load(x + index, inside)
    tl.store(out + index, tl.where(keep, value / (1 - p), 0.0), inside)


def test_low_memory_dropout():
    n = 10001
    x, outs = torch.randn(n), [torch.empty(n) for _ in range(3)]
    for out, seed in zip(outs, (123, 123, 512), strict=True):
        seeded_dropout[(triton.cdiv(n, 1024),)](x, out, n, 0.25, seed, BLOCK=1024)
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    kept = outs[0] != 0
    assert torch.allclose(outs[0][kept], x[kept] / 0.75)
    assert abs(kept.float().mean().item() - 0.75) < 5 * (0.75 * 0.25 / n) ** 0.5


@triton.jit
def norm_forward(x, y, w, b, mean_out, rstd_out, stride, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x += row * stride
    y += row * stride
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        lane = start + tl.arange(0, BLOCK)
        total += tl.load(x + lane, lane < n, other=0.0).to(tl.float32)
    mean = tl.sum(total, axis=0) / n
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        lane = start + tl.arange(0, BLOCK)
        value = tl.load(x + lane, lane < n, other=0.0).to(tl.float32)
        value = tl.where(lane < n, value - mean, 0.0)
        squares += value * value
    rstd = 1 / tl.sqrt(tl.sum(squares, axis=0) / n + eps)
    tl.store(mean_out + row, mean)
    tl.store(rstd_out + row, rstd)
    for start in range(0, n, BLOCK):
        lane = start + tl.arange(0, BLOCK)
        inside = lane < n
        normed = (tl.load(x + lane, inside, other=0.0).to(tl.float32) - mean) * rstd
        tl.store(y + lane, normed * tl.load(w + lane, inside) + tl.load(b + lane, inside), inside)


@triton.jit
def norm_backward(
    dx, dy, dw, db, x, w, mean, rstd, lock, stride, n, GROUPS: tl.constexpr, BLOCK: tl.constexpr
):
    """Rows of one group add to one partial sum, one after another: the lock lets one in."""
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    inside = lane < n
    value = tl.load(x + row * stride + lane, inside, other=0).to(tl.float32)
    upstream = tl.load(dy + row * stride + lane, inside, other=0).to(tl.float32)
    weight = tl.load(w + lane, inside).to(tl.float32)
    inverse = tl.load(rstd + row)
    normed = tl.where(inside, (value - tl.load(mean + row)) * inverse, 0.0)
    scaled = tl.where(inside, weight * upstream, 0.0)
    first, second = tl.sum(normed * scaled, axis=0) / n, tl.sum(scaled, axis=0) / n
    tl.store(dx + row * stride + lane, (scaled - (normed * first + second)) * inverse, inside)
    group = row % GROUPS
    part_w, part_b = upstream * normed, upstream
    dw += group * n + lane
    db += group * n + lane
    count = lock + GROUPS + group
    while tl.atomic_cas(lock + group, 0, 1) == 1:
        pass
    if tl.load(count) == 0:
        tl.atomic_xchg(count, 1)
    else:
        part_w += tl.load(dw, inside)
        part_b += tl.load(db, inside)
    tl.store(dw, part_w, inside)
    tl.store(db, part_b, inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock + group, 0)


@triton.jit
def norm_backward_sums(dw, db, dw_out, db_out, m, n, TM: tl.constexpr, TN: tl.constexpr):
    columns = tl.program_id(0) * TN + tl.arange(0, TN)
    sum_w, sum_b = tl.zeros((TM, TN), tl.float32), tl.zeros((TM, TN), tl.float32)
    for start in range(0, m, TM):
        rows = start + tl.arange(0, TM)
        inside = (rows[:, None] < m) & (columns[None, :] < n)
        place = rows[:, None] * n + columns[None, :]
        sum_w += tl.load(dw + place, inside, other=0.0)
        sum_b += tl.load(db + place, inside, other=0.0)
    tl.store(dw_out + columns, tl.sum(sum_w, axis=0), columns < n)
    tl.store(db_out + columns, tl.sum(sum_b, axis=0), columns < n)


@pytest.mark.parametrize(("m", "n", "dtype"), [(37, 150, torch.float32), (16, 257, torch.float16)])
def test_layer_norm(m, n, dtype):
    x = torch.randn(m, n).to(dtype).requires_grad_()
    w, b = (torch.randn(n).to(dtype).requires_grad_() for _ in range(2))
    y, mean, rstd = torch.empty_like(x), torch.empty(m), torch.empty(m)
    given = [t.detach() for t in (x, w, b)]
    norm_forward[(m,)](given[0], y, *given[1:], mean, rstd, x.stride(0), n, 1e-5, BLOCK=64)
    expected = torch.nn.functional.layer_norm(x, (n,), w, b, 1e-5)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    assert torch.allclose(y, expected, atol=tolerance, rtol=tolerance)
    dy, groups = torch.randn(m, n).to(dtype), 4
    expected.backward(dy)
    dx, lock = torch.empty(m, n, dtype=dtype), torch.zeros(2 * groups, dtype=torch.int32)
    parts = [torch.empty(groups, n) for _ in range(2)]
    norm_backward[(m,)](
        dx, dy, *parts, given[0], given[1], mean, rstd, lock, x.stride(0), n, GROUPS=groups,
        BLOCK=triton.next_power_of_2(n), num_warps=4,
    )  # fmt: skip
    sums = [torch.empty(n, dtype=dtype) for _ in range(2)]
    norm_backward_sums[(triton.cdiv(n, 128),)](*parts, *sums, groups, n, TM=32, TN=128)
    for out, reference in zip((dx, *sums), (x.grad, w.grad, b.grad), strict=True):
        assert torch.allclose(out, reference, atol=tolerance, rtol=tolerance)


@triton.jit
def arc_sine(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + index, index < n)
    tl.store(out + index, libdevice.asin(value), index < n)


def test_extern_functions():
    x, out = torch.rand(9843), torch.empty(9843)
    arc_sine[(triton.cdiv(9843, 1024),)](x, out, 9843, BLOCK=1024)
    assert torch.allclose(out, torch.asin(x))


@triton.jit
def persistent_matmul(
    a, b, c, m, n, k, TM: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr, GROUP: tl.constexpr
):
    """Descriptors for every operand; each instance takes every so-many-th tile."""
    rows, columns = tl.cdiv(m, TM), tl.cdiv(n, TN)
    for tile in tl.range(tl.program_id(0), rows * columns, tl.num_programs(0), flatten=True):
        group = tile // (GROUP * columns)
        height = min(rows - group * GROUP, GROUP)
        i = (group * GROUP + tile % height) * TM
        j = tile % (GROUP * columns) // height * TN
        total = tl.zeros((TM, TN), tl.float32)
        for step in range(tl.cdiv(k, TK)):
            total = tl.dot(a.load([i, step * TK]), b.load([j, step * TK]).T, total)
        c.store([i, j], total.to(tl.float16))


@pytest.mark.parametrize("shape", [(100, 72, 56), (129, 40, 200)])
def test_persistent_matmul_with_descriptors(shape):
    m, n, k = shape
    a, b = torch.randn(m, k).half(), torch.randn(n, k).half()
    c = torch.empty(m, n, dtype=torch.float16)
    tiles = [TensorDescriptor.from_tensor(*pair) for pair in ((a, [32, 32]), (b, [16, 32]))]
    target = TensorDescriptor.from_tensor(c, [32, 16])
    persistent_matmul[(5,)](*tiles, target, m, n, k, TM=32, TN=16, TK=32, GROUP=1)
    assert torch.allclose(c.float(), a.float() @ b.float().T, rtol=1e-3, atol=1e-2)
