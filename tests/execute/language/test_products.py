"""Matrix products: every precision and type that `dot` and `dot_scaled` take."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run

COVERED = {"dot", "dot_scaled"}


@triton.jit
def tile(x, M: tl.constexpr, N: tl.constexpr):
    return tl.load(x + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])


@triton.jit
def multiply(
    a, b, c, out, PRECISION: tl.constexpr, KIND: tl.constexpr, FROM: tl.constexpr,
    M: tl.constexpr, K: tl.constexpr, N: tl.constexpr, IMPRECISE: tl.constexpr,
):  # fmt: skip
    place = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    left, right = tile(a, M, K), tile(b, K, N)
    if FROM is not None:
        left, right = left.to(FROM), right.to(FROM)
    result = tl.dot(
        left, right, acc=tl.load(c + place).to(KIND), input_precision=PRECISION, out_dtype=KIND,
        max_num_imprecise_acc=IMPRECISE,
    )  # fmt: skip
    tl.store(out + place, result)


def multiplied(a, b, c, precision=None, kind=tl.float32, from_type=None, imprecise=None):
    out = torch.empty_like(c)
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    run(multiply, (1,), a, b, c, out, PRECISION=precision, KIND=kind, FROM=from_type,
        M=m, K=k, N=n, IMPRECISE=imprecise)  # fmt: skip
    return out


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("precision", [None, "ieee", "tf32", "tf32x3"])
def test_halves(dtype, precision):
    a, b, c = torch.randn(16, 64).to(dtype), torch.randn(64, 32).to(dtype), torch.randn(16, 32)
    exact = a.double() @ b.double() + c.double()
    assert torch.allclose(multiplied(a, b, c, precision).double(), exact, atol=1e-5)


def test_half_sums():
    a, b = torch.randn(16, 32).half(), torch.randn(32, 16).half()
    c = torch.randn(16, 16).half()
    exact = a.double() @ b.double() + c.double()
    out = multiplied(a, b, c, kind=tl.float16).double()
    assert torch.allclose(out, exact, rtol=2**-10, atol=2**-10)


def test_doubles_keep_all_bits():
    a, b = torch.randn(16, 32).double(), torch.randn(32, 16).double()
    a[0, 0] = 1e200
    c = torch.randn(16, 16).double()
    out = multiplied(a, b, c, precision="ieee", kind=tl.float64)
    assert torch.allclose(out, a @ b + c, rtol=1e-14)


def test_precisions_of_float32():
    a, b, c = torch.randn(32, 64), torch.randn(64, 32), torch.zeros(32, 32)
    exact = a.double() @ b.double()
    scale = a.double().abs() @ b.double().abs()
    errors = {}
    for precision in ("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"):
        error = (multiplied(a, b, c, precision).double() - exact).abs() / scale
        errors[precision] = error.max().item()
    assert errors["ieee"] < 2**-21
    assert 2**-14 < errors["tf32"] < 2**-9
    for precise in ("tf32x3", "bf16x6"):
        assert errors[precise] < 2**-19, precise
    assert errors["bf16x3"] < 2**-14


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("imprecise", [None, 0, 32])
def test_bytes(dtype, imprecise):
    a, b, c = torch.randn(16, 64).to(dtype), torch.randn(64, 32).to(dtype), torch.randn(16, 32)
    exact = a.double() @ b.double() + c.double()
    out = multiplied(a, b, c, imprecise=imprecise).double()
    assert torch.allclose(out, exact, atol=1e-5, rtol=1e-5)


def test_signed_bytes_wrap_around():
    a = torch.full((16, 32), -128, dtype=torch.int8)
    b = torch.full((32, 16), -128, dtype=torch.int8)
    c = torch.full((16, 16), 2**31 - 1, dtype=torch.int32)
    assert torch.equal(multiplied(a, b, c, kind=tl.int32), c + 32 * 128 * 128)


def test_products_spread_nan_and_infinity_as_ieee_does():
    a, b, c = torch.randn(16, 32), torch.randn(32, 16), torch.zeros(16, 16)
    a[0, 0], a[1, 1], b[1, 3], a[2, 2], b[2, :] = float("inf"), float("inf"), 0.0, float("nan"), 0.0
    out = multiplied(a, b, c, precision="ieee")
    assert torch.equal(out.isnan(), (a @ b).isnan())
    assert torch.equal(out.isinf(), (a @ b).isinf())


@triton.jit
def batched(a, b, out, B: tl.constexpr, M: tl.constexpr, K: tl.constexpr, N: tl.constexpr):
    n, i, k, j = tl.arange(0, B), tl.arange(0, M), tl.arange(0, K), tl.arange(0, N)
    left = tl.load(a + n[:, None, None] * M * K + i[None, :, None] * K + k[None, None, :])
    right = tl.load(b + n[:, None, None] * K * N + k[None, :, None] * N + j[None, None, :])
    place = n[:, None, None] * M * N + i[None, :, None] * N + j[None, None, :]
    tl.store(out + place, tl.dot(left, right, input_precision="ieee") + tl.program_id(0) * 0)


def test_batches():
    a, b, out = torch.randn(4, 16, 32), torch.randn(4, 32, 16), torch.empty(4, 16, 16)
    run(batched, (1,), a, b, out, B=4, M=16, K=32, N=16)
    assert torch.allclose(out, a @ b, atol=1e-5)


E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
WIDE = {
    "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "bf16": torch.bfloat16,
    "fp16": torch.float16,
}  # fmt: skip


def operand(form, rows, depth, packed_depth=True):
    """A matrix as stored and as float64; e2m1 has two neighbours in a byte, the first below."""
    if form != "e2m1":
        stored = torch.randn(rows, depth).to(WIDE[form])
        return stored, stored.double()
    codes = torch.randint(0, 16, (rows, depth))
    values = torch.tensor([*E2M1, *(-v for v in E2M1)], dtype=torch.float64)[codes]
    pairs = codes if packed_depth else codes.T
    stored = (pairs[:, ::2] | pairs[:, 1::2] << 4).to(torch.uint8)
    return (stored if packed_depth else stored.T).contiguous(), values


def scales(rows, groups):
    stored = torch.randint(120, 134, (rows, groups), dtype=torch.uint8)
    return stored, torch.ldexp(torch.ones(rows, groups).double(), stored.int() - 127)


@triton.jit
def scaled(
    a, a_scale, b, b_scale, out, A: tl.constexpr, B: tl.constexpr, AM: tl.constexpr,
    AK: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    G: tl.constexpr, A_DEEP: tl.constexpr, B_DEEP: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    left_scale = None if a_scale is None else tile(a_scale, M, G)
    right_scale = None if b_scale is None else tile(b_scale, N, G)
    place = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    result = tl.dot_scaled(
        tile(a, AM, AK), left_scale, A, tile(b, BK, BN), right_scale, B,
        acc=tl.full([M, N], 1.0, tl.float32), lhs_k_pack=A_DEEP, rhs_k_pack=B_DEEP, fast_math=FAST,
    )  # fmt: skip
    tl.store(out + place, result)


def run_scaled(forms, a, a_scale, b, b_scale, deep=(True, True), fast=False):
    m, n = 32, 16
    out = torch.empty(m, n)
    run(scaled, (1,), a, a_scale, b, b_scale, out, A=forms[0], B=forms[1], AM=a.shape[0],
        AK=a.shape[1], BK=b.shape[0], BN=b.shape[1], M=m, N=n, G=2, A_DEEP=deep[0], B_DEEP=deep[1],
        FAST=fast)  # fmt: skip
    return out


def is_product(out, a, b):
    """Whether sums are as exact as float32 is beside what they add up, which may cancel."""
    added = 1 + a.abs() @ b.abs().T
    return bool(((out.double() - 1 - a @ b.T).abs() <= 2.0**-21 * added).all())


@pytest.mark.parametrize("left", ["e2m1", "e4m3", "e5m2", "bf16", "fp16"])
@pytest.mark.parametrize("right", ["e2m1", "e4m3", "e5m2", "bf16", "fp16"])
def test_scaled_products(left, right):
    a, a_values = operand(left, 32, 64)
    b, b_values = operand(right, 16, 64)
    (a_scale, a_factor), (b_scale, b_factor) = scales(32, 2), scales(16, 2)
    exact_a = a_values * a_factor.repeat_interleave(32, 1)
    exact_b = b_values * b_factor.repeat_interleave(32, 1)
    flipped = b.T.contiguous()
    out = run_scaled((left, right), a, a_scale, flipped, b_scale)
    assert is_product(out, exact_a, exact_b)
    one_sided = run_scaled((left, right), a, None, flipped, b_scale, fast=True)
    assert is_product(one_sided, a_values, exact_b)
    other_side = run_scaled((left, right), a, a_scale, flipped, None)
    assert is_product(other_side, exact_a, b_values)


def test_scaled_products_packed_along_rows_and_columns():
    a, a_values = operand("e2m1", 32, 64, packed_depth=False)
    b, b_values = operand("e2m1", 16, 64, packed_depth=False)
    out = run_scaled(("e2m1", "e2m1"), a, None, b.T.contiguous(), None, deep=(False, False))
    assert torch.equal(out.double(), 1 + a_values @ b_values.T)


def test_scales_of_all_ones_are_nan_and_small_ones_are_not_zero():
    a, b = torch.ones(32, 64).bfloat16(), torch.ones(64, 16).bfloat16()
    a_scale = torch.full((32, 2), 127, dtype=torch.uint8)
    a_scale[3, 1], a_scale[4, :] = 255, 0
    out = run_scaled(("bf16", "bf16"), a, a_scale, b * 2.0**100, None)
    assert torch.equal(out.isnan().all(1), torch.arange(32) == 3)
    assert out[4, 0].item() == 1 + 64 * 2.0**-27


def test_scales_of_four_bit_products_with_groups_of_sixteen():
    a, a_values = operand("e2m1", 32, 32)
    b, b_values = operand("e2m1", 16, 32)
    a_scale = torch.randn(32, 2).to(torch.float8_e4m3fn)
    out = run_scaled(("e2m1", "e2m1"), a, a_scale, b.T.contiguous(), None)
    exact = a_values * a_scale.double().repeat_interleave(16, 1) @ b_values.T
    assert torch.allclose(out.double(), 1 + exact, atol=1e-4)
