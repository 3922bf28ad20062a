"""Operations that make blocks, and those that rearrange them, against torch."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run

COVERED = {
    "arange", "broadcast", "broadcast_to", "cat", "expand_dims", "flip", "full", "gather",
    "interleave", "join", "num_programs", "permute", "program_id", "ravel", "reshape", "split",
    "squeeze", "swizzle2d", "tensor", "trans", "unsqueeze", "view", "zeros", "zeros_like",
    "block_type", "slice",
}  # fmt: skip


@triton.jit
def load3(x, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    a, b, c = tl.arange(0, A), tl.arange(0, B), tl.arange(0, C)
    return tl.load(x + a[:, None, None] * B * C + b[None, :, None] * C + c[None, None, :])


@triton.jit
def save(out, value):
    flat = tl.reshape(value, [value.numel])
    tl.store(out + tl.arange(0, value.numel), flat)


@triton.jit
def rearranged(x, out, HOW: tl.constexpr):  # noqa: C901, PLR0912
    v = load3(x, 2, 4, 8)
    if HOW == "permute":
        save(out, tl.permute(v, (2, 0, 1)))
    elif HOW == "permute method":
        save(out, v.permute(2, 0, 1))
    elif HOW == "trans":
        save(out, tl.trans(tl.reshape(v, [8, 8])))
    elif HOW == "T":
        save(out, v.reshape(8, 8).T)
    elif HOW == "trans dims":
        save(out, tl.trans(v, 1, 0, 2))
    elif HOW == "ravel":
        save(out, tl.ravel(tl.trans(v, 1, 0, 2)))
    elif HOW == "view":
        save(out, tl.view(v, [16, 4]).trans())
    elif HOW == "reshape":
        save(out, tl.reshape(v, [4, 16], can_reorder=False).T)
    elif HOW == "flip":
        save(out, tl.flip(v, 2))
    elif HOW == "flip first":
        save(out, tl.flip(v, 0))
    elif HOW == "flip method":
        save(out, v.flip(1))
    elif HOW == "squeeze":
        save(out, tl.squeeze(tl.reshape(v, [8, 1, 8]), 1).T)
    elif HOW == "unsqueeze":
        save(out, tl.unsqueeze(tl.reshape(v, [8, 8]), 0).permute(2, 1, 0))
    elif HOW == "slice":
        save(out, tl.reshape(v, [8, 8])[:, None, :].permute(2, 0, 1))


REARRANGED = {
    "permute": lambda x: x.permute(2, 0, 1),
    "permute method": lambda x: x.permute(2, 0, 1),
    "trans": lambda x: x.reshape(8, 8).T,
    "T": lambda x: x.reshape(8, 8).T,
    "trans dims": lambda x: x.permute(1, 0, 2),
    "ravel": lambda x: x.permute(1, 0, 2),
    "view": lambda x: x.reshape(16, 4).T,
    "reshape": lambda x: x.reshape(4, 16).T,
    "flip": lambda x: x.flip(2),
    "flip first": lambda x: x.flip(0),
    "flip method": lambda x: x.flip(1),
    "squeeze": lambda x: x.reshape(8, 8).T,
    "unsqueeze": lambda x: x.reshape(8, 8).T,
    "slice": lambda x: x.reshape(8, 8).T,
}


@pytest.mark.filterwarnings("ignore:view is deprecated")
@pytest.mark.parametrize("how", REARRANGED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.bool])
def test_rearranged(how, dtype):
    if how in ("squeeze", "unsqueeze") and not hasattr(tl, how):
        pytest.skip("since Triton 3.7")
    x = torch.randint(-99, 99, (2, 4, 8)).to(dtype)
    out = torch.empty(64, dtype=dtype)
    run(rearranged, (1,), x, out, HOW=how)
    assert torch.equal(out, REARRANGED[how](x).reshape(-1))


@triton.jit
def reordered(x, out):
    v = load3(x, 2, 4, 8)
    save(out, tl.reshape(v, [64], can_reorder=True))
    save(out + 64, tl.cat(tl.reshape(v, [64]), tl.reshape(v, [64]) + 100, can_reorder=True))


def test_order_that_is_left_open_keeps_the_elements():
    x = torch.randint(0, 99, (2, 4, 8), dtype=torch.int32)
    out = torch.empty(192, dtype=torch.int32)
    run(reordered, (1,), x, out)
    flat = x.reshape(-1)
    assert torch.equal(out[:64].sort().values, flat.sort().values)
    assert torch.equal(out[64:].sort().values, torch.cat([flat, flat + 100]).sort().values)


@triton.jit
def combined(x, y, out, N: tl.constexpr):
    lane = tl.arange(0, N)
    a, b = tl.load(x + lane), tl.load(y + lane)
    save(out, tl.join(a, b))
    save(out + 2 * N, tl.interleave(a, b))
    left, right = tl.split(tl.reshape(tl.interleave(a, b), [N, 2]))
    save(out + 4 * N, left)
    save(out + 5 * N, right)
    deep = tl.join(tl.join(a, b), tl.join(b, a))
    save(out + 6 * N, deep)
    first, second = deep.split()
    save(out + 10 * N, first - second)


def test_joined_and_split():
    x, y = torch.randn(16), torch.randn(16)
    out = torch.empty(12 * 16)
    run(combined, (1,), x, y, out, N=16)
    pair = torch.stack([x, y], 1)
    deep = torch.stack([pair, pair.flip(1)], 2)
    parts = [pair, pair, x, y, deep, deep[..., 0] - deep[..., 1]]
    assert torch.equal(out, torch.cat([part.reshape(-1) for part in parts]))


@triton.jit
def gathered(x, index, out, AXIS: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    source = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    if AXIS == 0:
        place = tl.arange(0, K)[:, None] * N + tl.arange(0, N)[None, :]
    else:
        place = tl.arange(0, M)[:, None] * K + tl.arange(0, K)[None, :]
    tl.store(out + place, tl.gather(tl.load(x + source), tl.load(index + place), AXIS))


@pytest.mark.parametrize("axis", [0, 1])
def test_gather(axis):
    x = torch.randn(8, 16)
    shape = (32, 16) if axis == 0 else (8, 32)
    index = torch.randint(0, x.shape[axis], shape, dtype=torch.int32)
    out = torch.empty(shape)
    run(gathered, (1,), x, index, out, AXIS=axis, M=8, N=16, K=32)
    assert torch.equal(out, torch.gather(x, axis, index.long()))


@triton.jit
def spread(out, x, N: tl.constexpr):
    lane = tl.arange(0, N)
    save(out, tl.full([N], 3.5, tl.float32))
    save(out + N, tl.zeros([N], tl.float32) + lane)
    save(out + 2 * N, tl.zeros_like(tl.load(x + lane)))
    save(out + 3 * N, tl.arange(N, 2 * N).to(tl.float32))
    column, row = tl.expand_dims(lane, 1), tl.expand_dims(tl.arange(0, 4), (0,))
    a, b = tl.broadcast(column, row)
    tl.static_assert(a.type == tl.block_type(tl.int32, [N, 4]))
    save(out + 4 * N, (a * 10 + b).to(tl.float32))
    save(out + 8 * N, tl.broadcast_to(row, [N, 4]).to(tl.float32))
    save(out + 12 * N, lane[None, :].broadcast_to(2, N).to(tl.float32))
    save(out + 14 * N, tl.broadcast_to(tl.load(x), [N]))


def test_made_and_spread():
    x, out = torch.randn(16), torch.empty(15 * 16)
    run(spread, (1,), out, x, N=16)
    lane, row = torch.arange(16.0), torch.arange(4.0)
    parts = [
        torch.full((16,), 3.5), lane, torch.zeros(16), lane + 16, lane[:, None] * 10 + row,
        row.expand(16, 4), lane.expand(2, 16), x[:1].expand(16),
    ]  # fmt: skip
    assert torch.equal(out, torch.cat([part.reshape(-1) for part in parts]))


@triton.jit
def places(out):
    x, y, z = tl.program_id(0), tl.program_id(axis=1), tl.program_id(2)
    width, height = tl.num_programs(0), tl.num_programs(axis=1)
    flat = (z * height + y) * width + x
    tl.store(out + flat, x * 10000 + y * 100 + z + 1000000 * tl.num_programs(2))


def test_places_in_the_grid():
    out = torch.empty(2 * 3 * 5, dtype=torch.int32)
    run(places, (5, 3, 2), out)
    z, y, x = torch.meshgrid(torch.arange(2), torch.arange(3), torch.arange(5), indexing="ij")
    assert torch.equal(out.long(), (x * 10000 + y * 100 + z + 2000000).reshape(-1))


@triton.jit
def swizzled(rows, columns, M: tl.constexpr, N: tl.constexpr, GROUP: tl.constexpr):
    i, j = tl.program_id(0), tl.program_id(1)
    row, column = tl.swizzle2d(i, j, M, N, GROUP)
    tl.store(rows + i * N + j, row)
    tl.store(columns + i * N + j, column)


@pytest.mark.parametrize(("m", "n", "group"), [(4, 4, 2), (5, 3, 2), (1, 7, 4)])
def test_swizzled_order(m, n, group):
    """Groups of rows are walked column by column (the function's documentation)."""
    rows, columns = (torch.empty(m * n, dtype=torch.int32) for _ in range(2))
    run(swizzled, (m, n), rows, columns, M=m, N=n, GROUP=group)
    expected = [
        (row, column)
        for first in range(0, m, group)
        for column in range(n)
        for row in range(first, min(first + group, m))
    ]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
