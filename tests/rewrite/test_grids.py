"""Grids against Inductor's own rules, evaluated."""

import pytest
import triton
from torch._inductor.runtime.triton_heuristics import GridExpr

from builder.capture.kernels import Kernel
from builder.errors import RewriteRejected
from builder.rewrite.grids import block_sizes, grid_of

SIZES = {"xnumel": 1000, "ynumel": 300, "znumel": 7, "r0_numel": 5000}
BLOCKS = {"XBLOCK": 64, "YBLOCK": 16, "ZBLOCK": 2, "R0_BLOCK": 512}


def kernel(grid_type, constants, combo=None):
    return Kernel(
        name="triton_poi_fused_0",
        kind="pointwise",
        source="",
        constants=constants,
        num_warps=4,
        num_stages=1,
        grid_type=grid_type,
        combo=combo or {},
    )


def evaluated(made, sizes):
    names = {"triton": triton, **block_sizes(made), **made.constants}
    grid = [eval(text, names) for text in grid_of(made, sizes)]
    return (*grid, 1, 1)[:3]


def theirs(made, sizes):
    meta = {"grid_type": made.grid_type, "combo_grid_meta": made.combo}
    constants = dict(made.constants)
    return GridExpr.from_meta(meta, constants).eval_slow({**sizes, **constants})


@pytest.mark.parametrize(
    ("grid_type", "constants"),
    [
        ("Grid1D", {"XBLOCK": 64}),
        ("Grid2D", {"XBLOCK": 64, "YBLOCK": 1}),
        ("Grid3D", {"XBLOCK": 64, "YBLOCK": 16, "ZBLOCK": 2}),
        ("BatchMatmulGrid3D", {"XBLOCK": 64, "YBLOCK": 16, "ZBLOCK": 2}),
        ("MixOrderReductionGrid", {"XBLOCK": 1, "RSPLIT_SIZE": 32}),
        ("CooperativeReductionGrid", {"XBLOCK": 8, "RSPLIT": 16}),
        ("SplitScanGrid", {"R0_BLOCK": 512}),
    ],
)
def test_one_kernel(grid_type, constants):
    made = kernel(grid_type, constants)
    assert evaluated(made, SIZES) == tuple(theirs(made, SIZES))


def combo(*sizes, min_blocks=0, default=None):
    meta = {"num_kernels": len(sizes), "min_blocks": min_blocks, "default_config": default}
    for number, (x, y, no_x_dim) in enumerate(sizes):
        meta |= {f"xnumel_{number}": x, f"no_x_dim_{number}": no_x_dim}
        meta |= {} if y is None else {f"ynumel_{number}": y}
    return meta


THREE = ((2000, None, False), (140, None, False), (77, None, True))
PLANE = ((2000, 33, False), (140, 300, False))


@pytest.mark.parametrize("min_blocks", [0, 5000])
@pytest.mark.parametrize("sizes", [THREE, PLANE])
@pytest.mark.parametrize("rule", ["RoundRobinComboKernelGrid", "SequentialComboKernelGrid"])
def test_several_kernels_with_one_block_size(rule, sizes, min_blocks):
    blocks = {"XBLOCK": 128} | ({"YBLOCK": 8} if sizes is PLANE else {})
    for constants, default in ((blocks, None), ({}, blocks)):
        made = kernel(rule, constants, combo(*sizes, min_blocks=min_blocks, default=default))
        assert evaluated(made, {}) == tuple(theirs(made, {}))


def test_several_kernels_with_blocks_of_their_own():
    blocks = {"XBLOCK_0": 128, "XBLOCK_1": 64, "YBLOCK_0": 8, "YBLOCK_1": 4}
    made = kernel("SequentialFlattenComboKernelGrid", blocks, combo(*PLANE))
    assert evaluated(made, {}) == tuple(theirs(made, {}))


def test_a_rule_nobody_knows_is_rejected():
    with pytest.raises(RewriteRejected, match="no launcher for PrecomputedGrid") as caught:
        grid_of(kernel("PrecomputedGrid", {}), {})
    assert caught.value.kind == "unknown_grid"
