"""Tensors of Python data, and empty ones, are no memory that a kernel reads."""

import math

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from builder.capture.capture import capture
from builder.capture.constants import MOST_ELEMENTS, fill_empty, held_constants, inline_constants
from builder.capture.targets import TARGETS

CONSTANTS = [
    torch.tensor([[1.0, 2.0, 1.0], [-0.0, 0.0, math.inf], [math.nan, -1.0, 1e-40]]),
    torch.tensor([2**40, -1, -1, 7, 7], dtype=torch.int64),
    torch.tensor([[[True], [False]]]),
    torch.tensor([0.1, 3.0, 1 / 3], dtype=torch.bfloat16),
    torch.arange(MOST_ELEMENTS),
]


@pytest.mark.parametrize("constant", CONSTANTS)
def test_the_graph_selects_the_same_bits(constant):
    graph = make_fx(lambda x: (x, constant.clone()))(torch.ones(1))
    assert len(held_constants(graph)) == 1
    inline_constants(graph)
    assert held_constants(graph) == []
    found = graph(torch.ones(1))[1]
    assert (found.dtype, found.shape) == (constant.dtype, constant.shape)
    assert found.flatten().tolist().__repr__() == constant.flatten().tolist().__repr__()


def test_large_constants_stay():
    constant = torch.arange(MOST_ELEMENTS + 1)
    graph = make_fx(lambda x: x + constant)(torch.ones(MOST_ELEMENTS + 1))
    inline_constants(graph)
    assert len(held_constants(graph)) == 1


def test_uninitialised_tensors_are_filled():
    def parts(x):
        whole = torch.empty(5, 7)
        whole[:2] = x
        return whole

    graph = make_fx(parts)(torch.ones(2, 7))
    fill_empty(graph)
    assert torch.equal(graph(torch.ones(2, 7)).sum(), torch.tensor(14.0))


class Circular(nn.Module):
    def forward(self, x):
        weight = torch.tensor([0.25, 0.5, 0.25], device=x.device)
        return nn.functional.pad(x, (1, 2, 3, 0), mode="circular")[..., :3] * weight


def test_they_are_captured_without_a_constant():
    captured = capture(Circular(), [torch.randn(2, 3, 9, 11)], TARGETS["cuda:90"])
    assert captured.arguments == ("x",)
    assert captured.fallback_ops == ()
