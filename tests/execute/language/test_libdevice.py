"""Every function of libdevice, against mpmath, torch or exact arithmetic."""

import math
from fractions import Fraction
from pathlib import Path

import mpmath
import pytest
import torch
import triton
from triton.language.extra.cuda import libdevice
from triton.language.extra.hip import libdevice as hip_libdevice

from tests.execute.language.harness import (
    INF,
    NAN,
    elementwise,
    float_pairs,
    floats,
    integer_pairs,
    integers,
    nearest,
    same,
)

ANY = [0.0, 0.3, -0.7, 1.0, -1.0, 2.5, -3.25, 7.5]
POSITIVE = [1e-3, 0.3, 1.0, 2.5, 7.5, 100.25]
UNIT = [0.0, 0.1, -0.3, 0.75, -0.9]
ANALYTIC = {
    "acos": (mpmath.acos, UNIT), "asin": (mpmath.asin, UNIT), "atan": (mpmath.atan, ANY),
    "acosh": (mpmath.acosh, [1.0, 1.5, 7.5, 1e4]), "asinh": (mpmath.asinh, ANY),
    "atanh": (mpmath.atanh, UNIT), "cos": (mpmath.cos, ANY), "sin": (mpmath.sin, ANY),
    "tan": (mpmath.tan, ANY), "cosh": (mpmath.cosh, ANY), "sinh": (mpmath.sinh, ANY),
    "tanh": (mpmath.tanh, ANY), "cospi": (mpmath.cospi, [0.3, -0.7, 2.3, 1.0, 7.25]),
    "sinpi": (mpmath.sinpi, [0.3, -0.7, 2.3, 0.5, 7.25]), "exp": (mpmath.exp, ANY),
    "exp2": (lambda x: mpmath.power(2, x), ANY), "exp10": (lambda x: mpmath.power(10, x), ANY),
    "expm1": (mpmath.expm1, [*ANY, 1e-6]), "log": (mpmath.log, POSITIVE),
    "log2": (lambda x: mpmath.log(x, 2), POSITIVE), "log10": (mpmath.log10, POSITIVE),
    "log1p": (mpmath.log1p, [*POSITIVE, 1e-6, -0.5]), "sqrt": (mpmath.sqrt, POSITIVE),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), POSITIVE),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), ANY),
    "rcbrt": (lambda x: 1 / mpmath.cbrt(x), POSITIVE), "erf": (mpmath.erf, ANY),
    "erfc": (mpmath.erfc, [0.0, 0.3, -0.7, 2.5]), "erfinv": (mpmath.erfinv, UNIT),
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [0.0, 0.3, 2.5, 7.5]),
    "erfcinv": (lambda x: mpmath.erfinv(1 - x), [0.1, 0.5, 1.5, 1.9]),
    "normcdf": (mpmath.ncdf, [0.0, 0.3, -0.7, 2.5, -3.25]),
    "normcdfinv": (lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1), [0.1, 0.3, 0.75, 0.999]),
    "lgamma": (lambda x: mpmath.log(abs(mpmath.gamma(x))), [0.3, 2.5, 7.5, 100.25]),
    "tgamma": (mpmath.gamma, [0.3, 1.0, 2.5, 7.5, -0.7]),
    "j0": (lambda x: mpmath.besselj(0, x), ANY), "j1": (lambda x: mpmath.besselj(1, x), ANY),
    "y0": (lambda x: mpmath.bessely(0, x), POSITIVE),
    "y1": (lambda x: mpmath.bessely(1, x), POSITIVE),
    "cyl_bessel_i0": (lambda x: mpmath.besseli(0, x), ANY),
    "cyl_bessel_i1": (lambda x: mpmath.besseli(1, x), ANY),
}  # fmt: skip
FAST = {
    f"fast_{name}f": ANALYTIC[name]
    for name in ("sin", "cos", "tan", "exp", "exp10", "log", "log2", "log10")
}


def exact(function, points, dtype):
    stored = torch.tensor(points, dtype=dtype)
    with mpmath.workdps(40):
        values = [float(function(mpmath.mpf(x))) for x in stored.tolist()]
    return stored, torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*ANALYTIC, *FAST])
def test_analytic_functions(name, dtype):
    function, points = (ANALYTIC | FAST)[name]
    if name in FAST and dtype == torch.float64:
        pytest.skip("libdevice has the fast functions in float32 only")
    x, expected = exact(function, points, dtype)
    out = elementwise(getattr(libdevice, name), x).double()
    loose = 1e-6 if dtype == torch.float32 else 1e-13
    if name in ("y0", "y1") and dtype == torch.float64:
        loose = 1e-8  # torch's own functions err by 5e-9 near 7.5
    assert torch.allclose(out, expected, rtol=loose * 4, atol=loose)


