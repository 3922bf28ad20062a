"""Fails clearly when the way through Dynamo, AOTAutograd and Inductor has moved."""

import torch
from torch import nn
from torch._inductor import compile_fx
from torch._inductor.fx_passes import fuse_attention, joint_graph
from torch._inductor.graph import GraphLowering
from torch._inductor.template_heuristics.triton import BaseConfigHeuristic

from builder.capture import inductor
from builder.capture.inductor import compile_for
from builder.capture.targets import TARGETS


def test_the_seams_exist_and_are_left_as_they_were():
    seams = (
        (GraphLowering, "compile_to_module"),
        (BaseConfigHeuristic, "preprocess_mm_configs"),
        (fuse_attention, "_sfdp_init"),
        (compile_fx, "FakeTensorProp"),
    )
    before = [getattr(owner, name) for owner, name in seams]
    compile_for(nn.Linear(64, 48), [torch.randn(32, 64)], TARGETS["cuda:90"], 0)
    assert [getattr(owner, name) for owner, name in seams] == before


def softmax_handlers():
    entries = [e for p in joint_graph.pass_patterns for es in p.patterns.values() for e in es]
    names = [inductor._handler_name(entry) for entry in entries]
    return [name for name in names if name in inductor._SCALED_SOFTMAX]


def test_a_scaled_softmax_is_computed_once_as_written():
    before = softmax_handlers()
    assert set(before) == {"mul_softmax_pattern", "div_softmax_pattern"}

    def scaled(x):
        return torch.softmax(x * 0.1, dim=-1)

    _, record = compile_for(scaled, [torch.randn(32, 64)], TARGETS["cuda:90"], 0)
    assert record.sources[0].count("triton_helpers.max2(") == 1
    assert "float('inf')" not in record.sources[0]
    assert softmax_handlers() == before


def test_one_graph_is_recorded_with_the_very_tensors_it_was_called_with():
    module, x = nn.Linear(64, 48), torch.randn(32, 64)
    result, record = compile_for(module, [x], TARGETS["cuda:90"], 0)
    assert len(record.sources) == len(record.graphs) == len(record.calls) == 1
    assert {id(argument) for argument in record.calls[0]} == {
        id(x),
        id(module.weight),
        id(module.bias),
    }
    assert result is record.results[0][0]
    assert "async_compile.triton(" in record.sources[0]
    assert "extern_kernels.mm(" not in record.sources[0]


def test_an_arc_tangent_is_the_librarys_for_any_vendor():
    _, record = compile_for(torch.atan, [torch.randn(300)], TARGETS["cuda:90"], 0)
    assert "libdevice.atan(" in record.sources[0]
    assert "inline_asm" not in record.sources[0]


def test_graphs_that_would_ask_for_a_driver_are_lowered():
    def moved(x, y, index):
        out = x.clone()
        out[1:3] = y[:2]
        return torch.diagonal_scatter(out, y[0]), torch.rand_like(x), x[index]

    inputs = [torch.randn(8, 8), torch.randn(8, 8), torch.tensor([3, 1])]
    _, record = compile_for(moved, inputs, TARGETS["cuda:90"], 0)
    assert record.sources[0].count("async_compile.triton(") >= 2
    assert "aten.randint.low_out(" in record.sources[0]
