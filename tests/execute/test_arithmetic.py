"""Elementwise operations against torch, at the edges where they differ most."""

import math

import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from builder.errors import MemoryFault
from builder.execute import run

INT_MIN = torch.iinfo(torch.int32).min
EDGES = [0, 1, -1, 2, -2, 7, -7, 100, -100, INT_MIN, INT_MIN + 1, -(INT_MIN + 1), 65536, -65537]


@triton.jit
def op_add(a, b):
    return a + b


@triton.jit
def op_sub(a, b):
    return a - b


@triton.jit
def op_mul(a, b):
    return a * b


@triton.jit
def op_div(a, b):
    return a // b


@triton.jit
def op_mod(a, b):
    return a % b


@triton.jit
def op_shl(a, b):
    return a << b


@triton.jit
def op_shr(a, b):
    return a >> b


@triton.jit
def op_lt(a, b):
    return a < b


@triton.jit
def op_ge(a, b):
    return a >= b


@triton.jit
def op_ne(a, b):
    return a != b


@triton.jit
def op_max(a, b):
    return tl.maximum(a, b)


@triton.jit
def op_max_nan(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def op_umulhi(a, b):
    return tl.umulhi(a, b)


@triton.jit
def binary(x, y, out, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    tl.store(out + index, OP(tl.load(x + index, mask), tl.load(y + index, mask)), mask)


@triton.jit
def binary_where(x, y, defined, out, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = index < n
    kept = tl.load(defined + index, mask, other=0) != 0
    tl.store(out + index, OP(tl.load(x + index, mask), tl.load(y + index, mask)), mask & kept)


def apply_where(op, a, b, defined):
    """``op`` in all lanes, those without a result among them, and stored where it has one."""
    out = torch.zeros_like(a)
    grid = (triton.cdiv(a.numel(), 32),)
    function = globals()[f"op_{op}"]
    run(binary_where, grid, a, b, defined.to(torch.int8), out, a.numel(), OP=function, BLOCK=32)
    return out


def apply(op, a, b, dtype=None):
    out = torch.zeros_like(a, dtype=dtype or a.dtype)
    run(
        binary,
        (triton.cdiv(a.numel(), 32),),
        a,
        b,
        out,
        a.numel(),
        OP=globals()[f"op_{op}"],
        BLOCK=32,
    )
    return out


def pairs(dtype):
    info = torch.iinfo(dtype)
    values = [v for v in EDGES if info.min <= v <= info.max] + [info.min, info.max]
    left, right = torch.tensor(values), torch.tensor(values)
    grid = torch.cartesian_prod(left, right)
    return grid[:, 0].to(dtype).contiguous(), grid[:, 1].to(dtype).contiguous()


def wrap(value, dtype):
    bits = dtype.itemsize * 8
    value &= (1 << bits) - 1
    if dtype.is_signed and value >> (bits - 1):
        value -= 1 << bits
    return value


def c_divide(a, b):
    return -(-a // b) if (a < 0) != (b < 0) and a % b else a // b


REFERENCE = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: int(math.copysign(1, a) * math.copysign(1, b)) * (abs(a) // abs(b)),
    "mod": lambda a, b: int(math.copysign(1, a)) * (abs(a) % abs(b)),
}


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "mod"])
def test_signed_integers_wrap_and_divide_as_in_c(dtype, op):
    a, b = pairs(dtype)
    lowest = torch.iinfo(dtype).min
    missing = (b == 0) | ((b == -1) & (a == lowest)) if op in ("div", "mod") else b > b.max()
    out = apply_where(op, a, b, ~missing)
    for x, y, got, no in zip(a.tolist(), b.tolist(), out.tolist(), missing.tolist(), strict=True):
        assert no or got == wrap(REFERENCE[op](x, y), dtype), (x, y)


@pytest.mark.parametrize(
    ("op", "a", "b"),
    [
        ("div", 7, 0),
        ("mod", 7, 0),
        ("div", -(2**31), -1),
        ("mod", -(2**31), -1),
        ("shl", 1, 32),
        ("shl", 1, -1),
        ("shr", -8, 32),
        ("shr", -8, -1),
    ],
)
def test_results_that_no_language_defines_must_not_be_stored(op, a, b):
    left, right = torch.tensor([1, a], dtype=torch.int32), torch.tensor([1, b], dtype=torch.int32)
    with pytest.raises(MemoryFault) as caught:
        apply(op, left, right)
    assert caught.value.kind == "poison"
    kept = apply_where(op, left, right, torch.tensor([True, False]))
    assert kept.tolist() == [{"div": 1, "mod": 0, "shl": 2, "shr": 0}[op], 0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize("op", ["add", "mul", "div", "mod", "lt", "ge", "shr"])
def test_unsigned_integers(dtype, op):
    top = torch.iinfo(dtype).max
    values = [0, 1, 2, 3, 7, 100, top, top - 1, top // 2, top // 2 + 1]
    pairs_of = [(x, y) for x in values for y in values]
    if op == "shr":
        pairs_of = [(x, y) for x in values for y in range(dtype.itemsize * 8)]
    a = torch.tensor([x for x, _ in pairs_of], dtype=dtype)
    b = torch.tensor([y for _, y in pairs_of], dtype=dtype)
    if op in ("div", "mod"):
        out = apply_where(op, a, b, torch.tensor([y != 0 for _, y in pairs_of])).tolist()
    else:
        out = apply(op, a, b, torch.bool if op in ("lt", "ge") else None).tolist()
    reference = {
        "add": lambda x, y: wrap(x + y, dtype),
        "mul": lambda x, y: wrap(x * y, dtype),
        "div": lambda x, y: x // y,
        "mod": lambda x, y: x % y,
        "lt": lambda x, y: x < y,
        "ge": lambda x, y: x >= y,
        "shr": lambda x, y: x >> y,
    }[op]
    for (x, y), got in zip(pairs_of, out, strict=True):
        if y or op not in ("div", "mod"):
            assert got == reference(x, y), (x, y)


def test_upper_half_of_products():
    values = [0, 1, 2, 3, 2**31, 2**32 - 1, 0x12345678]
    grid = [(x, y) for x in values for y in values]
    a = torch.tensor([x for x, _ in grid], dtype=torch.uint32)
    b = torch.tensor([y for _, y in grid], dtype=torch.uint32)
    assert apply("umulhi", a, b).tolist() == [(x * y) >> 32 for x, y in grid]


def test_upper_half_of_wide_products():
    values = [0, 1, 3, 2**63, 2**64 - 1, 0x123456789ABCDEF0, 2**32, 2**32 - 1]
    grid = [(x, y) for x in values for y in values]
    a = torch.tensor([x for x, _ in grid], dtype=torch.uint64)
    b = torch.tensor([y for _, y in grid], dtype=torch.uint64)
    assert apply("umulhi", a, b).tolist() == [(x * y) >> 64 for x, y in grid]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_shifts(dtype):
    bits = dtype.itemsize * 8
    a = torch.tensor([1, -1, 5, torch.iinfo(dtype).min]).to(dtype).repeat_interleave(bits)
    b = torch.arange(bits).to(dtype).repeat(4)
    left = [wrap(x << y, dtype) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    right = [x >> y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert apply("shl", a, b).tolist() == left
    assert apply("shr", a, b).tolist() == right


NAN, INF = math.nan, math.inf
FLOATS = torch.tensor([0.0, -0.0, 1.0, -1.5, INF, -INF, NAN, 1e-40, 3.4e38, 0.1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("op", ["add", "sub", "mul", "lt", "ge", "ne", "max", "max_nan"])
def test_floats(dtype, op):
    grid = torch.cartesian_prod(FLOATS, FLOATS).to(dtype)
    a, b = grid[:, 0].contiguous(), grid[:, 1].contiguous()
    out = apply(op, a, b, torch.bool if op in ("lt", "ge", "ne") else None)
    function = {
        "add": torch.add, "sub": torch.sub, "mul": torch.mul, "lt": torch.lt, "ge": torch.ge,
        "ne": torch.ne, "max": torch.fmax, "max_nan": torch.maximum,
    }[op]  # fmt: skip
    expected = function(a, b)
    if op in ("max", "max_nan"):
        assert torch.equal(out.nan_to_num(), expected.nan_to_num())
        assert torch.equal(out.isnan(), expected.isnan())
    else:
        assert torch.allclose(out.float(), expected.float(), rtol=0, atol=0, equal_nan=True)


def test_i1_arithmetic():
    a = torch.tensor([True, True, False, False])
    b = torch.tensor([True, False, True, False])

    assert apply("lt", a, b, torch.bool).tolist() == (a < b).tolist()
    out = torch.zeros(4, 4, dtype=torch.int32)
    run(bits, (1,), a, b, out, BLOCK=4)
    assert out.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


@triton.jit
def bits(x, y, out, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    a, b = tl.load(x + lane) != 0, tl.load(y + lane) != 0
    tl.store(out + lane, a.to(tl.int32))
    tl.store(out + BLOCK + lane, (a ^ b).to(tl.int32))
    tl.store(out + 2 * BLOCK + lane, (a & b).to(tl.int32))
    tl.store(out + 3 * BLOCK + lane, (a | b).to(tl.int32))


@triton.jit
def fn_tanh(v):
    return libdevice.tanh(v)


@triton.jit
def fn_erf(v):
    return tl.erf(v)


@triton.jit
def fn_exp(v):
    return tl.exp(v)


@triton.jit
def fn_log1p(v):
    return libdevice.log1p(v * v)


@triton.jit
def fn_rsqrt(v):
    return tl.rsqrt(v * v + 1)


@triton.jit
def fn_sigmoid(v):
    return tl.sigmoid(v)


@triton.jit
def fn_pow(v):
    return libdevice.pow(tl.abs(v), v)


@triton.jit
def fn_fma(v):
    return tl.fma(v, v, v)


@triton.jit
def fn_round(v):
    return libdevice.nearbyint(v * 3)


@triton.jit
def fn_sqrt(v):
    return tl.sqrt(tl.abs(v))


@triton.jit
def apply_library(x, out, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(out + index, FUNCTION(tl.load(x + index)))


LIBRARY = {
    "tanh": torch.tanh,
    "erf": torch.erf,
    "exp": torch.exp,
    "log1p": lambda v: torch.log1p(v * v),
    "rsqrt": lambda v: 1 / torch.sqrt(v * v + 1),
    "sigmoid": torch.sigmoid,
    "pow": lambda v: v.abs() ** v,
    "fma": lambda v: (v.double() * v.double() + v.double()).to(v.dtype),
    "round": lambda v: torch.round(v * 3),
    "sqrt": lambda v: v.abs().sqrt(),
}


@pytest.mark.parametrize("name", sorted(LIBRARY))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions(name, dtype):
    x = torch.randn(128, dtype=dtype) * 2
    out = torch.empty_like(x)
    run(apply_library, (1,), x, out, FUNCTION=globals()[f"fn_{name}"], BLOCK=128)
    tolerance = 4 * torch.finfo(dtype).eps
    assert torch.allclose(out, LIBRARY[name](x), rtol=tolerance, atol=tolerance)


@triton.jit
def philox(out, seed, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, tl.rand(seed, index))


def reference_philox(seed, offset):
    """Philox 4x32-10 (Salmon et al., 2011), the first of four words, in Python's integers."""
    ones = 0xFFFFFFFF
    counter, key = [offset, 0, 0, 0], [seed & ones, seed >> 32]
    for _ in range(10):
        high0, low0 = divmod(counter[0] * 0xD2511F53, 1 << 32)
        high1, low1 = divmod(counter[2] * 0xCD9E8D57, 1 << 32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) & ones, (key[1] + 0xBB67AE85) & ones]
    return counter[0]


def test_random_numbers_are_philox():
    out = torch.empty(256)
    run(philox, (2,), out, 12345, BLOCK=128)
    for offset in (0, 1, 77, 255):
        word = reference_philox(12345, offset)
        word = word - (1 << 32) if word >> 31 else word
        word = -word - 1 if word < 0 else word
        assert out[offset].item() == pytest.approx(word * 4.6566127342e-10, rel=1e-6)
