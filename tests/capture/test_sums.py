import torch
from torch import nn
from torch._inductor.kernel import mm_plus_mm

from builder.capture.capture import capture
from builder.capture.sums import SHORTEST_BLOCK, short_sums_apart
from builder.capture.targets import TARGETS


class Both(nn.Module):
    def forward(self, a, b, c, d):
        return torch.mm(a, b) + torch.mm(c, d)


def kernels(summed):
    inputs = [torch.randn(48, summed), torch.randn(summed, 40)] * 2
    inputs = [tensor.clone() for tensor in inputs]
    return [kernel.kind for kernel in capture(Both(), inputs, TARGETS["cuda:90"]).kernels]


def test_the_seam_exists_and_is_left_as_it_was():
    before = mm_plus_mm.tuned_mm_plus_mm
    with short_sums_apart():
        assert mm_plus_mm.tuned_mm_plus_mm is not before
    assert mm_plus_mm.tuned_mm_plus_mm is before


def test_short_sums_are_two_products_and_long_ones_are_one_kernel():
    assert kernels(SHORTEST_BLOCK).count("template") == 2
    assert kernels(64) == ["template"]
