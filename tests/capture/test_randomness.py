"""Random draws are read off the lowered graph, and their seeds are no library call."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._inductor import inductor_prims

from builder.capture import randomness
from builder.capture.capture import capture
from builder.capture.dynamic import Varying
from builder.capture.inductor import compile_for
from builder.capture.library import library_calls
from builder.capture.randomness import Draw, draws
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


class Program(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def captured(function, *size):
    return capture(Program(function), [torch.randn(*(size or (6, 40)))], H100)


def test_the_seams_exist():
    for name in ("seed", "seeds", "lookup_seed", "random", "randint"):
        prim = getattr(inductor_prims, name)
        assert prim.name().startswith("prims::inductor_"), name


def test_the_call_that_makes_seeds_is_written_as_expected():
    _, record = compile_for(lambda x: F.dropout(x, 0.3), [torch.randn(6, 40)], H100, 0)
    text = record.sources[0]
    assert "aten.randint.low_out(" in text
    assert library_calls(text) == ()


def test_another_call_of_that_name_counts():
    text = "\ndef call(args):\n    aten.randint.low_out(0, 10, [2], out=buf0)\n"
    assert library_calls(text) == ("aten.randint.low_out",)


def test_draws_in_the_order_of_the_program():
    found = captured(
        lambda x: F.dropout(x, 0.3) + torch.randn_like(x) * torch.randint(2, 7, (40,)),
    )
    assert found.stochastic
    assert found.fallback_ops == ()
    assert found.draws == (
        Draw("rand", (6, 40), "float32", 0),
        Draw("randn", (6, 40), "float32", 1),
        Draw("randint", (40,), "int64", 2, 2, 7),
    )


@pytest.mark.parametrize(
    ("function", "law", "size"),
    [
        (lambda x: F.dropout2d(x.reshape(2, 3, 4, 10)), "rand", (2, 3, 1, 1)),
        (lambda x: F.alpha_dropout(x, 0.2, training=True), "rand", (6, 40)),
        (lambda x: torch.bernoulli(x.sigmoid()), "rand", (6, 40)),
        (lambda x: x + torch.bernoulli(x, 0.3), "rand", (6, 40)),
        (lambda x: x + torch.normal(1.0, 2.0, (6, 1)), "randn", (6, 1)),
        (lambda x: torch.normal(x, 2.0), "randn", (6, 40)),
        (lambda x: x + torch.empty_like(x).log_normal_(), "randn", (6, 40)),
        (F.gumbel_softmax, "rand", (6, 40)),
        (lambda x: F.rrelu(x, training=True), "rand", (6, 40)),
        (lambda x: torch.multinomial(x.softmax(-1), 1), "rand", (6, 40)),
    ],
)
def test_what_each_operation_draws(function, law, size):
    found = captured(function)
    assert [(draw.law, draw.size, draw.seed) for draw in found.draws] == [(law, size, 0)]
    assert found.fallback_ops == ()


@pytest.mark.parametrize(
    "function",
    [lambda x: x.sin(), lambda x: F.dropout(x, 0.3, training=False), lambda x: F.dropout(x, 0.0)],
)
def test_other_programs_draw_nothing(function):
    found = captured(lambda x: function(x) * 2)
    assert found.draws == ()
    assert not found.stochastic


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x[torch.randperm(6)], "randperm"),
        (lambda x: torch.poisson(x.abs()), "poisson"),
        (lambda x: torch.binomial(x.abs().round(), x.sigmoid()), "binomial"),
    ],
)
def test_what_has_no_triton_is_named(function, name):
    with pytest.raises(CaptureRejected) as caught:
        captured(function)
    assert caught.value.kind == "unknown_random"
    assert name in caught.value.message


def graph_of(*indices):
    """A lowered graph that draws from the seeds of these numbers."""
    graph = torch.fx.Graph()
    seeds = graph.call_function(inductor_prims.seeds, (3, torch.device("cpu")))
    for index in indices:
        seed = graph.call_function(inductor_prims.lookup_seed, (seeds, index))
        graph.call_function(inductor_prims.random, ([4], seed, "rand"))
    return torch.fx.GraphModule({}, graph)


def test_draws_are_sorted_by_seed():
    assert [draw.seed for draw in draws(graph_of(2, 0, 1))] == [0, 1, 2]


def test_two_draws_from_one_seed_are_refused():
    with pytest.raises(CaptureRejected) as caught:
        draws(graph_of(0, 1, 1))
    assert caught.value.kind == "shared_seed"


def test_a_seed_from_elsewhere_is_refused():
    graph = torch.fx.Graph()
    seed = graph.placeholder("seed")
    graph.call_function(inductor_prims.random, ([4], seed, "rand"))
    with pytest.raises(CaptureRejected) as caught:
        draws(torch.fx.GraphModule({}, graph))
    assert caught.value.kind == "random_seed"


def test_every_refused_function_exists():
    assert all(callable(getattr(torch, name)) for name in randomness.UNKNOWN)


def test_a_size_that_varies_is_named():
    class Varies(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.3)

    inputs = [torch.randn(48, 40)]
    found = capture(Varies(), inputs, H100, varying=[Varying("x", 0, (48, 33, 65))])
    (draw,) = found.draws
    assert isinstance(draw.size[0], str)
    assert draw.size[1] == 40
