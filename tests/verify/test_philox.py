"""Verification's own random numbers: published vectors, and what Triton draws."""

import random

import pytest
import torch
import triton
import triton.language as tl

from builder.execute import run
from builder.verify import philox

WORD = 0xFFFFFFFF


def all_words(seed, count):
    return torch.cat(list(philox.words(seed, count)), dim=1)


def test_the_generator_of_seeds_gives_the_published_numbers():
    """Of SplitMix64 from state 1234567 (Vigna's splitmix64.c), halved."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [philox.call_seed(1234567, n) for n in range(4)] == [n >> 1 for n in published]


def test_seeds_wrap_and_fit_in_63_bits():
    seeds = [philox.call_seed(seed, n) for seed in (0, 2**64 - 1, 2**63) for n in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == len(seeds)


def test_words_are_the_published_ones():
    """Counter and key zero: Random123's known answers for philox4x32-10."""
    assert all_words(0, 1)[:, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_chunks_join(monkeypatch):
    whole = all_words(2**40 + 3, 1000)
    monkeypatch.setattr(philox, "_CHUNK", 64)
    assert torch.equal(all_words(2**40 + 3, 1000), whole)
    assert all_words(5, 0).shape == (4, 0)


@triton.jit
def draw(u_ptr, z_ptr, w_ptr, seed, N: tl.constexpr):
    place = tl.arange(0, N)
    tl.store(u_ptr + place, tl.rand(seed, place.to(tl.uint32)))
    tl.store(z_ptr + place, tl.randn(seed, place.to(tl.uint32)))
    a, b, _, _ = tl.randint4x(seed, place.to(tl.uint32))
    tl.store(w_ptr + place, a.to(tl.uint64) | (b.to(tl.uint64) << 32))


@pytest.mark.parametrize("seed", [0, 1, 2**31 + 5, 2**63 - 1])
def test_triton_draws_the_same(seed):
    u, z, bits = torch.empty(512), torch.empty(512), torch.empty(512, dtype=torch.int64)
    run(draw, (1,), u, z, bits.view(torch.uint64), seed, N=512)
    words = all_words(seed, 512)
    assert torch.equal(u, philox.uniform(words[0]))
    expected = philox.normal(philox.uniform(words[0]), philox.uniform(words[1]))
    torch.testing.assert_close(z, expected, rtol=0, atol=2e-6)
    assert torch.equal(bits, words[0] | words[1] << 32)


@pytest.mark.parametrize("bounds", [(0, 2), (-5, 9), (0, 2**31), (-(2**62), 2**62 - 3), (7, 8)])
def test_integers_are_64_bits_modulo_their_number(bounds):
    low, high = bounds
    pick = random.Random(0)
    lower = [0, WORD, 1, *(pick.getrandbits(32) for _ in range(200))]
    upper = [0, WORD, WORD, *(pick.getrandbits(32) for _ in range(200))]
    found = philox.integers(torch.tensor(lower), torch.tensor(upper), low, high)
    words = [a | b << 32 for a, b in zip(lower, upper, strict=True)]
    assert found.tolist() == [word % (high - low) + low for word in words]


def test_seeds_next_to_one_another_draw_independently():
    """No two calls of a program, nor neighbours within one, correlate."""
    rows = [philox.uniform(all_words(philox.call_seed(9, n), 4096)[0]) for n in range(6)]
    rows.append(rows[0].roll(1))
    correlation = torch.corrcoef(torch.stack(rows).double()).fill_diagonal_(0.0)
    assert correlation.abs().max() < 5 / 4096**0.5
