"""Functions of single elements, against torch in float64."""

from fractions import Fraction

import pytest
import torch
import triton
import triton.language as tl

from tests.execute.language.harness import (
    INF,
    NAN,
    elementwise,
    float_pairs,
    floats,
    integer_pairs,
    integers,
    near,
    nearest,
    same,
)

COVERED = {
    "abs", "add", "cdiv", "ceil", "clamp", "cos", "div_rn", "erf", "exp", "exp2", "fdiv", "floor",
    "fma", "inline_asm_elementwise", "log", "log2", "map_elementwise", "maximum", "minimum", "mul",
    "PropagateNan", "rsqrt", "sigmoid", "sin", "sqrt", "sqrt_rn", "sub", "umulhi", "where",
}  # fmt: skip

FUNCTIONS = {
    tl.cos: torch.cos, tl.erf: torch.erf, tl.exp: torch.exp, tl.exp2: torch.exp2,
    tl.log: torch.log, tl.log2: torch.log2, tl.rsqrt: torch.rsqrt, tl.sigmoid: torch.sigmoid,
    tl.sin: torch.sin, tl.sqrt: torch.sqrt,
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions(function, dtype):
    x = floats(dtype)
    if function in (tl.sin, tl.cos, tl.sigmoid):
        x = x[~torch.isfinite(x) | (x.abs() < 1e30)]
    near(elementwise(function, x), FUNCTIONS[function](x.double()), ulps=8)


@pytest.mark.parametrize("function", [tl.ceil, tl.floor, tl.abs, tl.sqrt_rn])
def test_exact_functions(function):
    x = floats()
    reference = {"sqrt_rn": torch.sqrt}.get(function.__name__) or getattr(torch, function.__name__)
    same(elementwise(function, x), reference(x.double()).float())


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.uint8])
def test_magnitudes_of_integers_wrap(dtype):
    x = integers(dtype)
    same(elementwise(tl.abs, x), x if dtype == torch.uint8 else torch.abs(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("function", [tl.add, tl.sub, tl.mul], ids=["add", "sub", "mul"])
def test_sums_and_products_round_once(function, dtype):
    a, b = float_pairs(dtype)
    reference = {"add": torch.add, "sub": torch.sub, "mul": torch.mul}[function.__name__]
    same(elementwise(function, a, b), reference(a, b))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint8])
def test_sums_and_products_of_integers_wrap(dtype):
    a, b = integer_pairs(dtype)
    same(elementwise(tl.add, a, b), a + b)
    same(elementwise(tl.sub, a, b), a - b)
    same(elementwise(tl.mul, a, b), a * b)


@triton.jit
def larger_of_all(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def smaller_of_all(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_extremes_and_nan(dtype):
    a, b = float_pairs(dtype)
    zeros = (a == 0) & (b == 0)
    a, b = a[~zeros], b[~zeros]
    same(elementwise(larger_of_all, a, b), torch.maximum(a, b))
    same(elementwise(smaller_of_all, a, b), torch.minimum(a, b))
    same(elementwise(tl.maximum, a, b), torch.fmax(a, b))
    same(elementwise(tl.minimum, a, b), torch.fmin(a, b))


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint16, torch.uint32])
def test_extremes_of_integers(dtype):
    a, b = integer_pairs(dtype)
    wide = torch.stack([a.long(), b.long()])
    same(elementwise(tl.maximum, a, b), wide.amax(0).to(dtype))
    same(elementwise(tl.minimum, a, b), wide.amin(0).to(dtype))


@triton.jit
def clamp_nan(x, low, high):
    return tl.clamp(x, low, high, propagate_nan=tl.PropagateNan.ALL)


def test_clamp():
    x = floats()
    low, high = torch.full_like(x, -2.0), torch.full_like(x, 3.0)
    same(elementwise(clamp_nan, x, low, high), x.clamp(-2, 3))
    same(elementwise(tl.clamp, x, low, high), x.clamp(-2, 3).nan_to_num(nan=-2.0))


