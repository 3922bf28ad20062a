"""Fails clearly when a private seam of torch that tells CPU from GPU has moved.

That the kernels are those of a real GPU was seen on an H200 (``bench fidelity``); here stands what
told the two apart before.
"""

import pytest
import torch
from torch import nn

from builder.capture.gpu_branches import ASKING, asking, gpu_branches, with_devices_swapped
from builder.capture.inductor import compile_for
from builder.capture.stand_ins import result_plan, stand_ins
from builder.capture.targets import TARGETS

H100 = TARGETS["cuda:90"]


@pytest.mark.parametrize(("owner", "name"), ASKING)
def test_each_function_asks_for_the_device(owner, name):
    code = asking(owner, name).__code__
    assert with_devices_swapped(code) != code


def test_nothing_is_left_behind():
    before = [asking(*place).__code__ for place in ASKING]
    x, weight = torch.randn(4, 8), torch.randn(8)
    expected = torch.rms_norm(x, (8,), weight)
    with gpu_branches():
        assert asking(*ASKING[0]).__code__ != before[0]
    assert [asking(*place).__code__ for place in ASKING] == before
    assert torch.equal(torch.rms_norm(x, (8,), weight), expected)


def source(module, *inputs):
    _, record = compile_for(module, list(inputs), H100, 0)
    return record.sources[0]


def test_a_root_mean_square_norm_stays_whole():
    assert "fused_rms_norm" in source(nn.RMSNorm(96), torch.randn(5, 96))


def test_a_group_norm_does_not_fold_its_weights():
    """On the CPU weights and statistics are joined in a kernel more."""
    text = source(nn.GroupNorm(4, 24), torch.randn(2, 24, 9, 9))
    assert text.count("async_compile.triton(") < 3


def test_a_product_of_a_batch_of_one_is_a_plain_product():
    text = source(torch.bmm, torch.randn(1, 32, 48), torch.randn(1, 48, 64))
    assert "stride_aq" not in text
    assert "M * N == 0" in text


def test_rows_times_columns_are_a_product():
    """On the CPU they are multiplied and summed."""
    text = source(torch.bmm, torch.randn(3, 1, 48), torch.randn(3, 48, 1))
    assert "tl.dot" in text


def test_cubic_weights_are_not_stacked():
    def resized(x):
        return nn.functional.interpolate(x, size=(9, 11), mode="bicubic")

    assert "stack" not in source(resized, torch.randn(1, 3, 6, 7))


def test_stand_ins_lie_where_the_results_would():
    """On a real GPU the gradients of a graph must lie where its arguments do."""
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    doubled = graph.call_function(torch.mul, (x, 2))
    graph.output((doubled,))
    doubled.meta["val"] = torch.empty(3, 5, device="meta")
    [result] = stand_ins(result_plan(torch.fx.GraphModule(nn.Module(), graph)), [torch.ones(3, 5)])
    assert result.device.type == "meta"
    assert result.shape == (3, 5)
