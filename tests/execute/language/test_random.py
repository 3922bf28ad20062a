"""Random numbers: Philox against a reference of its own, and the shapes of the distributions."""

import math

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run

COVERED = {
    "pair_uniform_to_normal", "philox", "philox_impl", "rand", "rand4x", "randint", "randint4x",
    "randn", "randn4x", "uint_to_uniform_float",
}  # fmt: skip

TOP = 0xFFFFFFFF


def philox(counter, key, rounds=10):
    """Philox4x32 as Salmon et al. define it ("Parallel random numbers: as easy as 1, 2, 3")."""
    for _ in range(rounds):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            second >> 32 ^ counter[1] ^ key[0], second & TOP,
            first >> 32 ^ counter[3] ^ key[1], first & TOP,
        ]  # fmt: skip
        key = [key[0] + 0x9E3779B9 & TOP, key[1] + 0xBB67AE85 & TOP]
    return counter


def test_the_reference_gives_the_published_vector():
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@triton.jit
def bits(out, seed, first, ROUNDS: tl.constexpr, N: tl.constexpr):
    lane = first + tl.arange(0, N)
    a, b, c, d = tl.randint4x(seed, lane, n_rounds=ROUNDS)
    tl.store(out + tl.arange(0, N) * 4, a)
    tl.store(out + tl.arange(0, N) * 4 + 1, b)
    tl.store(out + tl.arange(0, N) * 4 + 2, c)
    tl.store(out + tl.arange(0, N) * 4 + 3, d)
    tl.store(out + 4 * N + tl.arange(0, N), tl.randint(seed, lane, ROUNDS))


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**40 + 12345])
@pytest.mark.parametrize("rounds", [10, 7])
def test_integers(seed, rounds):
    out = torch.empty(80, dtype=torch.int32)
    run(bits, (1,), out, seed, 2**31 - 8 - 8, ROUNDS=rounds, N=16)
    key = [seed & TOP, seed >> 32 & TOP]
    lanes = range(2**31 - 16, 2**31)
    expected = [philox([lane & TOP, 0, 0, 0], key, rounds) for lane in lanes]
    assert [v & TOP for v in out[:64].tolist()] == [v for four in expected for v in four]
    assert [v & TOP for v in out[64:].tolist()] == [four[0] for four in expected]


@triton.jit
def raw(out, seed, N: tl.constexpr):
    lane = tl.arange(0, N).to(tl.uint32)
    zero = tl.zeros([N], tl.uint32)
    a, b, _, _ = tl.philox(seed, lane, zero + 1, zero + 2, zero + 3)
    low, high = (seed & 0xFFFFFFFF).to(tl.uint32), (seed >> 32).to(tl.uint32)
    c, d, _, _ = tl.philox_impl(lane, zero + 1, zero + 2, zero + 3, low, high, 10)
    tl.store(out + lane * 2, a)
    tl.store(out + lane * 2 + 1, b)
    tl.store(out + 2 * N + lane * 2, c)
    tl.store(out + 2 * N + lane * 2 + 1, d)


def test_counters():
    out = torch.empty(64, dtype=torch.uint32)
    seed = 2**40 + 7
    run(raw, (1,), out, seed, N=16)
    four = [philox([n, 1, 2, 3], [seed & TOP, seed >> 32]) for n in range(16)]
    pairs = [v for value in four for v in value[:2]]
    assert out.tolist() == pairs * 2


@triton.jit
def samples(out, seed, N: tl.constexpr):
    lane = tl.program_id(0) * N + tl.arange(0, N)
    total = tl.num_programs(0) * N
    tl.store(out + lane, tl.rand(seed, lane))
    tl.store(out + total + lane, tl.randn(seed, lane))
    a, b, _, d = tl.rand4x(seed, lane)
    tl.store(out + 2 * total + lane, b)
    tl.store(out + 3 * total + lane, d)
    e, _, f, _ = tl.randn4x(seed, lane)
    tl.store(out + 4 * total + lane, e)
    tl.store(out + 5 * total + lane, f)
    x, y = tl.pair_uniform_to_normal(a, b)
    tl.store(out + 6 * total + lane, x)
    tl.store(out + 7 * total + lane, y)
    tl.store(out + 8 * total + lane, tl.uint_to_uniform_float(tl.randint(seed, lane)))


def test_distributions():
    count = 1 << 14
    out = torch.empty(9, count)
    run(samples, (16,), out, 1234, N=count // 16)
    for row in (0, 2, 3, 8):
        uniform = out[row].double().sort().values
        steps = torch.arange(1, count + 1) / count
        assert 0 <= uniform[0] < uniform[-1] < 1
        assert (uniform - steps).abs().max() < 1.95 / math.sqrt(count)  # Kolmogorov, 0.1 %
    for row in (1, 4, 5, 6, 7):
        normal = out[row].double().sort().values
        steps = torch.arange(1, count + 1) / count
        assert (torch.special.ndtr(normal) - steps).abs().max() < 1.95 / math.sqrt(count)
    same_bits = [out[0].equal(out[8]), out[4].equal(out[6])]
    assert same_bits == [True, True]


def test_uniform_numbers_are_the_upper_bits():
    """An integer is made non-negative by complement, then scaled a little below 2^-31."""
    out = torch.empty(9, 64)
    run(samples, (1,), out, 99, N=64)
    for lane in range(64):
        word = philox([lane, 0, 0, 0], [99, 0])[0]
        word = word if word < 2**31 else TOP - word
        assert out[0, lane].item() == pytest.approx(word * 4.6566127342e-10, rel=1e-6)
