"""Proofs that draw what a row shares out of exponentials, sums, maxima and quotients."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.proofs.equivalence import SAME_REALS, proven_equivalent
from builder.bench.proofs.field import PRIME, field_inverse, field_product
from builder.verify import Prepared, prepare

PROGRAM = """
import torch
from torch import nn


class Kept(nn.Module):
    def forward(self, a, w):
        log_p = torch.log_softmax(a, -1)
        kept = torch.where(w > 0.5, log_p.exp(), 0.0)
        kept = kept / kept.sum(-1, keepdim=True) - kept / kept.amax(-1, keepdim=True)
        return kept + log_p + log_p.exp()


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(6, 12), torch.rand(6, 12)]
"""
KEPT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kept_kernel(a_ptr, w_ptr, out_ptr):
    cols = tl.arange(0, 16)
    mask = cols < 12
    place = tl.program_id(0) * 12 + cols
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    w = tl.load(w_ptr + place, mask=mask, other=0.0)
    largest = tl.max(tl.where(mask, x, float("-inf")), 0)
    powers = tl.where(mask, tl.exp(x - largest), 0.0)
    total = tl.sum(powers, 0)
    log_p = x - largest - tl.log(total)
    divisor = tl.sum(powers, 0)
    kept = tl.where(mask & (w > 0.5), powers / divisor, 0.0)
    rest = kept / tl.sum(kept, 0) - kept / tl.max(kept, 0)
    tl.store(out_ptr + place, rest + log_p + tl.exp(log_p), mask=mask)


class KeptNew(nn.Module):
    def forward(self, a, w):
        out = torch.empty((6, 12), dtype=torch.float32, device=a.device)
        kept_kernel[(6,)](a, w, out)
        return out
"""
TWICE = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def sums_kernel(a_ptr, w_ptr, sums_ptr):
    cols = tl.arange(0, 16)
    x = tl.load(a_ptr + tl.program_id(0) * 12 + cols, mask=cols < 12, other=-1.0)
    w = tl.load(w_ptr + tl.program_id(0))
    powers = tl.where(cols < 12, tl.exp(x), 0.0)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(powers, 0))


@triton.jit
def kept_kernel(a_ptr, w_ptr, sums_ptr, out_ptr):
    cols = tl.arange(0, 16)
    mask = cols < 12
    place = tl.program_id(0) * 12 + cols
    x = tl.load(a_ptr + place, mask=mask, other=0.0)
    w = tl.load(w_ptr + place, mask=mask, other=0.0)
    total = tl.load(sums_ptr + tl.program_id(0), mask=tl.program_id(0) < 6)
    kept = tl.where(mask & (w > 0.5), tl.exp(x) / total, 0.0)
    tl.store(out_ptr + place, kept / tl.sum(kept, 0), mask=mask)


class KeptNew(nn.Module):
    def forward(self, a, w):
        sums = torch.empty((6,), dtype=torch.float32, device=a.device)
        sums_kernel[(6,)](a, w, sums)
        out = torch.empty((6, 12), dtype=torch.float32, device=a.device)
        kept_kernel[(6,)](a, w, sums, out)
        return out
