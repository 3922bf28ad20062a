"""The two graphs of a training pair: bound to each other by what flows, never by shape."""

import pytest
import torch
from torch import nn

from builder.capture.binding import module_tensors
from builder.capture.capture import capture
from builder.capture.inductor import SETTINGS, compile_for
from builder.capture.targets import TARGETS
from builder.capture.training import Differentiation
from builder.capture.versions import SINCE, known
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


def captured(module, *inputs):
    return capture(module, list(inputs), H100, differentiate=True)


class Alike(nn.Module):
    """Three parameters of one shape, registered in another order than they are used in."""

    def __init__(self):
        super().__init__()
        self.last = nn.Parameter(torch.randn(48))
        self.first = nn.Parameter(torch.randn(48))
        self.idle = nn.Parameter(torch.randn(48))
        self.fixed = nn.Parameter(torch.randn(48), requires_grad=False)

    def forward(self, x, target):
        y = torch.sin(x * self.first + self.fixed)
        return {"y": y, "rest": [(y * self.last - target).sum(-1), y.argmax(-1)]}


def test_gradients_are_bound_to_the_tensors_they_belong_to():
    x, target = torch.randn(32, 48, requires_grad=True), torch.randn(32, 48)
    found = captured(Alike(), x, target)
    bound = found.backward.bound
    assert {gradient.argument for gradient in bound.gradients} == {"x", "self.first", "self.last"}
    assert len({gradient.result for gradient in bound.gradients}) == 3
    assert [tangent.result for tangent in bound.tangents] == [0, 1]
    assert {"_tangents[0]", "_tangents[1]"} < set(bound.arguments)
    assert "self.idle" not in found.arguments
    assert not found.backward.fallback_ops


def test_without_differentiation_nothing_changes():
    x, target = torch.randn(32, 48, requires_grad=True), torch.randn(32, 48)
    plain = capture(Alike(), [x, target], H100)
    assert plain.backward is None
    assert plain == capture(Alike(), [x.detach(), target], H100)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


has_backward_templates = pytest.mark.skipif(
    not set(SINCE) & set(known(SETTINGS)),
    reason="before PyTorch 2.13, convolution's backward has no template",
)


@has_backward_templates
def test_a_convolution_has_no_library_call_and_no_tf32():
    backward = captured(Block(), torch.randn(2, 8, 14, 14, requires_grad=True)).backward
    templates = [kernel for kernel in backward.kernels if kernel.kind == "template"]
    assert len(templates) == 2
    assert all("ALLOW_TF32 : tl.constexpr = False" in kernel.source for kernel in templates)
    assert not backward.fallback_ops
    assert torch.backends.cudnn.allow_tf32


@has_backward_templates
def test_a_weight_gradient_over_three_dimensions_adds_up_many_products_at_once():
    """Not one place after the other, as a convolution by the gradient would."""
    x = torch.randn(1, 4, 10, 11, 12, requires_grad=True)
    backward = captured(nn.Conv3d(4, 8, 3, stride=2, padding=1), x).backward
    templates = [kernel.source for kernel in backward.kernels if kernel.kind == "template"]
    assert any("BLOCK_K : tl.constexpr" in source for source in templates)
    assert not any("KERNEL_D : tl.constexpr = 5" in source for source in templates)
    assert not backward.fallback_ops


@has_backward_templates
def test_what_is_saved_lies_as_the_backward_graph_takes_it():
    """Inductor pads the mask of this activation, so that its rows do not lie as in eager."""
    module, x = Block(), torch.randn(2, 8, 14, 14, requires_grad=True)
    _, record = compile_for(
        module, [x], H100, 0, differentiate=Differentiation([("x", x), *module_tensors(module)])
    )
    assert "(3200, 196, 14, 1), torch.bool" in record.sources[0]
    assert "(2, 16, 14, 14), (3200, 196, 14, 1), 'input'" in record.backward.sources[0]


@has_backward_templates
def test_a_copy_that_forward_made_is_what_backward_takes():
    """Inductor convolves with channels last; forward's copies of the operands are saved."""
    module = nn.Conv2d(104, 96, 3, stride=2, padding=1)
    found = captured(module, torch.randn(4, 104, 7, 7, requires_grad=True))
    assert "(936, 1, 312, 104)" in found.source
    assert not {"input", "self.weight"} & set(found.backward.bound.arguments)


def test_a_backward_graph_may_have_no_kernel():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.randn(32, 48))

        def forward(self, x):
            return x + self.shift

    backward = captured(Sum(), torch.randn(32, 48, requires_grad=True)).backward
    assert backward.kernels == ()
    assert backward.bound.handed_on == (0, 0)


def test_nothing_is_differentiable():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    class Place(nn.Module):
        def forward(self, x):
            return x.argmax(-1)

    for module, x in ((Sine(), torch.randn(4, 4)), (Place(), torch.randn(4, 4).requires_grad_())):
        with pytest.raises(CaptureRejected) as error:
            captured(module, x)
        assert error.value.kind == "nothing_differentiable"


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(48))
        self.register_buffer("seen", torch.zeros(48))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def after_update(module, x):
    module.seen.add_(1)
    return torch.sin(x) * module.scale * module.seen


def with_view(module, x):
    y = torch.sin(x) * module.scale
    return y, y.t()


def keeps_a_gradient(module, x):
    module.seen = 0.9 * module.seen + x.mean(0)
    return torch.sin(x) * module.scale


REFUSED = {
    "state with a gradient": (keeps_a_gradient, "differentiable_state", "self.seen"),
    "input": (lambda m, x: (torch.sin(x) * m.scale, x), "unbound_gradient", "gradient of x"),
    "view of an input": (lambda m, x: (x * m.scale, x.t()), "differentiable_view", "view of an"),
    "view of an output": (with_view, "differentiable_view", "view of an"),
    "sum of leaves": (lambda m, x: x + m.scale.expand(32, 48), None, ""),
    "changed before it is saved": (after_update, "saved_mutation", "self.seen"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_kernel_can_do_is_refused(name):
    function, kind, words = REFUSED[name]
    x = torch.randn(32, 48, requires_grad=True)
    if kind is None:
        assert captured(Returns(function), x).backward.kernels
        return
    with pytest.raises(CaptureRejected, match=words) as error:
        captured(Returns(function), x)
    assert error.value.kind == kind


def test_shared_parameters_have_one_gradient():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(32, 32), nn.Linear(32, 32)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(torch.sin(self.one(x)))

    bound = captured(Tied(), torch.randn(16, 32)).backward.bound
    names = [gradient.argument for gradient in bound.gradients]
    assert sorted(names) == ["self.one.bias", "self.one.weight", "self.two.bias"]