ROUNDED = {
    "ceil": torch.ceil, "floor": torch.floor, "trunc": torch.trunc, "rint": torch.round,
    "nearbyint": torch.round, "abs": torch.abs,
}  # fmt: skip


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roundings(name, dtype):
    x = floats(dtype)
    same(elementwise(getattr(libdevice, name), x), ROUNDED[name](x))


def test_rounding_half_away():
    x = torch.tensor([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 8388609.0, 4194305.5, -0.0, INF, NAN])
    expected = [1.0, -1.0, 2.0, 3.0, -3.0, 0.0, 8388609.0, 4194306.0, -0.0, INF, NAN]
    same(elementwise(libdevice.round, x), torch.tensor(expected))
    whole = x[:8]
    longs = torch.tensor([int(v) for v in expected[:8]])
    same(elementwise(libdevice.llround, whole, dtype=torch.int64), longs)
    same(
        elementwise(libdevice.llrint, whole, dtype=torch.int64), torch.round(whole.double()).long()
    )


PAIRS = {
    "atan2": torch.atan2, "copysign": torch.copysign, "fmod": torch.fmod, "hypot": torch.hypot,
    "nextafter": torch.nextafter, "fast_dividef": torch.div,
    "fdim": lambda a, b: torch.where(a > b, a - b, torch.where(a.isnan() | b.isnan(), NAN, 0.0)),
    "rhypot": lambda a, b: (1 / torch.hypot(a.double(), b.double())).to(a.dtype),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two_numbers(name):
    a, b = float_pairs()
    out, expected = elementwise(getattr(libdevice, name), a, b), PAIRS[name](a, b)
    assert torch.allclose(out, expected, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["pow", "fast_powf"])
def test_powers(name):
    a, b = float_pairs()
    expected = torch.pow(a.double(), b.double()).float()
    out = elementwise(getattr(libdevice, name), a, b)
    assert torch.allclose(out, expected, rtol=2e-6, atol=1e-44, equal_nan=True)
    n = torch.arange(-3, 6, dtype=torch.int32)
    base = torch.full((9,), -1.5)
    if name == "pow":
        same(elementwise(libdevice.pow, base, n), torch.pow(base.double(), n).float())


def test_remainder_to_the_nearest_multiple():
    a, b = torch.randn(300) * 50, torch.randn(300)
    expected = [math.remainder(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    same(elementwise(libdevice.remainder, a, b), torch.tensor(expected))


@pytest.mark.parametrize("name", ["norm3d", "rnorm3d"])
def test_norms(name):
    a, b, c = (torch.randn(30) for _ in range(3))
    norm = (a.double() ** 2 + b.double() ** 2 + c.double() ** 2).sqrt()
    expected = norm if name == "norm3d" else 1 / norm
    out = elementwise(getattr(libdevice, name), a, b, c)
    assert torch.allclose(out.double(), expected, rtol=1e-6)


@triton.jit
def norm_of_four(a, b):
    return libdevice.norm4d(a, b, a + b, a - b) * libdevice.rnorm4d(a, b, a + b, a - b) + (
        libdevice.norm4d(a, a, a, a)
    )


def test_norms_of_four():
    a, b = torch.rand(20) + 1, torch.rand(20)
    assert torch.allclose(elementwise(norm_of_four, a, b), 1 + 2 * a, rtol=1e-6)


def test_parts_of_numbers():
    x = floats()
    regular = torch.isfinite(x) & (x != 0)
    exponents = [math.frexp(v)[1] - 1 for v in x[regular].tolist()]
    out = elementwise(libdevice.ilogb, x, dtype=torch.int32)
    assert out[regular].tolist() == exponents
    assert elementwise(libdevice.logb, x)[regular].tolist() == exponents
    assert elementwise(libdevice.logb, torch.tensor([0.0, INF, -INF])).tolist() == [-INF, INF, INF]
    n = torch.tensor([-200, -3, 0, 5, 300]).int()
    base = torch.tensor([1.5, 1.5, -1.5, INF, 1.0])
    for scale in (libdevice.ldexp, libdevice.scalbn):
        same(elementwise(scale, base, n), torch.tensor([0.0, 1.5 / 8, -1.5, INF, INF]))


FLAGS = {
    "isnan": torch.isnan, "isinf": torch.isinf, "signbit": torch.signbit, "finitef": torch.isfinite,
    "isfinited": torch.isfinite,
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name):
    x = floats(torch.float64 if name == "isfinited" else torch.float32)
    out = elementwise(getattr(libdevice, name), x, dtype=torch.int32)
    assert torch.equal(out != 0, FLAGS[name](x))


def test_saturation():
    same(elementwise(libdevice.saturatef, torch.tensor([-1.0, 0.5, 2.0, NAN, INF])),
         torch.tensor([0.0, 0.5, 1.0, 0.0, 1.0]))  # fmt: skip


@pytest.mark.parametrize("name", ["jn", "yn"])
def test_bessel_functions_of_any_order(name):
    order = torch.arange(8).int().repeat(4)
    x = torch.tensor([0.3, 2.5, 7.5, 30.0]).repeat_interleave(8)
    function = mpmath.besselj if name == "jn" else mpmath.bessely
    pairs = zip(order.tolist(), x.tolist(), strict=True)
    expected = torch.tensor([float(function(n, v)) for n, v in pairs])
    out = elementwise(getattr(libdevice, name), order, x, dtype=torch.float32)
    assert torch.allclose(out, expected, rtol=1e-5, atol=1e-6)


BITS = {
    "clz": lambda v: 32 - (v & 0xFFFFFFFF).bit_length(),
    "popc": lambda v: (v & 0xFFFFFFFF).bit_count(),
    "ffs": lambda v: (v & -v).bit_length(),
    "brev": lambda v: int(f"{v & 0xFFFFFFFF:032b}"[::-1], 2),
}


def signed(value, bits=32):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


@pytest.mark.parametrize("name", BITS)
def test_bits(name):
    x = integers()
    expected = [signed(BITS[name](v)) for v in x.tolist()]
    assert elementwise(getattr(libdevice, name), x).tolist() == expected


TWO = {
    "mulhi": lambda a, b: a * b >> 32, "hadd": lambda a, b: a + b >> 1,
    "rhadd": lambda a, b: a + b + 1 >> 1,
    "mul24": lambda a, b: signed(a, 24) * signed(b, 24),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint32])
def test_integers(name, dtype):
    a, b = integer_pairs(dtype)
    function = TWO[name]
    if name == "mul24" and dtype == torch.uint32:
        function = lambda x, y: (x & 0xFFFFFF) * (y & 0xFFFFFF)  # noqa: E731
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    wrapped = [function(x, y) & 0xFFFFFFFF for x, y in pairs]
    out = elementwise(getattr(libdevice, name), a, b)
    assert [v & 0xFFFFFFFF for v in out.tolist()] == wrapped


def test_differences_and_chosen_bytes():
    a, b = torch.tensor([5, -7, 2**31 - 1]).int(), torch.tensor([9, 3, 0]).int()
    c = torch.tensor([1, 2, 3], dtype=torch.uint32)
    assert elementwise(libdevice.sad, a, b, c).tolist() == [5, 12, -(2**31) + 2]
    low, high = torch.tensor([0x33221100]).int(), torch.tensor([0x77665544]).int()
    order = torch.tensor([0x7160]).int()
    assert elementwise(libdevice.byte_perm, low, high, order).tolist() == [0x77116600]


def test_bits_of_floats():
    x, wide = floats(), floats(torch.float64)
    bits = x.view(torch.int32)
    same(elementwise(libdevice.float_as_int, x, dtype=torch.int32), bits)
    same(elementwise(libdevice.float_as_uint, x, dtype=torch.int32), bits)
    same(elementwise(libdevice.int_as_float, bits, dtype=torch.float32), x)
    unsigned = bits.view(torch.uint32)
    same(elementwise(libdevice.uint_as_float, unsigned, dtype=torch.float32), x)
    long = wide.view(torch.int64)
    same(elementwise(libdevice.double_as_longlong, wide, dtype=torch.int64), long)
    same(elementwise(libdevice.longlong_as_double, long, dtype=torch.float64), wide)
    high = elementwise(libdevice.double2hiint, wide, dtype=torch.int32)
    low = elementwise(libdevice.double2loint, wide, dtype=torch.int32)
    same(high.long() << 32 | low.long() & 0xFFFFFFFF, long)
    same(elementwise(libdevice.hiloint2double, high, low, dtype=torch.float64), wide)
    out = elementwise(libdevice.rcp64h, torch.tensor([3.0, -0.5], dtype=torch.float64))
    assert torch.allclose(out, torch.tensor([1 / 3, -2.0], dtype=torch.float64), rtol=2**-19)


MODES = ["rn", "rd", "ru", "rz"]
EXACT = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b, "rcp": lambda a: 1 / a, "fma": lambda a, b, c: a * b + c,
}  # fmt: skip


def directed(exact_value, mode, dtype):
    """A fraction rounded in a direction, by way of its nearest number."""
    value = torch.tensor(nearest(exact_value, dtype), dtype=dtype)
    rest = exact_value - Fraction(value.item())
    towards = {"rn": 0, "rd": -1, "ru": 1, "rz": -1 if exact_value > 0 else 1}[mode]
    if rest == 0 or towards == 0 or (rest > 0) != (towards > 0):
        return value.item()
    return torch.nextafter(value, value.new_tensor(towards * INF)).item()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*EXACT, "sqrt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directed_arithmetic(name, mode, dtype):
    count = {"rcp": 1, "sqrt": 1, "fma": 3}.get(name, 2)
    operands = [torch.randn(60).to(dtype) * 3 for _ in range(count)]
    if name == "sqrt":
        operands = [operands[0].abs()]
    out = elementwise(getattr(libdevice, f"{name}_{mode}"), *operands)
    for got, *given in zip(out.tolist(), *(o.tolist() for o in operands), strict=True):
        parts = [Fraction(value) for value in given]
        if name != "sqrt":
            assert got == directed(EXACT[name](*parts), mode, dtype)
            continue
        below, above = Fraction(got) ** 2 <= parts[0], Fraction(got) ** 2 >= parts[0]
        assert {"rd": below, "rz": below, "ru": above, "rn": True}[mode]
        assert abs(Fraction(got) ** 2 / parts[0] - 1) < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", ["float", "double"])
@pytest.mark.parametrize("target", ["int", "uint", "ll", "ull"])
def test_floats_to_integers(source, target, mode):
    dtype = torch.float32 if source == "float" else torch.float64
    x = torch.tensor([0.0, 0.5, 1.5, 2.5, 2.75, 1000000.25, 7.0], dtype=dtype)
    if target in ("int", "ll"):
        x = torch.cat([x, -x])
    wide = {"int": torch.int32, "uint": torch.int32}.get(target, torch.int64)
    out = elementwise(getattr(libdevice, f"{source}2{target}_{mode}"), x, dtype=wide)
    round_ = {"rn": torch.round, "rd": torch.floor, "ru": torch.ceil, "rz": torch.trunc}[mode]
    same(out, round_(x).to(wide))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [
    "int2float", "uint2float", "ll2float", "ull2float", "ll2double", "ull2double", "double2float",
    "int2double", "uint2double",
])  # fmt: skip
def test_conversions_to_floats(name, mode):
    if name in ("int2double", "uint2double") and mode != "rn":
        pytest.skip("exact: libdevice has only the one rounding")
    source, target = name.split("2")
    kinds = {"int": torch.int32, "uint": torch.uint32, "ll": torch.int64, "ull": torch.uint64}
    x = torch.randn(40).double() * 1e3 if source == "double" else integers(kinds[source])
    dtype = torch.float32 if target == "float" else torch.float64
    out = elementwise(getattr(libdevice, f"{name}_{mode}"), x, dtype=dtype)
    expected = [directed(Fraction(value), mode, dtype) for value in x.tolist()]
    assert out.tolist() == expected


