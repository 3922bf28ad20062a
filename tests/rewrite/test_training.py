"""The autograd function of a training pair, executed: gradients, and how it takes its tangents."""

import pytest
import torch

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.execute import launches_on_cpu
from builder.programs.load import load_program
from builder.rewrite import triton_module

PROGRAM = """
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(40)
        self.scale = nn.Parameter(torch.randn(40))
        self.fixed = nn.Parameter(torch.randn(40), requires_grad=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.ones(40))

    def forward(self, xs, power, shift=None):
        self.count.add_(1)
        self.seen = 0.9 * self.seen + xs[0].detach().mean(0)
        y = torch.tanh(self.norm(xs[0]) * self.scale + self.fixed)
        return {"y": y, "rest": ((y * xs[1]).sum(-1), y.argmax(-1))}

def get_inputs():
    return [[torch.randn(24, 40).requires_grad_(), torch.randn(24, 40).requires_grad_()], 2.0]
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    loaded = load_program(PROGRAM)
    target = TARGETS["cuda:90"]
    captured = capture(loaded.make_module(), loaded.make_inputs(0), target, differentiate=True)
    text = triton_module(PROGRAM, "Gate", captured).text
    path = tmp_path_factory.mktemp("pair") / "triton_code.py"
    path.write_text(text)
    namespace = {"__name__": "triton_code", "__file__": str(path)}
    exec(compile(text, str(path), "exec"), namespace)
    return loaded, text, namespace


def both(pair):
    loaded, _, namespace = pair
    old, new = loaded.make_module(), namespace["GateNew"]()
    new.load_state_dict(old.state_dict())
    return (old, loaded.make_inputs(1)), (new, loaded.make_inputs(1))


def loss(out):
    return (out["y"] ** 2).sum() + (out["rest"][0] * 3).sum()


def gradients(module, inputs):
    named = {f"x{n}": tensor.grad for n, tensor in enumerate(inputs[0])}
    return named | {name: value.grad for name, value in module.named_parameters()}


def test_a_training_step_gives_eagers_gradients(pair):
    (old, old_inputs), (new, new_inputs) = both(pair)
    loss(old(*old_inputs)).backward()
    with launches_on_cpu():
        loss(new(*new_inputs)).backward()
    expected, found = gradients(old, old_inputs), gradients(new, new_inputs)
    assert expected.keys() == found.keys()
    for name, wanted in expected.items():
        assert (found[name] is None) == (wanted is None), name
        if wanted is not None:
            torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-5, msg=name)
    assert found["fixed"] is None
    assert int(new.count) == 1
    torch.testing.assert_close(new.seen, old.seen)
    assert not new.seen.requires_grad


def test_integers_are_not_differentiable(pair):
    _, (new, inputs) = both(pair)
    with launches_on_cpu():
        out = new(*inputs)
    assert out["y"].requires_grad
    assert out["rest"][0].requires_grad
    assert not out["rest"][1].requires_grad


def test_an_output_may_have_no_tangent(pair):
    (old, old_inputs), (new, new_inputs) = both(pair)
    old(*old_inputs)["rest"][0].sum().backward()
    with launches_on_cpu():
        new(*new_inputs)["rest"][0].sum().backward()
    torch.testing.assert_close(new_inputs[0][1].grad, old_inputs[0][1].grad)
    torch.testing.assert_close(new.scale.grad, old.scale.grad, rtol=1e-4, atol=1e-5)


def test_only_what_is_needed_is_returned(pair):
    _, (new, inputs) = both(pair)
    inputs[0][0].requires_grad_(requires_grad=False)
    new.norm.requires_grad_(requires_grad=False)
    with launches_on_cpu():
        loss(new(*inputs)).backward()
    assert inputs[0][0].grad is None
    assert new.norm.weight.grad is None
    assert new.scale.grad is not None


def test_a_gradient_that_was_not_captured_is_refused(pair):
    _, (new, inputs) = both(pair)
    new.fixed.requires_grad_()
    with launches_on_cpu():
        with pytest.raises(ValueError, match=r"self\.fixed requires a gradient"):
            new(*inputs)
        with torch.no_grad():
            assert not new(*inputs)["y"].requires_grad


def test_a_second_derivative_is_refused(pair):
    _, (new, inputs) = both(pair)
    with launches_on_cpu():
        value = loss(new(*inputs))
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(value, inputs[0], create_graph=True)


def test_the_text_saves_and_returns_by_name(pair):
    _, text, _ = pair
    assert "class GateFunction(torch.autograd.Function):" in text
    assert "ctx.mark_non_differentiable(" in text
    assert "grad_output_0 = grad_output_0.contiguous()" in text
    assert "_graph_outputs" not in text
    assert "_tangents" not in text


def test_a_channels_last_output_has_a_channels_last_tangent():
    code = PROGRAM.replace("class Gate", "class Other") + LAYOUT
    loaded = load_program(code, "Layout")
    captured = capture(
        loaded.make_module(), loaded.namespace["inputs"](), TARGETS["cuda:90"], differentiate=True
    )
    assert captured.backward.bound.tangents[0].memory_format == "channels_last"
    text = triton_module(code, "Layout", captured).text
    assert "grad_output.contiguous(memory_format=torch.channels_last)" in text


LAYOUT = """

class Layout(nn.Module):
    def forward(self, x):
        return torch.sin(x) * 2

def inputs():
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    return [x.requires_grad_()]
"""
