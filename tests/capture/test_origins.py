"""Buffers and kernels are traced to the program's own words; fails clearly when torch moves."""

import torch
from torch import nn

from builder.capture.capture import capture
from builder.capture.origins import KernelOrigin, kernel_origins
from builder.capture.targets import TARGETS


class Scored(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(64, 96)

    def forward(self, x, y):
        hidden = torch.relu(self.proj(x))
        scores = hidden @ y
        return torch.softmax(scores, dim=-1)


def test_what_a_buffer_holds_is_what_the_program_calls_it():
    module, inputs = Scored(), [torch.randn(32, 64), torch.randn(96, 80)]
    captured = capture(module, inputs, TARGETS["cuda:90"])
    origins = captured.origins
    assert {"hidden", "scores"} <= set(origins.buffers.values())
    assert origins.lines["hidden"] == "hidden = torch.relu(self.proj(x))"
    assert origins.lines["scores"] == "scores = hidden @ y"
    assert set(origins.kernels) == {kernel.name for kernel in captured.kernels}
    operations = [operation for one in origins.kernels.values() for operation in one.operations]
    assert {"relu", "_softmax"} <= set(operations)
    named = [node for one in origins.kernels.values() for node in one.nodes]
    assert {"hidden", "scores"} <= set(named)


def test_comments_of_a_module_are_read():
    source = (
        "# Topologically Sorted Source Nodes: [y, out], "
        "Original ATen: [aten.mul, aten.add, aten.mul]\n"
        "# Source node to ATen node mapping:\n#   y => mul\n"
        "triton_poi_fused_0 = async_compile.triton('triton_poi_fused_0', '''\n"
    )
    wanted = KernelOrigin(("y", "out"), ("mul", "add"))
    assert kernel_origins(source) == {"triton_poi_fused_0": wanted}
    assert kernel_origins("x = 1\n") == {}
