"""The quick ways to what is asked of many programs give what the slow ones give."""

import pytest
import torch
from torch import nn

from builder.errors import ProgramRejected
from builder.programs import measure, quick_meta
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.measure import Measured
from builder.programs.narrow import quick_products
from builder.programs.synthesise import synthesise

BROADCAST = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(6, 1))

    def forward(self, x, y):
        h = torch.where(x > 0, x * self.scale, y) + y[:, :1]
        return torch.softmax(h.transpose(0, 1) / 3.0, -1) - y.double().mean(), h.pow(2).sum(0)

def get_inputs():
    return [torch.randn(6, 40), torch.randn(1, 40)]

def get_init_inputs():
    return []
"""
"""Comparisons, two types, broadcasting in both directions, and another order of dimensions."""


def costs(code):
    return Measured(load_program(code)).cost(None)


@pytest.mark.parametrize("code", [BROADCAST, *(synthesise(5, n).python_code for n in range(40))])
def test_operators_that_are_not_asked_cost_what_they_say(code, monkeypatch):
    monkeypatch.setattr(measure, "_SMALL", 0)  # all on tensors without data
    quick = costs(code)
    monkeypatch.setattr(measure, "result_of", lambda func, args, kwargs: func(*args, **kwargs))
    assert quick == costs(code)


def test_most_operators_are_not_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "_SMALL", 0)

    def result_of(func, args, kwargs):
        def counted(*args, **kwargs):
            asked.append(func.overloadpacket.__name__)
            return func(*args, **kwargs)

        counted.overloadpacket = func.overloadpacket
        return quick_meta.result_of(counted, args, kwargs)

    monkeypatch.setattr(measure, "result_of", result_of)
    costs(BROADCAST)
    assert "mul" not in asked
    assert "gt" in asked
    assert asked.count("sub") == 1  # float32 less float64


@pytest.mark.parametrize("inner", ["nn.Linear(32, 32)", "nn.Conv2d(4, 4, 3, padding=1)"])
def test_products_of_float16_are_rounded_once(inner):
    module = eval(inner, {"nn": nn}).half()
    x = torch.randn(2, 4, 32, 32).half()
    wide = module.float()(x.float())
    module.half()
    with torch.no_grad(), quick_products([x]):
        found = module(x)
        squared = x @ x
    assert found.dtype == squared.dtype == torch.float16
    assert torch.equal(found, wide.half())
    assert torch.equal(squared, (x.float() @ x.float()).half())


def test_other_types_go_their_own_way():
    module, x = nn.Linear(64, 64).bfloat16(), torch.randn(8, 64).bfloat16()
    with quick_products([x, torch.ones(1).half()]):
        assert torch.equal(module(x), module(x))
        assert module(x).dtype == torch.bfloat16


DEAD_END = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.second = nn.Linear(16, 16)
        self.third = nn.Linear(16, 16)

    def forward(self, x):
        RUNS.append(1)
        return self.third(self.first(x)) + 0 * self.second(x)

RUNS = []

def get_inputs():
    return [torch.randn(5, 16)]

def get_init_inputs():
    return []
"""


def test_what_is_least_likely_to_matter_is_tried_first():
    program = load_program(DEAD_END)
    with pytest.raises(ProgramRejected, match=r"no output depends on parameter 'second\.weight'"):
        check(program, strict=True)
    # recorded, redrawn and differentiated; then that one parameter
    assert len(program.namespace["RUNS"]) <= 4 + 1
