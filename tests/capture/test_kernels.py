"""Fails clearly when Inductor's generated modules or its launch heuristics have moved."""

import pytest
import torch
from torch import nn

from builder.capture.inductor import compile_for
from builder.capture.kernels import kernel_kind, kernel_sources, read_kernel
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


@pytest.fixture(scope="module")
def module_text():
    _, record = compile_for(nn.Softmax(-1), [torch.randn(64, 500)], H100, 0)
    return record.sources[0]


def test_a_generated_module_names_its_kernels_with_their_text(module_text):
    ((name, source),) = kernel_sources(module_text).items()
    assert name.startswith("triton_per_fused_")
    assert f"def {name}(" in source


def test_the_heuristics_give_a_launch_configuration(module_text):
    ((name, source),) = kernel_sources(module_text).items()
    kernel = read_kernel(name, source, H100, seed=0)
    assert kernel.kind == "persistent_reduction"
    assert kernel.grid_type == "Grid1D"
    assert kernel.constants["XBLOCK"] >= 1
    assert kernel.num_warps in {1, 2, 4, 8, 16}


def test_a_kind_nobody_knows_is_rejected():
    with pytest.raises(CaptureRejected, match="triton_new_fused_add_0"):
        kernel_kind("triton_new_fused_add_0", "")
