import ast
import dataclasses

import pytest

from builder.capture.kernels import Kernel
from builder.errors import RewriteRejected
from builder.rewrite.kernel import standalone_kernel

SOURCE = """
import triton

@triton.jit
def _triton_helper_fn_add0(arg0_0, arg1_0):
    tmp0 = arg0_0 + arg1_0
    return tmp0

@triton_heuristics.pointwise(size_hints={{'y': 64, 'x': 64}})
@triton.jit
def triton_poi_fused_add_mul_3(
    in_ptr0, out_ptr0, ynumel, xnumel, YBLOCK : tl.constexpr, XBLOCK : tl.constexpr
):
    ynumel = {ynumel}
    xnumel = 50
    unused = xnumel + 3
    offset = tl.program_id(1) * YBLOCK
    value = tl_math.exp(triton_helpers.{helper}(in_ptr0, offset))
    other = tl.associative_scan(value, 1, _triton_helper_fn_add0)
    tl.store(out_ptr0 + xnumel, libdevice.rsqrt(other))
"""  # fmt: skip


def kernel(grid_type="Grid2D", ynumel=64, helper="maximum"):
    return Kernel(
        name="triton_poi_fused_add_mul_3",
        kind="pointwise",
        source=SOURCE.format(ynumel=ynumel, helper=helper),
        constants={"XBLOCK": 32, "YBLOCK": 1},
        num_warps=4,
        num_stages=1,
        grid_type=grid_type,
    )


def test_helpers_become_the_shipped_functions_and_the_rest_is_gone():
    made = standalone_kernel(kernel(), set())
    assert made.name == "add_mul_kernel"
    assert made.functions == {"maximum"}
    assert "libdevice." in made.text
    assert made.dropped == {2, 3}
    assert "tl.exp(maximum(in_ptr0, offset))" in made.text
    assert "tl.associative_scan(value, 1, add_mul_combine)" in made.text
    assert "def add_mul_combine(arg0_0, arg1_0):" in made.text
    for gone in ("heuristics", "unused", "ynumel", "_triton_helper", "tl_math"):
        assert gone not in made.text


@pytest.mark.parametrize(
    ("grid_type", "ynumel", "grid"),
    [
        ("Grid2D", 64, "64)"),
        ("Grid1D", 64, ")"),
        ("Grid2DWithYZOverflow", 65535, "65535)"),
        ("Grid2DWithYZOverflow", 65536, "triton.cdiv(65536, 2), 2)"),
    ],
)  # fmt: skip
def test_the_grid_follows_inductors_rule(grid_type, ynumel, grid):
    text = standalone_kernel(kernel(grid_type, ynumel), set()).text
    space = "" if grid == ")" else " "
    assert f"    grid = (triton.cdiv(50, XBLOCK),{space}{grid}\n" in text


def test_two_kernels_of_one_name_get_two_names():
    taken = set()
    names = [standalone_kernel(kernel(), taken).name for _ in range(3)]
    assert names == ["add_mul_kernel", "add_mul_2_kernel", "add_mul_3_kernel"]


@pytest.mark.parametrize(
    ("changes", "kind", "word"),
    [
        ({"helper": "inline_asm_pack"}, "unknown_helper", "inline_asm_pack"),
        ({"grid_type": "PrecomputedGrid"}, "unknown_grid", "PrecomputedGrid"),
    ],
)
def test_what_has_no_standalone_form_is_rejected_by_name(changes, kind, word):
    with pytest.raises(RewriteRejected, match=word) as caught:
        standalone_kernel(kernel(**changes), set())
    assert caught.value.kind == kind


def test_the_text_is_python():
    ast.parse(standalone_kernel(kernel(), set()).text)


def test_sizes_are_cast_by_a_function_that_takes_constants():
    from builder.rewrite.kernel import _cast_of_size

    def cast(text):
        node = ast.parse(text, mode="eval").body
        return ast.unparse(_cast_of_size(node, node.func.value))

    assert cast("ks0.to(tl.float32)") == "tl.cast(ks0, tl.float32)"
    assert cast("(11*ks0*xnumel).to(tl.float64)") == "tl.cast(11 * ks0 * xnumel, tl.float64)"
    assert cast("(48 / ks0).to(tl.float64)") == "tl.cast(48 / ks0, tl.float64)"
    assert cast("(ks1 / (2*ks0)).to(tl.float64)") == "tl.cast(ks1 / (2 * ks0), tl.float64)"
    for other in (
        "tmp0.to(tl.float32)",
        "(48 / x0).to(tl.float32)",
        "(ks0 + x0).to(tl.float32)",
        "(3).to(tl.float32)",
    ):
        assert cast(other) == ast.unparse(ast.parse(other))


def test_sizes_are_spread_by_a_function_that_takes_constants():
    from builder.rewrite.kernel import _spread_of_size

    def spread(text):
        return ast.unparse(_spread_of_size(ast.parse(text, mode="eval").body))

    wanted = "tl.full([XBLOCK], 1 + ks0, tl.int64)"
    assert spread("tl.broadcast_to(1 + ks0, [XBLOCK])") == wanted
    for other in ("tl.broadcast_to(tmp0, [XBLOCK])", "tl.broadcast_to(x0 + ks0, [XBLOCK])"):
        assert spread(other) == other


def test_a_block_size_that_inductor_leaves_open_is_rejected():
    source = SOURCE.format(ynumel=64, helper="maximum")
    source = source.replace("XBLOCK : tl.constexpr", "XBLOCK : tl.constexpr, ZBLOCK : tl.constexpr")
    with pytest.raises(RewriteRejected, match="has no ZBLOCK; choose another") as caught:
        standalone_kernel(dataclasses.replace(kernel(), source=source), set())
    assert caught.value.kind == "missing_block_size"