def test_reciprocal_roots():
    x = torch.rand(50) + 0.01
    expected = [float(1 / mpmath.sqrt(v)) for v in x.tolist()]
    same(elementwise(libdevice.rsqrt_rn, x), torch.tensor(expected, dtype=torch.float64).float())


def test_every_function_is_tested():
    names = {n for n in dir(libdevice) if not n.startswith("_")} - {"core"}
    text = Path(__file__).read_text(encoding="utf-8")
    listed = {*ANALYTIC, *FAST, *ROUNDED, *PAIRS, *FLAGS, *BITS, *TWO}
    listed |= {f"{name}_{mode}" for name in [*EXACT, "sqrt"] for mode in MODES}
    listed |= {f"{a}2{b}_{mode}" for a in ("float", "double") for b in ("int", "uint", "ll", "ull")
               for mode in MODES}  # fmt: skip
    conversions = {f"{a}2{b}_{mode}" for a in ("int", "uint", "ll", "ull", "double")
                   for b in ("float", "double") for mode in MODES}  # fmt: skip
    written = {n for n in names if f"libdevice.{n}" in text or f'"{n}"' in text}
    assert names <= listed | conversions | written


@triton.jit
def amd_functions(x):
    return hip_libdevice.tanh(x) + hip_libdevice.cyl_bessel_i0(x) * hip_libdevice.floor(x)


def test_functions_of_amds_library():
    x = torch.randn(20)
    expected = torch.tanh(x) + torch.special.i0(x) * torch.floor(x)
    assert torch.allclose(elementwise(amd_functions, x), expected)
