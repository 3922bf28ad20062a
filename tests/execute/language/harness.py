"""What the tests of single operations share: kernels around one operation, nasty inputs."""

from fractions import Fraction

import torch
import triton
import triton.language as tl

from builder.execute import run

INF, NAN = float("inf"), float("nan")
FLOATS = [
    0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38,
    0.5, -0.5, 1.5, 2.5, -2.5, 1e-3, -88.5, 88.5, 3.75, 100.25, 0.99999994,
]  # fmt: skip
"""An odd number of float32 values at which functions differ most."""


@triton.jit
def unary(x, out, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, OP(tl.load(x + index, index < n)), index < n)


@triton.jit
def binary(x, y, out, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    tl.store(out + index, OP(tl.load(x + index, mask), tl.load(y + index, mask)), mask)


@triton.jit
def ternary(x, y, z, out, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    first, second = tl.load(x + index, mask), tl.load(y + index, mask)
    tl.store(out + index, OP(first, second, tl.load(z + index, mask)), mask)


def elementwise(op, *operands, dtype=None, block=16):
    """The operation on all elements, in blocks that do not divide their number."""
    n = operands[0].numel()
    out = torch.empty(operands[0].shape, dtype=dtype or operands[0].dtype)
    kernel = (unary, binary, ternary)[len(operands) - 1]
    run(kernel, (triton.cdiv(n, block),), *operands, out, n, OP=op, BLOCK=block)
    return out


def floats(dtype=torch.float32):
    return torch.tensor(FLOATS, dtype=torch.float64).to(dtype)


def float_pairs(dtype=torch.float32):
    grid = torch.cartesian_prod(floats(dtype), floats(dtype))
    return grid[:, 0].contiguous(), grid[:, 1].contiguous()


def integers(dtype=torch.int32):
    info = torch.iinfo(dtype)
    values = [0, 1, 2, 3, 7, 100, info.max, info.max - 1, info.max // 2, info.min, info.min + 1]
    values += [-1, -2, -3, -7, -100] if info.min < 0 else [info.max // 2 + 1]
    return torch.tensor(values, dtype=dtype)


def integer_pairs(dtype=torch.int32):
    left = integers(dtype).tolist()
    pairs = [(a, b) for a in left for b in left]
    return tuple(torch.tensor(side, dtype=dtype) for side in zip(*pairs, strict=True))


def same(out, expected):
    """Equal to the last bit, -0.0 told from 0.0; any NaN is one NaN."""
    assert out.dtype == expected.dtype
    assert out.shape == expected.shape
    if not out.dtype.is_floating_point:
        assert torch.equal(out, expected)
        return
    a, b = out.double(), expected.double()
    alike = (a == b) & (torch.signbit(a) == torch.signbit(b)) | (a.isnan() & b.isnan())
    assert alike.all(), (out[~alike][:5], expected[~alike][:5])


def near(out, exact, ulps=2):
    """Within some units in the last place of the float64 result."""
    expected = exact.to(out.dtype)
    special = ~torch.isfinite(expected) | ~torch.isfinite(out)
    same(out[special], expected[special])
    spacing = torch.finfo(out.dtype).eps * exact.abs().clamp(min=torch.finfo(out.dtype).tiny)
    error = (out.double() - exact).abs()
    wrong = ~special & (error > ulps * spacing)
    assert not wrong.any(), (out[wrong][:5], exact[wrong][:5])


def nearest(exact, dtype=torch.float32):
    """The number of the type nearest to a fraction, ties to even."""
    try:
        wide = exact.numerator / exact.denominator
    except OverflowError:
        return INF if exact > 0 else -INF
    if dtype == torch.float64 or exact == 0:
        return wide
    guess = torch.tensor(wide, dtype=torch.float64).to(dtype)
    around = [guess] + [torch.nextafter(guess, guess.new_tensor(end)) for end in (-INF, INF)]
    finite = [value for value in around if torch.isfinite(value)]
    distance = {value: abs(Fraction(value.item()) - exact) for value in finite}
    least = min(distance.values())
    best = [value for value in finite if distance[value] == least]
    even = [value for value in best if not value.view(torch.int32) & 1]
    return (even or best)[0].item()
