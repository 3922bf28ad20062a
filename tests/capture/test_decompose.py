"""Decompositions compute what the operations compute."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from builder.capture.decompose import (
    convolution,
    distance,
    ordering,
    pooling,
    pooling_gradients,
    products,
    random,
    scatter,
    special,
)
from builder.capture.decompose.depthwise import depthwise, is_depthwise
from builder.capture.decompose.padding import replication_pad_backward

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def test_every_kind_of_convolution():
    sizes = {1: (11,), 2: (9, 12), 3: (6, 7, 5)}
    options = itertools.product((1, 2), (0, 1), (1, 2, 3), (False, True), (1, 2))
    for (rank, size), (stride, pad, dilation, transposed, groups) in itertools.product(
        sizes.items(), options
    ):
        kernel = (3, 2, 3)[:rank] if dilation < 3 else (2,) * rank
        x = torch.randn(2, 4, *size, dtype=torch.float64)
        shape = (4, 6 // groups) if transposed else (6, 4 // groups)
        weight = torch.randn(*shape, *kernel, dtype=torch.float64)
        bias = torch.randn(6, dtype=torch.float64)
        extra = [stride - 1] * rank if transposed else [0] * rank
        given = (
            x, weight, bias, [stride] * rank, [pad] * rank, [dilation] * rank, transposed, extra,
            groups,
        )  # fmt: skip
        ours = convolution.convolution(*given)
        if ours is NotImplemented:
            assert rank > 1
            assert dilation == 1
            assert not transposed
            continue
        wanted = aten.convolution.default(*given)
        assert ours.shape == wanted.shape
        torch.testing.assert_close(ours, wanted)


def test_gradients_of_every_kind_of_convolution():
    sizes = {1: (11,), 2: (9, 12), 3: (6, 7, 5)}
    options = itertools.product((1, 2), (0, 1), (1, 2), (False, True), (1, 2))
    for (rank, size), (stride, pad, dilation, transposed, groups) in itertools.product(
        sizes.items(), options
    ):
        kernel = (3, 2, 3)[:rank]
        x = torch.randn(2, 4, *size, dtype=torch.float64)
        shape = (4, 6 // groups) if transposed else (6, 4 // groups)
        weight = torch.randn(*shape, *kernel, dtype=torch.float64)
        extra = [stride - 1] * rank if transposed else [0] * rank
        given = ([stride] * rank, [pad] * rank, [dilation] * rank, transposed, extra, groups)
        grad = torch.randn_like(aten.convolution.default(x, weight, None, *given))
        for mask in ([True, True, True], [False, True, False], [True, False, False]):
            ours = convolution.convolution_backward(grad, x, weight, [6], *given, mask)
            if ours is NotImplemented:
                assert rank == 2
                assert not transposed
                continue
            wanted = aten.convolution_backward.default(grad, x, weight, [6], *given, mask)
            for one, other, asked in zip(ours, wanted, mask, strict=True):
                assert (one is not None) == asked
                if asked:
                    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_gradients_of_distances(p):
    x, y = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(2, 7, 4, dtype=torch.float64)
    y[:, 2] = x[:, 1]
    grad, found = torch.randn(2, 5, 7, dtype=torch.float64), torch.cdist(x, y, p)
    ours = distance.cdist_backward(grad, x, y, p, found)
    torch.testing.assert_close(ours, aten._cdist_backward(grad, x, y, p, found))
    x = x[0].contiguous()
    x[3] = x[1]
    grad, found = torch.randn(10, dtype=torch.float64), torch.pdist(x, p)
    ours = distance.pdist_backward(grad, x, p, found)
    torch.testing.assert_close(ours, aten._pdist_backward(grad, x, p, found))


def test_gradients_of_pooling():
    options = ([2, 3, 2], [2, 1, 1], [1, 1, 0], [1, 1, 2], True)
    x = torch.randn(2, 3, 6, 7, 5)
    found, places = aten.max_pool3d_with_indices(x, *options)
    given = (torch.randn_like(found), x, *options, places)
    wanted = aten.max_pool3d_with_indices_backward(*given)
    torch.testing.assert_close(pooling_gradients.max_pool3d_backward(*given), wanted)
    for batch in (x, x[0]):
        found, places = aten.adaptive_max_pool3d(batch, [4, 3, 5])
        given = (torch.randn_like(found), batch, places)
        wanted = aten.adaptive_max_pool3d_backward(*given)
        torch.testing.assert_close(pooling_gradients.max_pool3d_backward(*given), wanted)
        for sizes in ([4, 3, 5], [7, 1, 2]):
            grad = torch.randn(*batch.shape[:-3], *sizes)
            wanted = aten._adaptive_avg_pool3d_backward(grad, batch)
            ours = pooling_gradients.adaptive_avg_pool3d_backward(grad, batch)
            torch.testing.assert_close(ours, wanted)
    flat = torch.randn(2, 3, 8, 9)
    found, places = aten.adaptive_max_pool2d(flat, [3, 4])
    grad = torch.randn_like(found)
    ours = pooling_gradients.adaptive_avg_pool2d_backward(grad, flat)
    torch.testing.assert_close(ours, aten._adaptive_avg_pool2d_backward(grad, flat))
    given = (grad, flat, places)
    wanted = aten.adaptive_max_pool2d_backward(*given)
    torch.testing.assert_close(pooling_gradients.max_pool2d_backward(*given), wanted)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_replicated_padding(rank):
    x = torch.randn(2, 3, *(5, 4, 6)[:rank], dtype=torch.float64)
    for pads in ([2, 1, 3, 0, 0, 2], [-1, 2, 0, -2, 1, 1]):
        given = pads[: 2 * rank]
        forward = getattr(aten, f"replication_pad{rank}d").default
        grad = torch.randn_like(forward(x, given))
        wanted = getattr(aten, f"replication_pad{rank}d_backward").default(grad, x, given)
        torch.testing.assert_close(replication_pad_backward(grad, x, given), wanted)


def test_products_of_nothing():
    for one, other in (((5, 0), (0, 3)), ((0, 4), (4, 3)), ((2, 4), (4, 0))):
        a, b = torch.randn(one), torch.randn(other)
        assert torch.equal(products.product(a, b), a @ b)
    assert products.product(torch.randn(2, 3), torch.randn(3, 2)) is NotImplemented
    a, b = torch.randn(2, 3, 0), torch.randn(2, 0, 4)
    assert torch.equal(products.product(a, b), a @ b)


@pytest.mark.parametrize("dtype", products.UNTEMPLATED)
def test_products_of_types_without_a_template(dtype):
    def drawn(*shape):
        high = 9 if dtype == torch.uint8 else 90  # int8 wraps
        return torch.randint(0, high, shape).to(dtype)

    a, b, added = drawn(5, 7), drawn(7, 3), drawn(3)
    assert torch.equal(products.product(a, b), a @ b)
    assert torch.equal(products.addmm(added, a, b), torch.addmm(added, a, b))
    ours = products.addmm(added, a, b, beta=2, alpha=3)
    assert torch.equal(ours, torch.addmm(added, a, b, beta=2, alpha=3))
    a, b, added = drawn(2, 5, 7), drawn(2, 7, 3), drawn(2, 5, 3)
    assert torch.equal(products.product(a, b), torch.bmm(a, b))
    for beta in (0, 1, 2):
        ours = products.baddbmm(added, a, b, beta=beta)
        assert torch.equal(ours, torch.baddbmm(added, a, b, beta=beta))
    assert products.product(a.float(), b.float()) is NotImplemented


def test_gradient_of_a_masked_scatter():
    mask, grad = torch.rand(6, 1) < 0.6, torch.randn(6, 5)
    for sizes in ([30], [6, 7]):
        ours = scatter.masked_scatter_backward(grad, mask, sizes)
        assert torch.equal(ours, aten.masked_scatter_backward(grad, mask.expand(6, 5), sizes))


def test_channels_stay_last():
    x = torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last)
    for options in (([2, 2], [1, 1], [1, 1], True), ([1, 1], [1, 1], [2, 2], False)):
        given = (x, torch.randn(4, 4, 3, 3), None, *options, [0, 0], 1)
        ours = convolution.convolution(*given)
        assert ours.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(ours, aten.convolution.default(*given), rtol=1e-5, atol=1e-5)


def test_strides_and_paddings_may_differ_by_dimension():
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(2, 2, 3, 3)
    given = (x, weight, torch.randn(2), [3, 2], [2, 1], [4, 4], False, [0, 0], 2)
    torch.testing.assert_close(convolution.convolution(*given), aten.convolution.default(*given))
    weight = torch.randn(4, 3, 3, 2)
    given = (x, weight, None, [3, 2], [0, 1], [2, 1], True, [1, 0], 1)
    torch.testing.assert_close(convolution.convolution(*given), aten.convolution.default(*given))


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, math.inf])
def test_distances(p):
    x, y = torch.randn(3, 5, 4, dtype=torch.float64), torch.randn(3, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(distance.cdist(x, y, p, None), torch.cdist(x, y, p))
    torch.testing.assert_close(distance.pdist(x[0], p), torch.pdist(x[0], p))


def same_order(ours, wanted, x, dim):
    """Indices may differ among ties."""
    assert torch.equal(ours[0].nan_to_num(9.5), wanted[0].nan_to_num(9.5))
    assert ours[1].shape == wanted[1].shape
    found = x.gather(dim, ours[1]).nan_to_num(9.5)
    assert torch.equal(found, wanted[0].nan_to_num(9.5))


@pytest.mark.parametrize("holes", [0, 1, 7])
def test_medians_and_kth_values(holes):
    x = torch.randint(-4, 5, (6, 7, 5)).float()
    if holes:
        x[:3, :holes] = torch.nan
    for dim in (0, 1, -1):
        same_order(ordering.median_dim(x, dim, keepdim=True), x.median(dim, keepdim=True), x, dim)
        same_order(
            ordering.nanmedian_dim(x, dim, keepdim=True), x.nanmedian(dim, keepdim=True), x, dim
        )
        same_order(
            ordering.kthvalue(x, 2, dim, keepdim=True), x.kthvalue(2, dim, keepdim=True), x, dim
        )
    assert ordering.kthvalue(x, 3, 1)[0].shape == (6, 5)
    assert torch.equal(ordering.median(x).nan_to_num(9.5), x.median().nan_to_num(9.5))
    assert torch.equal(ordering.nanmedian(x), x.nanmedian())


@pytest.mark.parametrize("descending", [False, True])
def test_long_sorts(descending):
    x = torch.randint(-90, 90, (2, 600, 3)).float()
    x[0, 5:9] = torch.nan
    ours = ordering.sort_stable(x, stable=True, dim=1, descending=descending)
    wanted = x.sort(dim=1, descending=descending, stable=True)
    assert torch.equal(ours[0].nan_to_num(999.0), wanted[0].nan_to_num(999.0))
    assert torch.equal(ours[1], wanted[1])
    assert ordering.sort_stable(x, dim=0) is NotImplemented


def test_adaptive_pooling():
    for shape, out in itertools.product(
        ((2, 3, 7, 6, 5), (3, 4, 9, 2)), ((3, 2, 4), (1, 1, 1), (8, 3, 5))
    ):
        x = torch.randint(-3, 4, shape).double()
        wanted = torch.nn.functional.adaptive_avg_pool3d(x, out)
        torch.testing.assert_close(pooling.adaptive_avg_pool3d(x, out), wanted)
        values, places = aten.adaptive_max_pool3d.default(x, out)
        ours = pooling.adaptive_max_pool3d(x, out)
        assert torch.equal(ours[0], values)
        assert torch.equal(ours[1], places)


@pytest.mark.parametrize("options", [(1, 0), (2, 1), ((2, 3, 1), (2, 1, 0))])
@pytest.mark.parametrize("kernel", [4, (6, 4, 2)])
def test_averages_of_wide_windows(kernel, options):
    sizes = [list(value) if isinstance(value, tuple) else [value] for value in (kernel, *options)]
    x = torch.randn(2, 3, 9, 8, 10, dtype=torch.float64)
    for flags in itertools.product((False, True), (False, True), (None, 5)):
        wanted = aten.avg_pool3d(x, *sizes, *flags)
        assert torch.allclose(pooling.avg_pool3d(x, *sizes, *flags), wanted)
        if isinstance(kernel, int):
            wide = [[2 * kernel], *(size[:1] for size in sizes[1:])]
            wanted = aten.avg_pool2d(x[:, 0], *wide, *flags)
            assert torch.allclose(pooling.avg_pool2d(x[:, 0], *wide, *flags), wanted)
    assert pooling.avg_pool3d(x, [2]) is NotImplemented


def test_products():
    a, b = torch.randn(4, 5, 6, dtype=torch.float64), torch.randn(4, 6, 7, dtype=torch.float64)
    added = torch.randn(5, 1, dtype=torch.float64)
    for beta, alpha in ((1, 1), (0.5, 2.0), (0, 1)):
        wanted = torch.addbmm(added, a, b, beta=beta, alpha=alpha)
        torch.testing.assert_close(products.addbmm(added, a, b, beta=beta, alpha=alpha), wanted)
    empty = products.addmm(added, torch.ones(5, 0).double(), torch.ones(0, 7).double(), beta=0.5)
    assert torch.equal(empty, (added * 0.5).expand(5, 7))
    assert products.addmm(added.float(), a[0].float(), b[0].float()) is NotImplemented
    x, weight, y = torch.randn(3, 4), torch.randn(2, 4, 5), torch.randn(3, 5)
    given = (x, weight, y, [1, 3], [0], [1, 2], [2, 3])
    torch.testing.assert_close(products.trilinear(*given), aten._trilinear.default(*given))


@pytest.mark.parametrize("reduce", ["prod", "mean", "amin", "amax"])
def test_index_reductions(reduce):
    x, source = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    index = torch.tensor([0, 2, 2, 0, 0, 2, 2, 2, 0])
    for own in (True, False):
        wanted = x.index_reduce(1, index, source, reduce, include_self=own)
        ours = scatter.index_reduce(x, 1, index, source, reduce, include_self=own)
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("reduce", ["prod", "mean", "amin", "amax"])
def test_scatter_reductions(reduce):
    x, source = torch.randn(5, 4, 3).double(), torch.randn(4, 9, 3).double()
    index = torch.randint(0, 4, (3, 8, 2))
    for own in (True, False):
        wanted = x.scatter_reduce(1, index, source, reduce, include_self=own)
        ours = scatter.scatter_reduce(x, 1, index, source, reduce, include_self=own)
        torch.testing.assert_close(ours, wanted)


def test_modes_and_the_largest():
    x = torch.randint(-3, 4, (5, 9, 4)).float()
    for dim in (0, 1, -1):
        same_order(ordering.mode(x, dim, keepdim=True), x.mode(dim, keepdim=True), x, dim)
        for largest in (True, False):
            ours, wanted = ordering.topk(x, 3, dim, largest), x.topk(3, dim, largest)
            same_order(ours, wanted, x, dim)


def test_special_functions():
    x = torch.cat([torch.linspace(-11, 40, 501), torch.randn(200) * 3, torch.tensor([1e-3, 1e5])])
    x = x.double()
    torch.testing.assert_close(special.digamma(x), torch.digamma(x), equal_nan=True)
    for n in range(6):
        ours, wanted = special.polygamma(n, x), torch.polygamma(n, x)
        torch.testing.assert_close(ours, wanted, rtol=1e-8, atol=1e-12, equal_nan=True)
    zeros = torch.tensor([0.0, -0.0])
    assert torch.equal(special.digamma(zeros), torch.digamma(zeros))
    poles = torch.tensor([0.0, -1.0, -2.0])
    assert torch.equal(special.polygamma(2, poles), torch.polygamma(2, poles))


def test_random_numbers_have_the_asked_moments():
    x = torch.empty(20000)
    mean, std = torch.full_like(x, 2.0), torch.full_like(x, 0.5)
    draws = [random.normal_tensors(m, s) for m, s in ((mean, 0.5), (2.0, std), (mean, std))]
    for drawn in (*draws, random.normal_functional(x, 2.0, 0.5)):
        assert abs(float(drawn.mean()) - 2.0) < 0.02
        assert abs(float(drawn.std()) - 0.5) < 0.02
    drawn = random.uniform(x, -1.0, 3.0)
    assert float(drawn.min()) >= -1.0
    assert 2.9 < float(drawn.max()) < 3.0


def test_scatters_and_histograms():
    x, mask = torch.randn(4, 6), torch.rand(4, 1) > 0.4
    source = torch.randn(40)
    assert torch.equal(scatter.masked_scatter(x, mask, source), x.masked_scatter(mask, source))
    values = torch.randint(-8, 9, (300,)).float() / 4
    for bins, low, high in ((5, 0, 0), (7, -1, 1), (100, -2, 2), (4, 3, 5)):
        assert torch.equal(scatter.histc(values, bins, low, high), values.histc(bins, low, high))
    same = torch.full((9,), 2.5)
    assert torch.equal(scatter.histc(same, 3), same.histc(3))


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_bags_of_embeddings(mode):
    weight, indices = torch.randn(11, 5).double(), torch.randint(0, 11, (20,))
    for offsets, last in (([0, 3, 3, 9, 20], True), ([0, 0, 5, 12], False)):
        for padding in (-1, int(indices[4])):
            scales = torch.rand(20).double() if mode == 0 else None
            given = (weight, indices, torch.tensor(offsets), False, mode, False, scales, last)
            wanted = aten._embedding_bag_forward_only.default(*given, padding)[0]
            torch.testing.assert_close(scatter.embedding_bag(*given, padding)[0], wanted)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("multiple", [1, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [((1, 1, 1), (0, 0, 0), (1, 1, 1)), ((2, 1, 3), (1, 2, 0), (1, 1, 1)),
     ((1, 2, 1), (2, 0, 3), (2, 3, 1))],
)  # fmt: skip
def test_depthwise_convolutions(rank, multiple, stride, padding, dilation):
    x = torch.randn(2, 5, *(9, 8, 7)[:rank], dtype=torch.float64)
    weight = torch.randn(5 * multiple, 1, *(3, 2, 4)[:rank], dtype=torch.float64)
    options = [list(values[:rank]) for values in (stride, padding, dilation)]
    wanted = aten.convolution.default(
        x, weight, None, *options, transposed=False, output_padding=[0] * rank, groups=5
    )
    assert is_depthwise(x, weight, 5)
    torch.testing.assert_close(depthwise(x, weight, *options), wanted)
    assert not is_depthwise(x, torch.randn(5, 5, 3), 1)
    assert not is_depthwise(x[:, :1], weight, 1)