@pytest.mark.parametrize("function", [tl.div_rn, tl.fdiv], ids=["div_rn", "fdiv"])
def test_quotients(function):
    a, b = float_pairs()
    same(elementwise(function, a, b), a / b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_multiply_add_rounds_once(dtype):
    """Sums that cancel, and sums that float64 would leave at a tie of float32."""
    a, b = (torch.randn(500, dtype=torch.float64).to(dtype) for _ in range(2))
    c = torch.where(torch.arange(500) % 2 == 0, -a * b, 1.0 + torch.randn(500).abs()).to(dtype)
    a[1::4] = torch.where(torch.rand(125) < 0.5, 2.0, 1.0).to(dtype) * 2.0**-12
    b[1::4] = 2.0**-12 * (1 + 2.0**-20)
    operands = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    expected = [nearest(Fraction(x) * Fraction(y) + Fraction(z), dtype) for x, y, z in operands]
    same(elementwise(tl.fma, a, b, c), torch.tensor(expected, dtype=torch.float64).to(dtype))


def test_fused_multiply_add_of_no_numbers():
    a = torch.tensor([INF, INF, 0.0, NAN, 1e300], dtype=torch.float64)
    b = torch.tensor([0.0, 2.0, -3.0, 1.0, 1e300], dtype=torch.float64)
    c = torch.tensor([1.0, -INF, 0.0, 1.0, -INF], dtype=torch.float64)
    expected = torch.tensor([NAN, NAN, 0.0, NAN, -INF], dtype=torch.float64)
    same(elementwise(tl.fma, a, b, c), expected)
    same(elementwise(tl.fma, a.float(), b.float(), c.float())[:4], expected.float()[:4])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint32, torch.uint64])
def test_upper_half_of_products(dtype):
    a, b = integer_pairs(dtype)
    bits = dtype.itemsize * 8
    top = (1 << bits) - 1
    expected = [
        ((x & top) * (y & top)) >> bits for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    if dtype.is_signed:
        expected = [e - (1 << bits) if e >> (bits - 1) else e for e in expected]
    same(elementwise(tl.umulhi, a, b), torch.tensor(expected, dtype=dtype))


def test_ceiling_division():
    a, b = (t.contiguous() for t in torch.cartesian_prod(torch.arange(1, 40), torch.arange(1, 9)).T)
    same(elementwise(tl.cdiv, a, b), (a + b - 1) // b)


@triton.jit
def chosen(x, y):
    return tl.where(x > y, x, -y)


def test_choice_leaves_nan_behind():
    a, b = float_pairs()
    same(elementwise(chosen, a, b), torch.where(a > b, a, 0.0 - b))


@triton.jit
def branches(x, y):
    if x != x:  # noqa: PLR0124
        return 0.0
    if x > 1:
        total = 0.0
        while total < x and total < 50:
            total += y * y + 1
        return total
    return x * y


@triton.jit
def mapped(x, y):
    return tl.map_elementwise(branches, x, y)


def scalar_branches(x, y):
    if x != x:  # noqa: PLR0124
        return 0.0
    if x <= 1:
        return x * y
    total = 0.0
    while total < x and total < 50:
        total += y * y + 1
    return total


def test_mapped_functions_branch_loop_and_return_early():
    x, y = torch.randn(45) * 20, torch.randint(-3, 4, (45,)).float()
    x[7], x[8] = float("nan"), 0.0
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    expected = torch.tensor([scalar_branches(a, b) for a, b in pairs])
    assert torch.allclose(elementwise(mapped, x, y), expected)


@triton.jit
def pair_function(first, second):
    return first + 10 * second, second - first


@triton.jit
def by_pairs(x):
    return tl.map_elementwise(pair_function, x, pack=2)[0]


def test_mapped_functions_of_several_elements():
    x = torch.arange(32)
    expected = torch.stack([x[::2] + 10 * x[1::2], x[1::2] - x[::2]], 1).reshape(-1)
    same(elementwise(by_pairs, x), expected)


@triton.jit
def one_instruction(x, y):
    return tl.inline_asm_elementwise(
        "add.rn.f32 $0, $1, $2;", "=f,f,f", [x, y], dtype=tl.float32, is_pure=True, pack=1
    )


def test_one_inline_instruction():
    a, b = float_pairs()
    same(elementwise(one_instruction, a, b), a + b)
