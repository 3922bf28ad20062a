"""Proofs from what a program declares: bounds of its integers, and constants without data."""

from __future__ import annotations

import pytest

from builder.bench.mutants.equivalence import SAME_TERMS, proven_equivalent
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Rows(nn.Module):
    def forward(self, table, index, mask):
        return table[index] * 0.5 + mask.to(torch.float32)[:, None]


def get_init_inputs():
    return []


def get_inputs():
    index = torch.randint(0, 12, (10,))
    return [torch.randn(12, 16), index, torch.randint(2, 5, (10,)).flip(0).to(torch.int32)]
"""
ROWS = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def rows_kernel(table, index, mask, out, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.load(index + row)
    place = tl.where(place < 0, place + 12, place)
    shift = tl.load(mask + row).to(tl.float32)
    cols = tl.arange(0, BLOCK)
    weight = (row * 0 + 1).to(tl.float32) / 2.0
    x = tl.load(table + place * 16 + cols)
    tl.store(out + row * 16 + cols, x * weight + shift)


class RowsNew(nn.Module):
    def forward(self, table, index, mask):
        out = torch.empty((10, 16), dtype=torch.float32, device=table.device)
        rows_kernel[(10,)](table, index, mask, out, BLOCK=16)
        return out
"""


@pytest.fixture(scope="module")
def rows() -> Prepared:
    return prepare(PROGRAM, "Rows", draws=2)


def test_bounds_follow_from_how_inputs_are_made(rows: Prepared) -> None:
    assert rows.declared_bounds(0) == {"input 1": (0, 11), "input 2": (2, 4)}


def test_a_tensor_written_in_place_has_no_bounds() -> None:
    text = PROGRAM.replace("(10,))\n", "(10,))\n    index[0] = -1\n", 1)
    assert "input 1" not in prepare(text, "Rows", draws=1).declared_bounds(0)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        # no index is negative
        ("place + 12", "place + 13", SAME_TERMS),
        ("place < 0", "place < -5", SAME_TERMS),
        ("place < 0, place + 12, place", "place == 99, place * 2, place", SAME_TERMS),
        # but some are 0, and some are 11
        ("place < 0", "place < 1", None),
        ("place < 0", "place > 10", None),
        # constants that no data reach
        (
            "(row * 0 + 1).to(tl.float32) / 2.0",
            "tl.floor((row // 100 + 1).to(tl.float32) * 1.5) * 0.5",
            SAME_TERMS,
        ),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "(row // 100 + 1) * 0.5", SAME_TERMS),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "0.5000001", None),
        ("(row * 0 + 1).to(tl.float32) / 2.0", "(row + 1).to(tl.float32) / 2.0", None),
    ],
)
def test_proofs(rows: Prepared, old: str, new: str, proof: str | None) -> None:
    assert old in ROWS
    assert proven_equivalent(rows, ROWS, ROWS.replace(old, new)) == proof


def test_a_table_without_a_range_proves_nothing() -> None:
    text = PROGRAM.replace("index = torch.randint(0, 12, (10,))", "index = torch.randn(10).long()")
    prepared = prepare(text, "Rows", draws=1)
    assert proven_equivalent(prepared, ROWS, ROWS.replace("place + 12", "place + 13")) is None
