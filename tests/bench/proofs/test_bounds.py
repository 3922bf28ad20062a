"""Bounds of integers that nothing is known of, but that they are masked, shifted or widened."""

from __future__ import annotations

import pytest

from builder.bench.proofs.equivalence import SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Unpacked(nn.Module):
    def forward(self, levels, packed, words):
        halves = torch.stack((packed & 15, packed >> 4), -1).flatten(1)
        return levels[halves.long()] + (words >> 4)


def get_init_inputs():
    return []


def get_inputs():
    packed = (torch.randn(6, 8) * 256).long().to(torch.uint8)
    words = (torch.randn(6, 16) * 100).long().to(torch.int16)
    return [torch.randn(16), packed, words]
"""
TEXT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def unpack_kernel(levels_ptr, packed_ptr, words_ptr, out_ptr):
    place = tl.program_id(0) * 16 + tl.arange(0, 16)
    byte = tl.load(packed_ptr + place // 2)
    word = tl.load(words_ptr + place)
    half = tl.where(place % 2 == 0, byte & 15, byte >> 4).to(tl.int64)
    half = tl.where(half < 0, half + 16, half)
    wide = word.to(tl.int32)
    shift = tl.where(wide < -32768, 7, word >> 4)
    tl.store(out_ptr + place, tl.load(levels_ptr + half) + shift)


class UnpackedNew(nn.Module):
    def forward(self, levels, packed, words):
        out = torch.empty((6, 16), dtype=torch.float32, device=levels.device)
        unpack_kernel[(6,)](levels, packed, words, out)
        return out
"""


@pytest.fixture(scope="module")
def unpacked() -> Prepared:
    return prepare(PROGRAM, "Unpacked", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "is_proven"),
    [
        ("half < 0", "half < -1", True),
        ("half + 16", "half + 17", True),
        ("half < 0", "half < 1", False),
        ("half < 0", "half > 14", False),
        ("half < 0", "half > 15", True),
        ("wide < -32768", "wide < -40000", True),
        ("wide < -32768", "wide > 32767", True),
        ("wide < -32768", "wide > 32766", False),
        ("wide < -32768", "wide < -32767", False),
    ],
)
def test_what_no_bits_can_be_is_never_chosen(
    unpacked: Prepared, old: str, new: str, *, is_proven: bool
) -> None:
    assert old in TEXT
    proof = proven_equivalent(unpacked, TEXT, TEXT.replace(old, new))
    assert proof == (SAME_TERMS if is_proven else None)


@pytest.mark.parametrize(
    ("half", "is_proven"),
    [
        ("byte & 15", True),
        ("byte.to(tl.int8, bitcast=True) & 127", True),
        ("byte.to(tl.int8, bitcast=True) & -128", False),
        ("byte >> 1", True),
        ("byte.to(tl.int8, bitcast=True) >> 1", False),
        ("byte.to(tl.int8, bitcast=True)", False),
        ("byte", True),
        ("byte.to(tl.int32) - 1", False),
    ],
)
def test_a_sign_bit_counts(unpacked: Prepared, half: str, *, is_proven: bool) -> None:
    text = TEXT.replace("tl.where(place % 2 == 0, byte & 15, byte >> 4)", f"({half})")
    proof = proven_equivalent(unpacked, text, text.replace("half < 0", "half < -1000"))
    assert proof == (SAME_TERMS if is_proven else None)


@pytest.mark.parametrize(
    ("condition", "other", "is_proven"),
    [
        # Of places 16 to 31 and bytes of four bits: which lanes are told by bounds alone.
        ("(byte & 15) > place + 8", "((byte & 15) > place + 8) & (place < 7)", True),
        ("(byte & 15) > place + 8", "((byte & 15) > place + 8) & (place < 6)", False),
        ("(byte & 15) >= place + 8", "((byte & 15) >= place + 8) & (place < 8)", True),
        ("(byte & 15) >= place + 8", "((byte & 15) >= place + 8) & (place < 7)", False),
        ("place < (byte & 15)", "(place < (byte & 15)) & (place < 15)", True),
        ("place < (byte & 15)", "(place < (byte & 15)) & (place < 14)", False),
        ("place <= (byte & 15)", "(place <= (byte & 15)) & (place < 16)", True),
        ("place == (byte & 15)", "(place == (byte & 15)) & (place < 16)", True),
        ("place == (byte & 15)", "(place == (byte & 15)) & (place < 15)", False),
        ("place != (byte & 15)", "(place != (byte & 15)) | (place > 15)", True),
        ("place != (byte & 15)", "(place != (byte & 15)) | (place > 14)", False),
        ("~(place > (byte & 15))", "(~(place > (byte & 15))) & (place < 16)", True),
        ("~(place > (byte & 15))", "(~(place > (byte & 15))) & (place < 15)", False),
    ],
)
def test_lanes_are_told_one_by_one(
    unpacked: Prepared, condition: str, other: str, *, is_proven: bool
) -> None:
    assert "tl.where(wide < -32768, 7, word >> 4)" in TEXT
    first, second = (TEXT.replace("wide < -32768", one) for one in (condition, other))
    proof = proven_equivalent(unpacked, first, second)
    assert proof == (SAME_TERMS if is_proven else None)
