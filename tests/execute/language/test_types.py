"""Number types and the conversions between them."""

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run
from tests.execute.language.harness import INF, elementwise, floats, integers, same

COVERED = {
    "bfloat16", "cast", "const", "dtype", "float16", "float32", "float64", "float8e4b15",
    "float8e4nv", "float8e5", "int1", "int16", "int32", "int64", "int8", "pi32_t", "pointer_type",
    "uint16", "uint32", "uint64", "uint8", "void", "constexpr_type", "to_tensor",
}  # fmt: skip

TYPES = {
    torch.bool: tl.int1, torch.int8: tl.int8, torch.int16: tl.int16, torch.int32: tl.int32,
    torch.int64: tl.int64, torch.uint8: tl.uint8, torch.uint16: tl.uint16,
    torch.uint32: tl.uint32, torch.uint64: tl.uint64, torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16, torch.float32: tl.float32, torch.float64: tl.float64,
}  # fmt: skip


@triton.jit
def convert(x, out, n, TO: tl.constexpr, ROUNDING: tl.constexpr, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n)
    result = tl.cast(value, TO, fp_downcast_rounding=ROUNDING)
    tl.store(out + lane, result, lane < n)


def converted(x, dtype, rounding=None, to=None):
    out = torch.empty(x.shape, dtype=dtype)
    block = triton.next_power_of_2(x.numel())
    target = to or TYPES[dtype]
    run(convert, (1,), x, out, x.numel(), TO=target, ROUNDING=rounding, BLOCK=block)
    return out


FLOAT_TYPES = [t for t in TYPES if t.is_floating_point]
INTEGER_TYPES = [t for t in TYPES if not t.is_floating_point and t != torch.bool]


@pytest.mark.parametrize("source", FLOAT_TYPES)
@pytest.mark.parametrize("target", FLOAT_TYPES)
def test_floats_round_to_nearest(source, target):
    x = floats(source)
    same(
        converted(x, target), x.to(torch.float32 if source != torch.float64 else source).to(target)
    )


def test_double_to_half_rounds_once():
    """1 + 2^-9 + 2^-40 lies above a tie of bfloat16; float32 would make it the tie."""
    x = torch.tensor([1 + 2.0**-8 + 2.0**-40, 1 + 3 * 2.0**-8 - 2.0**-40], dtype=torch.float64)
    same(converted(x, torch.bfloat16), torch.tensor([1 + 2.0**-7, 1 + 2.0**-7]).bfloat16())
    y = torch.tensor([1 + 2.0**-11 + 2.0**-40, 1 + 3 * 2.0**-11 - 2.0**-40], dtype=torch.float64)
    same(converted(y, torch.float16), torch.tensor([1 + 2.0**-10, 1 + 2.0**-10]).half())


@pytest.mark.parametrize(("source", "target"), [
    (torch.float32, torch.float16), (torch.float32, torch.bfloat16), (torch.float64, torch.float32),
])  # fmt: skip
def test_rounding_towards_zero(source, target):
    x = torch.cat([floats(source), torch.randn(41, dtype=torch.float64).to(source) * 3e4])
    out = converted(x, target, rounding="rtz")
    finite = torch.isfinite(x)
    nearest = x.to(target)
    assert (out[finite].double().abs() <= x[finite].double().abs()).all()
    unchanged = nearest.double().abs() <= x.double().abs()
    same(out[unchanged], nearest[unchanged])
    bits = torch.int32 if target == torch.float32 else torch.int16
    stepped = ~unchanged & finite
    assert stepped.any()
    same(out[stepped], (nearest[stepped].view(bits) - 1).view(target))
    same(out[~finite], nearest[~finite])


@pytest.mark.parametrize("source", INTEGER_TYPES)
@pytest.mark.parametrize("target", INTEGER_TYPES)
def test_integers_keep_their_low_bits(source, target):
    x = integers(source)
    bits, low = target.itemsize * 8, [v & ((1 << target.itemsize * 8) - 1) for v in x.tolist()]
    if target.is_signed:
        low = [v - (1 << bits) if v >> (bits - 1) else v for v in low]
    same(converted(x, target), torch.tensor(low, dtype=target))


