"""Proofs of equivalence: each proves what is true and refuses what is not."""

from __future__ import annotations

import numpy as np
import pytest

from builder.bench.mutants.errors import errors_of, is_worse
from builder.bench.proofs.equivalence import (
    FINITE_TERMS,
    IDENTICAL,
    SAME_TERMS,
    proven_equivalent,
)
from builder.bench.proofs.terms import Unprovable, combined, in_sequence, mixed, name_hash
from builder.verify import Prepared, prepare
from tests.bench.verifier_samples import CURVE, CURVE_PROGRAM, ROW_SUM, ROW_SUM_PROGRAM

PRODUCT_PROGRAM = """
import torch
from torch import nn


class Product(nn.Module):
    def forward(self, a, b):
        return a @ b


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(16, 20), torch.randn(20, 16)]
"""
PRODUCT = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mm_kernel(a_ptr, b_ptr, out_ptr):
    m = tl.arange(0, 16)
    acc = tl.zeros((16, 16), dtype=tl.float32)
    for start in range(0, 32, 16):
        k = start + tl.arange(0, 16)
        a = tl.load(a_ptr + 20 * m[:, None] + k[None, :], mask=k[None, :] < 20, other=0.0)
        row_mask = k[:, None] < 20
        b = tl.load(b_ptr + 16 * k[:, None] + m[None, :], mask=row_mask, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(out_ptr + 16 * m[:, None] + m[None, :], acc)


class ProductNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty((16, 16), dtype=torch.float32, device=a.device)
        mm_kernel[(1,)](a, b, out)
        return out
"""


@pytest.fixture(scope="module")
def row_sum() -> Prepared:
    return prepare(ROW_SUM_PROGRAM, "RowSum", draws=2)


@pytest.fixture(scope="module")
def curve() -> Prepared:
    return prepare(CURVE_PROGRAM, "Curve", draws=2)


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, text.count(old)
    return text.replace(old, new)


SAME = [
    # names, dead code and assertions do not reach the kernel
    (IDENTICAL, "tmp6 = _tmp5 + tmp4", "tmp6 = _tmp5 + tmp4; unused = tmp4 * 2"),
    (IDENTICAL, "x0 = xindex", "x0 = xindex; tl.device_assert(x0 < 60, 'x')"),
    # what rows beyond the last hold is never stored
    (SAME_TERMS, "_tmp5 = tl.where(r0_mask & xmask, tmp6", "_tmp5 = tl.where(r0_mask, tmp6"),
    # a loaded zero in the padding is added, or is not
    (SAME_TERMS, "_tmp5 = tl.where(r0_mask & xmask, tmp6, _tmp5)", "_tmp5 = tmp6"),
    # more program instances than needed, smaller blocks
    (SAME_TERMS, "XBLOCK = 4", "XBLOCK = 2"),
    (SAME_TERMS, "grid = (triton.cdiv(6, XBLOCK),)", "grid = (3,)"),
    # 0 + x, and |a - b| squared through a swap
    (SAME_TERMS, "tmp5 = tl.sum(_tmp5, 1)", "tmp5 = tl.sum(0.0 + _tmp5 * 1.0, 1)"),
    (SAME_TERMS, "tmp4 = tmp3 * tmp2", "tmp4 = tmp2 * tmp3"),
    # indices that come out the same
    (SAME_TERMS, "load(in_ptr2 + r0_index", "load(in_ptr2 + tl.abs(0 - r0_index)"),
    # a guard against infinities
    (FINITE_TERMS, "tmp4 = tmp3 * tmp2",
     "tmp4 = tl.where(tl.abs(tmp3) == float('inf'), tmp2, tmp3 * tmp2)"),
    (FINITE_TERMS, "tmp4 = tmp3 * tmp2", "tmp4 = tl.where(tmp3 == tmp3, tmp3 * tmp2, 1.0)"),
]  # fmt: skip

DIFFERENT = [
    ("tmp3 = tmp0 - tmp1", "tmp3 = tmp1 - tmp0"),
    ("tmp3 = tmp0 - tmp1", "tmp3 = tmp0 + tmp1"),
    ("tmp4 = tmp3 * tmp2", "tmp4 = tmp3 * tmp2 * 1.0000001"),
    ("_tmp5 = tl.where(r0_mask & xmask, tmp6", "_tmp5 = tl.where(r0_index < 9, tmp6"),
    ("load(in_ptr2 + r0_index, r0_mask", "load(in_ptr2 + r0_index, r0_index < 9"),
    ("tmp2 = tl.load(in_ptr2 + r0_index", "tmp2 = tl.load(in_ptr2 + (r0_index + 1) % 10"),
    ("load(in_ptr2 + r0_index", "load(in_ptr2 + tl.abs(1 - r0_index)"),
    ("tmp6 = _tmp5 + tmp4", "tmp6 = tmp4"),
    ("tl.store(out_ptr0 + x0, tmp5, xmask)", "tl.store(out_ptr0 + x0, tmp5, x0 < 5)"),
    ("tl.store(out_ptr0 + x0, tmp5, xmask)", "tl.store(out_ptr0 + (5 - x0), tmp5, xmask)"),
    ("grid = (triton.cdiv(6, XBLOCK),)", "grid = (1,)"),
    ("launch_row_sum(x, y, self.weight, buf0)", "launch_row_sum(x, x, self.weight, buf0)"),
    ("return buf0", "return self.weight[:6]"),
    ("return buf0", "return torch.zeros_like(buf0)"),
    ("tmp5 = tl.sum(_tmp5, 1)", "tmp5 = tl.max(_tmp5, 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("proof", "old", "new"), SAME, ids=[case[2] for case in SAME])
def test_proves_what_is_the_same(row_sum: Prepared, proof: str, old: str, new: str) -> None:
    assert proven_equivalent(row_sum, ROW_SUM, changed(ROW_SUM, old, new)) == proof


@pytest.mark.parametrize(("old", "new"), DIFFERENT, ids=[case[1] for case in DIFFERENT])
def test_refuses_what_differs(row_sum: Prepared, old: str, new: str) -> None:
    assert proven_equivalent(row_sum, ROW_SUM, changed(ROW_SUM, old, new)) is None


def test_follows_data_from_kernel_to_kernel(curve: Prepared) -> None:
    same = changed(
        CURVE, "launch_sub(buf0, x, buf1, 4)", "launch_sub(buf0, x, buf1, 4); buf2 = buf0"
    )
    assert proven_equivalent(curve, CURVE, same) == IDENTICAL
    square = changed(CURVE, "tmp2 = tl.abs(tmp1)", "tmp2 = tl.abs(-tmp1)")
    assert proven_equivalent(curve, CURVE, square) == SAME_TERMS
    stale = changed(CURVE, "launch_sub(buf0, x, buf1, 4)", "launch_sub(x, x, buf1, 4)")
    assert proven_equivalent(curve, CURVE, stale) is None


def test_ties_are_equal_whichever_is_taken(row_sum: Prepared) -> None:
    texts = [
        changed(ROW_SUM, "tmp4 = tmp3 * tmp2", f"tmp4 = tl.where(tmp3 {sign} tmp2, {chosen})")
        for sign, chosen in ((">", "tmp3, tmp2"), (">=", "tmp3, tmp2"), (">=", "tmp2, tmp3"))
    ]
    assert proven_equivalent(row_sum, texts[0], texts[1]) == SAME_TERMS
    assert proven_equivalent(row_sum, texts[0], texts[2]) is None


def test_a_product_of_padding_adds_nothing() -> None:
    prepared = prepare(PRODUCT_PROGRAM, "Product", draws=1)
    longer = changed(PRODUCT, "range(0, 32, 16)", "range(0, 48, 16)")
    assert proven_equivalent(prepared, PRODUCT, longer) == SAME_TERMS
    ones = changed(PRODUCT, "[None, :] < 20, other=0.0)", "[None, :] < 20, other=1.0)")
    assert proven_equivalent(prepared, PRODUCT, ones) == SAME_TERMS
    shorter = changed(PRODUCT, "range(0, 32, 16)", "range(0, 16, 16)")
    assert proven_equivalent(prepared, PRODUCT, shorter) is None
    tf32 = changed(PRODUCT, 'input_precision="ieee"', 'input_precision="tf32"')
    assert proven_equivalent(prepared, PRODUCT, tf32) is None


def test_what_only_nan_decides_is_the_same_if_finite(row_sum: Prepared) -> None:
    pair = "@triton.jit\ndef greater(a, b):\n    return tl.where((a > b) | (a != a), a, b)\n\n\n"
    text = pair + changed(ROW_SUM, "tl.sum(_tmp5, 1)", "tl.reduce(_tmp5, 1, greater)").lstrip()
    text = text.replace("import torch\nimport triton\nimport triton.language as tl\n", "", 1)
    text = f"import torch\nimport triton\nimport triton.language as tl\n\n\n{text}"
    blind = changed(text, "(a > b) | (a != a)", "(a > b)")
    assert proven_equivalent(row_sum, text, blind) == FINITE_TERMS
    wrong = changed(text, "(a > b) | (a != a)", "(a < b) | (a != a)")
    assert proven_equivalent(row_sum, text, wrong) is None


def test_a_false_assumption_is_never_the_same(row_sum: Prepared) -> None:
    text = changed(ROW_SUM, "x0 = xindex", "x0 = xindex; tl.assume(tl.program_id(0) > 0)")
    with pytest.raises(Unprovable, match="assumption"):
        proven_equivalent(row_sum, ROW_SUM, text)


def test_a_write_to_an_input_is_seen(row_sum: Prepared) -> None:
    store = "tl.store(out_ptr0 + x0, tmp5, xmask)"
    text = changed(ROW_SUM, store, f"{store}; tl.store(in_ptr1 + x0, tmp5, xmask)")
    assert proven_equivalent(row_sum, ROW_SUM, text) is None


def test_a_branch_on_data_proves_nothing(row_sum: Prepared) -> None:
    store = "tl.store(out_ptr0 + x0, tmp5, xmask)"
    text = changed(ROW_SUM, store, f"if tl.load(in_ptr0) > 0: {store}")
    with pytest.raises(Unprovable):
        proven_equivalent(row_sum, ROW_SUM, text)


def test_rounding_is_told_by_its_error(row_sum: Prepared) -> None:
    original = errors_of(row_sum, ROW_SUM)
    assert original is not None
    rounded = changed(
        ROW_SUM, "tmp4 = tmp3 * tmp2", "tmp4 = (tmp3 * tmp2).to(tl.bfloat16).to(tl.float32)"
    )
    mutant = errors_of(row_sum, rounded)
    assert mutant is not None
    assert is_worse(mutant, original)
    assert not is_worse(original, original)
    assert errors_of(row_sum, changed(ROW_SUM, "tmp3 = tmp0 - tmp1", "tmp3 = nothing")) is None


def test_terms_tell_order_and_place_apart() -> None:
    words = mixed(np.arange(4, dtype=np.uint64))
    name = name_hash("operation")
    pair = [words[:1], words[1:2]]
    assert combined(name, pair) != combined(name, pair[::-1])
    assert combined(name, pair, commutes=True) == combined(name, pair[::-1], commutes=True)
    assert in_sequence(words, 0) != in_sequence(words[::-1], 0)
    skipped = np.array([False, True, False, False])
    assert in_sequence(words, 0, skipped=skipped) != in_sequence(words, 0)
