"""The audit: which tiles products and convolutions get, over a table of shapes and types."""

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._inductor.template_heuristics import triton as template_heuristics
from torch._subclasses import FakeTensorMode

from builder.capture import gemm, ranking
from builder.capture.capture import capture
from builder.capture.targets import TARGETS

H100 = TARGETS["cuda:90"]
SEEDS = range(32)
F32, BF16, F16, I8, F8 = (
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.int8,
    torch.float8_e4m3fn,
)


class Calls(nn.Module):
    def __init__(self, function, options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, *inputs):
        return self.function(*inputs, **self.options)


def scaled(a, b, *scales):
    first, second = (*scales, *scales)[:2]
    return torch._scaled_mm(a, b.t(), first, second.t(), out_dtype=BF16)


def offers(function, shapes, dtype, target=H100, **options):
    """What each template was offered while a program was captured, and what it computes."""
    found = []
    choose = gemm.choose

    def noted(configs, product, *rest):
        found.append((list(configs), product))
        return choose(configs, product, *rest)

    with FakeTensorMode(), mock.patch.object(gemm, "choose", noted):
        inputs = [torch.empty(shape, dtype=dtype) for shape in shapes]
        if function is scaled:
            inputs += [torch.empty(shape) for shape in options.pop("scales")]
        captured = capture(Calls(function, options), inputs, target)
    assert captured.fallback_ops == ()
    assert [kernel for kernel in captured.kernels if kernel.kind == "template"]
    return found


def tiles(configs, product, target=H100):
    chosen = [gemm.choose(configs, product, target, seed)[0] for seed in SEEDS]
    return {gemm._clipped(config, product) for config in chosen}, set(map(id, chosen))


def varies(configs, product):
    """Whether seeds take several, or there is one that all others are far behind."""
    first, second, *_ = sorted(gemm.estimated_cost(one, product, H100) for one in configs)
    return len(tiles(configs, product)[1]) > 1 or second > 1.75 * first


WHOLE = [(4096, 4096), (4096, 1024)]
BATCH = [(32, 1024, 128), (32, 128, 1024)]
LARGE = {
    "mm": (torch.mm, WHOLE, {}),
    "addmm": (torch.addmm, [(1024,), *WHOLE], {}),
    "linear": (F.linear, [(8, 512, 4096), (1024, 4096), (1024,)], {}),
    "bmm": (torch.bmm, BATCH, {}),
    "baddbmm": (torch.baddbmm, [(32, 1024, 1024), *BATCH], {}),
    "conv1d": (F.conv1d, [(32, 256, 1024), (512, 256, 3)], {"padding": 1}),
    "conv2d": (F.conv2d, [(32, 256, 56, 56), (256, 256, 3, 3)], {"padding": 1}),
    "1x1": (F.conv2d, [(32, 256, 56, 56), (256, 256, 1, 1)], {}),
    "conv3d": (F.conv3d, [(4, 64, 16, 56, 56), (128, 64, 3, 3, 3)], {"padding": 1}),
    "dilated": (F.conv2d, [(16, 256, 28, 28), (256, 256, 3, 3)], {"padding": 2, "dilation": 2}),
    "grouped": (F.conv2d, [(16, 512, 28, 28), (512, 128, 3, 3)], {"padding": 1, "groups": 4}),
    "transposed": (F.conv_transpose2d, [(16, 128, 32, 32), (128, 64, 4, 4)], {"stride": 2}),
}


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("name", LARGE)
def test_a_large_product_gets_large_tiles_that_seeds_vary(name, dtype):
    function, shapes, options = LARGE[name]
    for configs, product in offers(function, shapes, dtype, **options):
        found, chosen = tiles(configs, product)
        assert len(chosen) > 1 if dtype == BF16 else varies(configs, product)
        assert all(min(m, n) >= 64 and m * n >= 64 * 64 for m, n, _ in found), (product, found)
        if dtype == BF16:
            assert all(m * n >= 64 * 128 or product.n < 128 for m, n, _ in found), (product, found)


@pytest.mark.parametrize(
    ("function", "dtype", "options"),
    [
        (torch._int_mm, I8, {}),
        (scaled, F8, {"scales": [()]}),
        (scaled, F8, {"scales": [(4096, 1)]}),
    ],
)
def test_so_do_products_of_eight_bits(function, dtype, options):
    shapes = [(4096, 4096), (4096, 4096)]
    for configs, product in offers(function, shapes, dtype, **options):
        found, chosen = tiles(configs, product)
        assert product.itemsize == 1
        assert len(chosen) > 1
        assert all(min(m, n) >= 64 for m, n, _ in found)


SMALL = {
    "mm": (torch.mm, [(64, 64), (64, 64)], {}),
    "odd": (torch.mm, [(17, 65), (65, 33)], {}),
    "bmm": (torch.bmm, [(4, 16, 24), (4, 24, 20)], {}),
    "conv2d": (F.conv2d, [(1, 3, 16, 16), (8, 3, 3, 3)], {}),
}


@pytest.mark.parametrize("dtype", [F32, F16])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_product_is_no_single_tile_of_padding(name, dtype):
    function, shapes, options = SMALL[name]
    for configs, product in offers(function, shapes, dtype, **options):
        found, _ = tiles(configs, product)
        for m, n, _ in found:
            assert m <= max(16, 2 * product.m)
            assert n <= max(16, 2 * product.n)
            assert m * n <= 64 * 64


def test_a_depthwise_convolution_is_no_product():
    options = {"padding": 1, "groups": 256}
    with FakeTensorMode():
        inputs = [torch.empty(s, dtype=BF16) for s in ((16, 256, 28, 28), (256, 1, 3, 3))]
        captured = capture(Calls(F.conv2d, options), inputs, H100)
    assert captured.fallback_ops == ()
    assert {kernel.kind for kernel in captured.kernels} <= {"reduction", "persistent_reduction"}


@pytest.mark.parametrize("target", ["cuda:80", "hip:gfx942"])
def test_tiles_fit_other_targets(target):
    described = TARGETS[target]
    for configs, product in offers(torch.mm, WHOLE, BF16, described):
        for m, n, k in tiles(configs, product, described)[0]:
            assert (m + n) * k * product.itemsize <= described.shared_memory
            assert min(m, n) >= 64


def test_what_is_computed_on_the_way_is_held_as_it_is_loaded():
    def means(nodes, index):
        member = index.long().unsqueeze(0) == torch.arange(127).unsqueeze(1)
        return torch.mm(member.to(nodes.dtype), nodes)

    def cast(a, b):
        return torch.mm(a.sum(0, dtype=F32).half(), b)

    ((_, product),) = offers(means, [(1024, 100), (1024,)], F16)
    assert (product.itemsize, product.loaded) == (2, 8)
    ((_, product),) = offers(cast, [(4, 512, 1024), (1024, 256)], F16)
    assert (product.itemsize, product.loaded) == (2, 4)
    ((_, product),) = offers(torch.mm, WHOLE, BF16)
    assert product.loaded == 2


def test_the_seam_is_there_and_left_as_it_was():
    heuristic = template_heuristics.BaseConfigHeuristic
    before = heuristic.preprocess_mm_configs
    with ranking.one_ranked(H100, 0, 0):
        assert heuristic.preprocess_mm_configs is not before
    assert heuristic.preprocess_mm_configs is before
