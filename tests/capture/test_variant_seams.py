"""Fails clearly when what a variant changes in PyTorch has moved, or does not come back."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._inductor.choices import InductorChoices

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.capture.variants import VARIANTS

H100 = TARGETS["cuda:90"]


class Convolution(nn.Module):
    def forward(self, x, weight):
        return F.conv2d(x, weight)


class Rows(nn.Module):
    def forward(self, x):
        return x.sum(-1)


def kernels(variant, module, inputs, target=H100):
    return capture(module, inputs, target, variant=VARIANTS[variant]).kernels


@pytest.mark.parametrize("precision", ["none", "ieee", "tf32"])
def test_the_precision_of_the_process_does_not_matter_and_is_left(precision):
    flags = (torch.backends.cudnn.conv, torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.fp32_precision for flag in flags]
    inputs = [torch.randn(2, 16, 9, 9), torch.randn(32, 16, 3, 3)]
    try:
        torch.backends.cuda.matmul.fp32_precision = precision
        for name, allowed in (("default", False), ("tf32", True)):
            found = kernels(name, Convolution(), inputs)
            (template,) = (kernel for kernel in found if kernel.kind == "template")
            assert f"ALLOW_TF32 : tl.constexpr = {allowed}" in template.source
        assert torch.backends.cuda.matmul.fp32_precision == precision
        assert [flag.fp32_precision for flag in flags[:2]] == before[:2]
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cuda.matmul.fp32_precision = before[2]


@pytest.mark.parametrize(
    ("rows", "columns", "cooperates"),
    [(1, 200, True), (64, 200, True), (66, 200, False), (2, 100, False)],
)
def test_blocks_cooperate_where_there_are_several_for_each_result(rows, columns, cooperates):
    before = InductorChoices.should_use_cooperative_reduction
    (kernel,) = kernels("cooperative", Rows(), [torch.randn(rows, columns)])
    assert (kernel.kind == "cooperative_reduction") == cooperates
    assert InductorChoices.should_use_cooperative_reduction is before
    if cooperates:
        assert kernel.constants["RSPLIT"] > 1
        assert kernel.constants["RSPLIT"] * rows <= H100.multiprocessors


def test_a_smaller_gpu_has_fewer_blocks():
    inputs = [torch.randn(1, 8000)]
    small = dataclasses.replace(H100, multiprocessors=16)
    splits = [
        kernels("cooperative", Rows(), inputs, t)[0].constants["RSPLIT"] for t in (H100, small)
    ]
    assert splits == [64, 16]