@pytest.mark.parametrize("source", INTEGER_TYPES)
@pytest.mark.parametrize("target", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_integers_to_floats(source, target):
    x = integers(source)
    exact = [float(v) for v in x.tolist()]  # exact up to 53 bits, and these are near powers of 2
    same(converted(x, target), torch.tensor(exact, dtype=torch.float64).to(target))


@pytest.mark.parametrize("target", INTEGER_TYPES)
def test_floats_to_integers_drop_the_fraction(target):
    info = torch.iinfo(target)
    values = [0.0, -0.0, 0.99, -0.99, 1.5, 7.99, 100.7, -1.5, -100.99]
    x = torch.tensor([v for v in values if v >= 0 or info.min < 0])
    same(converted(x, target), torch.tensor([int(v) for v in x.tolist()], dtype=target))


@pytest.mark.parametrize("source", [torch.float32, torch.int32, torch.uint8])
def test_truth(source):
    x = floats() if source == torch.float32 else integers(source)
    same(converted(x, torch.bool), x != 0)
    back = torch.tensor([True, False, True])
    same(converted(back, torch.int32), torch.tensor([1, 0, 1], dtype=torch.int32))
    same(converted(back, torch.float32), torch.tensor([1.0, 0.0, 1.0]))


FP8 = {
    tl.float8e4nv: (torch.float8_e4m3fn, 448.0),
    tl.float8e5: (torch.float8_e5m2, 57344.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", FP8, ids=str)
@pytest.mark.parametrize("wide", [torch.float32, torch.float16, torch.bfloat16])
def test_fp8(kind, wide):
    narrow, largest = FP8[kind]
    every = torch.arange(256, dtype=torch.uint8).view(narrow)
    same(converted(every, wide), every.to(torch.float32).to(wide))
    x = torch.cat([floats(wide), torch.randn(100).to(wide), torch.tensor([460.0, 6e4]).to(wide)])
    clipped = x.float().clamp(-largest, largest)
    out = converted(x, narrow, to=kind)
    assert torch.equal(out.float().nan_to_num(7e7), clipped.to(narrow).float().nan_to_num(7e7))


@pytest.mark.parametrize("wide", [torch.float32, torch.float16, torch.bfloat16])
def test_fp8_rounded_to_zero(wide):
    every = torch.arange(128, dtype=torch.uint8).view(torch.float8_e5m2).float()
    sizes = every[torch.isfinite(every)]
    x = torch.cat([floats(wide), torch.randn(100).to(wide), torch.tensor([6e4, -6.5e4]).to(wide)])
    out = converted(x, torch.float8_e5m2, to=tl.float8e5, rounding="rtz").float()
    finite = torch.isfinite(x)
    below = torch.searchsorted(sizes, x[finite].abs().float(), right=True) - 1
    same(out[finite], sizes[below].copysign(x[finite].float()))
    same(out[~finite], x[~finite].float())


@triton.jit
def through_e4b15(x, out, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane, lane < n).to(tl.float8e4b15, fp_downcast_rounding="rtne")
    tl.store(out + lane, value.to(tl.float32), lane < n)


def test_e4m3_with_a_bias_of_15():
    """Four bits of exponent, three of mantissa, nothing above 1.75 (Triton's description)."""
    steps = [m / 8 * 2.0**-14 for m in range(8)]
    steps += [(1 + m / 8) * 2.0 ** (e - 15) for e in range(1, 16) for m in range(8)][:-1]
    exact = torch.tensor(steps + [-s for s in steps])
    out = torch.empty_like(exact)
    run(through_e4b15, (1,), exact, out, exact.numel(), BLOCK=256)
    assert torch.equal(out, exact)
    between = torch.tensor([5.0, -INF, 1.0 + 1 / 15, 1.0 + 1 / 17])
    out = torch.empty_like(between)
    run(through_e4b15, (1,), between, out, 4, BLOCK=4)
    assert out.tolist() == [1.75, -1.75, 1.125, 1.0]


@triton.jit
def as_bits(x):
    return x.to(tl.int32, bitcast=True) ^ 0


@triton.jit
def as_floats(x):
    return tl.cast(x, tl.float16, bitcast=True)


def test_bit_casts():
    x = floats()
    same(elementwise(as_bits, x, dtype=torch.int32), x.view(torch.int32))
    bits = integers(torch.int16)
    same(elementwise(as_floats, bits, dtype=torch.float16), bits.view(torch.float16))


@triton.jit
def facts(x, y: tl.const, out):
    tl.static_assert(x.dtype == tl.pointer_type(tl.float32))
    tl.static_assert(tl.pi32_t == tl.pointer_type(tl.int32))
    tl.static_assert(x.dtype.element_ty.primitive_bitwidth == 32)
    tl.static_assert(tl.int8.is_int_signed())
    tl.static_assert(not tl.uint8.is_int_signed())
    tl.static_assert(tl.float8e5.is_fp8())
    kind: tl.constexpr = tl.dtype("fp64")
    tl.static_assert(kind == tl.float64)
    tl.store(out, tl.to_tensor(5.0) + tl.load(x) + tl.load(y) + tl.zeros([1], kind).sum(0))


@pytest.mark.skipif(not hasattr(tl, "to_tensor"), reason="since Triton 3.7")
def test_types_are_values_at_compile_time():
    out = torch.empty(1)
    run(facts, (1,), torch.ones(1), torch.ones(1), out)
    assert out.item() == 7.0
