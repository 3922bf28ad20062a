"""Average pooling as sums along one dimension after the other, against the operation itself."""

import itertools

import pytest
import torch
from torch import nn

from builder.capture.capture import capture
from builder.capture.decompose import averages
from builder.capture.targets import TARGETS

aten = torch.ops.aten
POOLINGS = {2: aten.avg_pool2d, 3: aten.avg_pool3d}
GRADIENTS = {2: aten.avg_pool2d_backward, 3: aten.avg_pool3d_backward}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (6, 2, 3), (7, 3, 2), (4, 4, 0), (2, 3, 1)]
)
def test_means_and_gradients(rank, kernel, stride, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *(11, 9, 8)[:rank], dtype=torch.float64)
    for options in itertools.product((False, True), (False, True), (None, 7)):
        given = ([kernel] * rank, [stride] * rank, [padding] * rank, *options)
        pooling = averages.Pooling.of(rank, [kernel], [stride], [padding], *options)
        wanted = POOLINGS[rank](x, *given)
        torch.testing.assert_close(pooling.means(x), wanted)
        grad = torch.randn_like(wanted)
        torch.testing.assert_close(pooling.gradient(grad, x), GRADIENTS[rank](grad, x, *given))


def test_sums_of_narrow_types_are_wide():
    x = torch.randn(1, 64, 64).to(torch.bfloat16)
    exact = aten.avg_pool2d(x.double(), [32, 32], [1, 1])
    ours = averages.avg_pool2d(x, [32, 32], [1, 1])
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, exact.to(torch.bfloat16))


@pytest.mark.parametrize(
    ("options", "is_left"),
    [
        (([3, 3], [1, 1]), True),
        (([6, 6], []), True),
        (([6, 6], [6, 6]), True),
        (([6, 6], [5, 6]), False),
        (([1, 26], [1, 1]), False),
    ],
)
def test_what_inductor_can_do_is_left_to_it(options, is_left):
    x = torch.randn(2, 30, 30)
    found = averages.avg_pool2d(x, *options)
    assert (found is NotImplemented) == is_left
    if not is_left:
        torch.testing.assert_close(found, aten.avg_pool2d(x, *options))


@pytest.mark.parametrize(
    ("layer", "rank"),
    [
        (nn.AvgPool2d(7, stride=1), 2),
        (nn.AvgPool3d(6, stride=1, padding=2, count_include_pad=False), 3),
        (lambda x: aten.avg_pool2d(x, [3], [1], [1]), 2),  # one number for both dimensions
    ],
)
def test_pooling_is_triton_alone_in_both_directions(layer, rank):
    class Pooled(nn.Module):
        def forward(self, x):
            return layer(x)

    x = torch.randn(2, 3, *[9] * rank, requires_grad=True)
    found = capture(Pooled(), [x], TARGETS["cuda:90"], differentiate=True)
    assert found.kernels
    assert found.backward.kernels
    assert not found.fallback_ops
    assert not found.backward.fallback_ops