"""
STORED = "tl.store(sums_ptr + tl.program_id(0), tl.sum(powers, 0))"
LOADED = "total = tl.load(sums_ptr + tl.program_id(0), mask=tl.program_id(0) < 6)"
LARGEST = 'largest = tl.max(tl.where(mask, x, float("-inf")), 0)'
POWERS = "tl.exp(x - largest)"
TOTAL = "total = tl.sum(powers, 0)"
DIVISOR = "divisor = tl.sum(powers, 0)"
EMPTY = 'tl.exp(tl.where(largest == float("-inf"), 0.0, float("-inf") - largest))'
"""How much a running sum of exponentials that is empty is scaled by."""
LOG_P = "log_p = x - largest - tl.log(total)"


@pytest.fixture(scope="module")
def kept() -> Prepared:
    return prepare(PROGRAM, "Kept", draws=1)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (LARGEST, "largest = tl.sum(tl.where(mask, x * w, 0.0), 0) + 2.5", SAME_REALS),
        (LARGEST, "largest = 0.0", SAME_REALS),
        (LARGEST, "largest = tl.max(tl.where(mask, w, 0.0), 0)", SAME_REALS),
        (DIVISOR, "divisor = tl.max(powers, 0)", SAME_REALS),
        (DIVISOR, "divisor = tl.exp(tl.sum(x, 0))", SAME_REALS),
        (DIVISOR, "divisor = tl.sum(powers, 0) * tl.max(powers, 0)", SAME_REALS),
        (LOG_P, "log_p = x - tl.log(tl.sum(tl.where(mask, tl.exp(x), 0.0), 0))", SAME_REALS),
        (LOG_P, "log_p = tl.log(tl.exp(x)) - largest - tl.log(total)", SAME_REALS),
        (DIVISOR, f"divisor = 3.0 * tl.sum(0.0 * {EMPTY} + powers, 0)", SAME_REALS),
        (DIVISOR, "divisor = 3.0 * tl.sum(0.0 * tl.exp(x / w) + powers, 0)", None),
        ("tl.where(mask & (w > 0.5), powers / divisor, 0.0)",
         "3.0 * (0.0 + tl.where(mask & (w > 0.5), 0.0 + powers / divisor, 0.0))", SAME_REALS),
        ("tl.where(mask & (w > 0.5), powers / divisor, 0.0)",
         "3.0 * (0.5 + tl.where(mask & (w > 0.5), powers / divisor, 0.0))", None),
        (LARGEST, "largest = tl.log(tl.sum(x, 0))", None),
        (LARGEST, "largest = x * w", None),
        (POWERS, "tl.exp(x - largest - w)", None),
        (POWERS, "tl.exp(x - 2.0 * largest)", None),
        (POWERS, "tl.exp2(x - largest)", None),
        ("powers = tl.where(mask, tl.exp(x - largest), 0.0)", f"powers = {POWERS}", None),
        (DIVISOR, "divisor = tl.sum(x, 0)", None),
        (DIVISOR, "divisor = 0.0 - tl.sum(powers, 0)", None),
        (DIVISOR, "divisor = tl.sum(tl.where(w > 0.5, powers, 0.0), 0)", None),
        (DIVISOR, "divisor = tl.sum(powers * w, 0)", None),
        (DIVISOR, "divisor = tl.sum(powers, 0) * w", None),
        (DIVISOR, "divisor = tl.max(powers, 0) - tl.min(powers, 0)", None),
        (DIVISOR, "divisor = tl.min(powers, 0)", None),
        (TOTAL, "total = tl.max(powers, 0)", None),
        (LOG_P, "log_p = x - largest - tl.log2(total)", None),
        (LOG_P, "log_p = x - tl.log(total)", None),
        (LOG_P, "log_p = tl.log2(tl.exp(x)) - largest - tl.log(total)", None),
    ],
)  # fmt: skip
def test_proofs(kept: Prepared, old: str, new: str, proof: str | None) -> None:
    assert KEPT.count(old) == 1
    assert proven_equivalent(kept, KEPT, KEPT.replace(old, new)) == proof


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("powers / divisor, 0.0", "powers / divisor, 0.25"),
        ("kept / tl.max(kept, 0)", "kept / tl.max(kept - 0.5, 0)"),
        ("kept / tl.max(kept, 0)", "tl.max(kept, 0)"),
        ("kept / tl.sum(kept, 0)", "kept / tl.sum(kept + w, 0)"),
        ("kept / tl.sum(kept, 0)", "kept / tl.sum(tl.where(mask, kept, 1.0), 0)"),
    ],
)
def test_what_has_no_factor_keeps_it_inside(kept: Prepared, old: str, new: str) -> None:
    assert KEPT.count(old) == 1
    text = KEPT.replace(old, new)
    assert (
        proven_equivalent(kept, text, text.replace(DIVISOR, "divisor = tl.max(powers, 0)")) is None
    )


@pytest.mark.parametrize(
    ("root", "proof"),
    [
        ("tl.sqrt(tl.sum(kept * kept, 0))", SAME_REALS),
        ("tl.sqrt(tl.sum(kept * kept * (kept * kept), 0) / tl.sum(kept * kept, 0))", SAME_REALS),
        ("tl.rsqrt(1.0 / tl.sum(kept * kept, 0))", SAME_REALS),
        ("tl.sqrt(tl.sum(kept, 0))", None),
        ("tl.sqrt(tl.sum(kept * kept * kept, 0))", None),
        ("tl.sqrt(tl.sum(kept * w, 0) * w)", None),
        ("tl.rsqrt(tl.sum(kept * kept, 0))", None),
    ],
)
def test_squares_come_out_of_roots(kept: Prepared, root: str, proof: str | None) -> None:
    text = KEPT.replace("kept / tl.sum(kept, 0)", f"kept / {root}")
    mutant = text.replace(DIVISOR, "divisor = tl.max(powers, 0)")
    assert proven_equivalent(kept, text, mutant) == proof


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (STORED, STORED.replace("tl.sum(", "tl.max("), SAME_REALS),
        (STORED, STORED.replace("powers,", "powers * 3.0,"), SAME_REALS),
        (LOADED, f"{LOADED} * 2.0", SAME_REALS),
        (STORED, STORED.replace("powers,", "x,"), None),
        (STORED, STORED.replace("powers,", "powers * 0.0,"), None),
        (STORED, STORED.replace("powers,", "powers * -1.0,"), None),
        (STORED, STORED.replace("powers, 0)", "powers, 0), mask=w > 0.5"), None),
        (STORED, STORED.replace("powers, 0)", "powers, 0) * w"), None),
        (LOADED, LOADED.replace("< 6", "< 5, other=0.0"), None),
        (LOADED, f"{LOADED} * w", None),
    ],
)
def test_memory_knows_what_is_above_zero(
    kept: Prepared, old: str, new: str, proof: str | None
) -> None:
    assert TWICE.count(old) == 1
    assert proven_equivalent(kept, TWICE, TWICE.replace(old, new)) == proof


def test_inverses() -> None:
    words = np.array([1, 2, 12345, int(PRIME) - 1], dtype=np.uint64)
    assert (field_product(words, field_inverse(words)) == 1).all()
    assert field_inverse(np.zeros(1, dtype=np.uint64)) == 0
