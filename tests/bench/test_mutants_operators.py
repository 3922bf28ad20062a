"""Each mutation operator plants the fault it is named for, at the line it names."""

from __future__ import annotations

import ast

import pytest

from builder.bench.mutants.choose import Chooser, category_of, partner
from builder.bench.mutants.registry import OPERATORS
from builder.bench.mutants.source import Source
from tests.bench.verifier_samples import CURVE, ROW_SUM, rows

SCATTER = ROW_SUM.replace("tl.store(", "tl.atomic_add(")
SORTED = ROW_SUM.replace("tmp6 = _tmp5 + tmp4", "tmp6 = pair_max(_tmp5, tmp4)").replace(
    "@triton.jit\ndef row",
    "@triton.jit\ndef pair_max(a, b):\n    return tl.maximum(-a, b)\n\n\n@triton.jit\ndef row",
)
PRODUCT = """
import triton
import triton.language as tl
from torch import nn


@triton.jit
def mm_kernel(arg_A, arg_B, out_ptr0):
    BLOCK_M: tl.constexpr = 16
    ALLOW_TF32: tl.constexpr = False
    rm = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    acc = tl.zeros((BLOCK_M, BLOCK_M), dtype=tl.float32)
    for k in range(0, 4):
        a = tl.load(arg_A + rm[:, None])
        b = tl.load(arg_B + rm[None, :])
        acc += tl.dot(a, b, allow_tf32=ALLOW_TF32)
    tl.store(out_ptr0 + rm[:, None] + 16 * rm[None, :], acc)


def launch_mm(arg_A, arg_B, out_ptr0, grid_x):
    grid = (grid_x,)
    mm_kernel[grid](arg_A, arg_B, out_ptr0)


class ProductNew(nn.Module):
    def forward(self, a, b):
        launch_mm(a, b, a, 3)
        return a
"""
EXPECTED = [
    ("changed_arithmetic", ROW_SUM, "tmp3 = ((tmp0) + (tmp1))"),
    ("changed_comparison", ROW_SUM, "xmask = ((xindex) <= (xnumel))"),
    ("changed_function", CURVE, "tmp1 = libdevice.erf(tmp0)"),
    ("dropped_negation", SORTED, "return tl.maximum((a), b)"),
    ("changed_value_constant", CURVE, "return x * 1.0"),
    ("changed_integer_constant", ROW_SUM, "tmp0 = tl.load(in_ptr0 + (r0_index + (11) * x0), r0"),
    ("dropped_mask", ROW_SUM, "tl.store(out_ptr0 + x0, tmp5, None)"),
    ("dropped_condition", ROW_SUM, "_tmp5 = tl.where((xmask), tmp6, _tmp5)"),
    ("dropped_selection", ROW_SUM, "_tmp5 = tl.where((r0_mask & xmask) == (r0_mask & xmask), tmp6"),
    ("shifted_mask", ROW_SUM, "xmask = xindex < xnumel - 1"),
    ("changed_other", ROW_SUM, "tmp2 = tl.load(in_ptr2 + r0_index, r0_mask, other=1.0)"),
    ("shifted_address", ROW_SUM, "tl.store(out_ptr0 + x0 + 1, tmp5, xmask)"),
    ("shifted_index", ROW_SUM, "x0 = (xindex) - 1"),
    ("shifted_bound", ROW_SUM, "r0_numel = (11)"),
    ("shifted_loop", ROW_SUM, "for r0_offset in tl.range((0) + (R0_BLOCK), r0_numel, R0_BLOCK):"),
    ("wrong_reduction_axis", ROW_SUM, "tmp5 = tl.sum(_tmp5, 0)[None, :]"),
    ("wrong_program_axis", ROW_SUM, "xoffset = tl.program_id(1) * XBLOCK"),
    ("swapped_strides", ROW_SUM, "tmp0 = tl.load(in_ptr0 + (x0 + 10 * r0_index), r0_mask & xmask"),
    ("swapped_launch_arguments", ROW_SUM, "launch_row_sum(y, x, self.weight, buf0)"),
    ("swapped_kernel_arguments", ROW_SUM, "row_sum_kernel[grid](in_ptr1, in_ptr0, in_ptr2, out"),
    ("swapped_call_arguments", ROW_SUM, "_tmp5 = tl.where(r0_mask & xmask, _tmp5, tmp6)"),
    ("swapped_operands", ROW_SUM, "tmp3 = ((tmp1) - (tmp0))"),
    ("rounded_value", ROW_SUM, "tmp4 = (tmp3 * tmp2).to(tl.bfloat16).to(tl.float32)"),
    ("rounded_sum", ROW_SUM, "tmp5 = tl.sum((_tmp5).to(tl.float16), 1, dtype=tl.float16)"),
    ("rounded_store", ROW_SUM, "tl.store(out_ptr0 + x0, (tmp5).to(tl.float16).to(tl.float32)"),
    ("rounded_accumulator", PRODUCT, "acc = (acc + tl.dot(a, b, allow_tf32=ALLOW_TF32)).to("),
    ("rounded_operand", PRODUCT, "acc += tl.dot((a).to(tl.float16).to(tl.float32), b"),
    ("tf32_product", PRODUCT, "acc += tl.dot(a, b, allow_tf32=True)"),
    ("missing_store", ROW_SUM, "pass"),
    ("missing_launch", ROW_SUM, "pass"),
    ("partial_store", ROW_SUM, "if tl.program_id(0) != 0: tl.store(out_ptr0 + x0, tmp5, xmask)"),
    ("early_return", ROW_SUM, "if tl.program_id(0) == tl.num_programs(0) - 1: return"),
    ("early_loop_exit", ROW_SUM, "for r0_offset in tl.range(0, (0) + ((r0_numel) - (0)) // 2, R0"),
    ("overwritten_sum", PRODUCT, "acc = tl.dot(a, b, allow_tf32=ALLOW_TF32)"),
    ("skipped_update", ROW_SUM, "pass"),
    ("forgotten_operand", ROW_SUM, "tmp6 = (tmp4)"),
    ("plain_store", SCATTER, "tl.store(out_ptr0 + x0, tmp5, xmask)"),
    ("dropped_reduction", ROW_SUM, "tmp5 = tl.max(_tmp5, 1)[:, None]"),
    ("stale_launch_block", CURVE, "tanh_kernel[grid](in_ptr0, out_ptr0, XBLOCK=XBLOCK * 2)"),
    ("stale_grid", ROW_SUM, "grid = (max((6) // (XBLOCK), 1),)"),
    ("stale_grid_argument", CURVE, "launch_sub(buf0, x, buf1, 2)"),
    ("stale_block_constant", CURVE, "XBLOCK: tl.constexpr = 32"),
    ("stale_offset", ROW_SUM, "xoffset = tl.program_id(0) * (XBLOCK // 2)"),
    ("stale_step", ROW_SUM, "for r0_offset in tl.range(0, r0_numel, (R0_BLOCK) * 2):"),
    ("stored_zeros", ROW_SUM, "tl.store(out_ptr0 + x0, tl.zeros_like(tmp5), xmask)"),
    ("returned_zeros", ROW_SUM, "return torch.zeros_like(buf0)"),
    ("returned_input", CURVE, "return x"),
    ("stored_input", CURVE, "tl.store(out_ptr0 + xindex, tmp0, xmask)"),
    ("returned_buffer", CURVE, "return buf0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "wanted"), EXPECTED, ids=[case[0] for case in EXPECTED])
def test_plants_its_fault(name: str, text: str, wanted: str) -> None:
    source = Source(text, "Any")
    planted = {}
    for candidate in OPERATORS[name].candidates(source):
        mutated = source.apply(candidate)
        ast.parse(mutated)
        planted[mutated.splitlines()[candidate.line - 1].strip()] = mutated
    found = [mutated for line, mutated in planted.items() if line.startswith(wanted)]
    assert found
    assert text not in found


def test_every_operator_has_a_case() -> None:
    assert {case[0] for case in EXPECTED} == set(OPERATORS)


def test_a_launch_never_swaps_tensors_of_different_shapes() -> None:
    source = Source(ROW_SUM, "RowSum")
    found = OPERATORS["swapped_launch_arguments"].candidates(source)
    assert [source.apply(one).splitlines()[one.line - 1].strip() for one in found] == [
        "launch_row_sum(y, x, self.weight, buf0)"
    ]


def test_no_mutant_is_drawn_twice_or_is_the_original() -> None:
    row = rows()[0]
    mutants = Chooser(0).draw(row, 10_000, rows()[1])
    trees = [ast.dump(ast.parse(mutant.text)) for mutant in mutants]
    assert len(trees) == len(set(trees)) > 80
    assert ast.dump(ast.parse(row["triton_code"])) not in trees


def test_draws_depend_on_the_seed_alone() -> None:
    first, second, other = (
        [mutant.text for mutant in Chooser(seed).draw(rows()[0], 20)] for seed in (3, 3, 4)
    )
    assert first == second
    assert first != other


def test_kinds_of_fault_are_drawn_evenly() -> None:
    mutants = Chooser(1).draw(rows()[0], 28, rows()[1])
    counts = [sum(m.category == kind for m in mutants) for kind in {m.category for m in mutants}]
    assert len(counts) >= 13
    assert max(counts) - min(counts) <= 2


def test_a_mutant_says_what_changed() -> None:
    mutants = Chooser(0).draw(rows()[0], 10_000)
    found = next(m for m in mutants if m.operator == "swapped_operands")
    assert found.category == category_of("swapped_operands") == "swapped arguments"
    assert found.original_line == "tmp3 = tmp0 - tmp1"
    assert found.mutated_line == "tmp3 = ((tmp1) - (tmp0))"
    assert found.text.splitlines()[found.line - 1].strip() == found.mutated_line


def test_a_module_of_another_pair_takes_the_name() -> None:
    mutants = Chooser(0).draw(rows()[0], 10_000, partner(rows(), 0))
    (found,) = [m for m in mutants if m.operator == "borrowed_module"]
    assert "class RowSumNew" in found.text
    assert "CurveNew" not in found.text


def test_a_flag_is_no_axis() -> None:
    text = ROW_SUM.replace("tl.sum(_tmp5, 1)", "tl.sum(_tmp5, 1, False)")
    mutants = [
        source_text
        for candidate in OPERATORS["wrong_reduction_axis"].candidates(Source(text, "RowSum"))
        for source_text in [Source(text, "RowSum").apply(candidate)]
    ]
    assert len(mutants) == 1
    assert "tl.sum(_tmp5, 0, False)" in mutants[0]
