import resource

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses import FakeTensorMode

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


class Scaled(nn.Module):
    """``beta`` is registered first and used last; shapes cannot tell it from ``gamma``."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.randn(96))
        self.gamma = nn.Parameter(torch.randn(96))
        self.blocks = nn.ModuleList([nn.Linear(96, 96), nn.Linear(96, 96)])

    def forward(self, target, pred, options):
        x = (target - pred) * self.gamma + self.beta
        return self.blocks[1](self.blocks[0](x)) * options["scale"] + options["bias"][0]


def test_arguments_are_bound_by_identity():
    x = torch.randn(8, 96)
    bias = [torch.randn(96)]
    captured = capture(Scaled(), [x, torch.randn(8, 96), {"scale": 2.0, "bias": bias}], H100)
    assert set(captured.arguments) == {
        "target",
        "pred",
        "self.gamma",
        "self.beta",
        "self.blocks[0].weight",
        "self.blocks[0].bias",
        "self.blocks[1].weight",
        "self.blocks[1].bias",
        "options['bias'][0]",
    }
    order = captured.arguments
    assert order.index("target") < order.index("pred") < order.index("self.gamma")
    assert order.index("self.gamma") < order.index("self.beta")
    assert captured.fixed == (("options['scale']", 2.0),)


class Outputs(nn.Module):
    def forward(self, x, y):
        total = x * y
        return {"sum": [total, total.sum(-1)], "same": x, "view": y.t(), "number": 3, "none": None}


def test_results_are_bound_by_storage():
    captured = capture(Outputs(), [torch.randn(48, 65), torch.randn(48, 65)], H100)
    assert captured.result == (
        "{'sum': [_graph_outputs[0], _graph_outputs[1]], 'same': x, "
        "'view': torch.as_strided(y, (65, 48), (1, 65)), 'number': 3, 'none': None}"
    )


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 3, padding=1)

    def forward(self, image, q, k):
        scores = (q @ k.transpose(-1, -2)).softmax(-1)
        return torch.relu(self.conv(image)), scores, scores.cumsum(-1), q.sort(-1)[0]


def mixed_inputs():
    return [torch.randn(2, 16, 28, 28), torch.randn(4, 100, 64), torch.randn(4, 100, 64)]


def test_kinds_come_without_library_calls():
    captured = capture(Mixed(), mixed_inputs(), H100)
    assert {kernel.kind for kernel in captured.kernels} >= {"template", "scan", "sort"}
    assert "extern_kernels." not in captured.source.split("def call")[-1]
    assert "aten.convolution.default" in captured.aten_ops


def test_the_same_seed_gives_the_same_capture():
    first, second = (capture(Mixed(), mixed_inputs(), H100, seed=7) for _ in range(2))
    assert first == second
    assert "/tmp" not in first.source


def test_seeds_choose_other_launch_configurations():
    seen = {
        tuple(
            (kernel.num_warps, tuple(kernel.constants.items()))
            for kernel in capture(Mixed(), mixed_inputs(), H100, seed=seed).kernels
        )
        for seed in range(6)
    }
    assert len(seen) > 1


class Attention(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def test_scaled_dot_product_attention_takes_its_math_form():
    captured = capture(Attention(), [torch.randn(2, 4, 64, 32) for _ in range(3)], H100)
    call = captured.source.split("def call")[-1]
    assert "extern_kernels." not in call
    assert "torch.ops." not in call
    assert sum(kernel.kind == "template" for kernel in captured.kernels) == 2


class Defaults(nn.Module):
    def forward(self, x, scale=2.0, *rest, mask=None, **options):
        return x * scale


def test_defaults_and_lengths_are_recorded():
    captured = capture(Defaults(), [torch.randn(8, 96)], H100)
    assert captured.fixed == (("scale", 2.0), ("mask", None))
    assert captured.lengths == (("rest", 0), ("options", 0))
    assert captured.training is None


def test_one_tensor_under_two_names_is_rejected():
    x = torch.randn(8, 96)
    with pytest.raises(CaptureRejected) as caught:
        capture(Outputs(), [x, x], H100)
    assert caught.value.kind == "aliased_inputs"


class Identity(nn.Module):
    def forward(self, x):
        return x


class DataDependent(nn.Module):
    def forward(self, x):
        return x[x > 0] * 2


class Breaks(nn.Module):
    def forward(self, x):
        return x * x.sum().item() if x.sum() > 0 else x


class ViewOnly(nn.Module):
    def forward(self, x):
        return x.transpose(0, 1)


class LibraryOnly(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x)[0]


class NothingInCommon(nn.Module):
    def forward(self, x):
        x = x.to(torch.int8)
        return torch._int_mm(x[:, :0], x[:0])


class Computes(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def gaussian_loss(x):
    """It raises if a variance is negative."""
    return torch.nn.functional.gaussian_nll_loss(x, x, x.abs())


class Constant(nn.Module):
    def forward(self, x):
        return x + torch.tensor(list(range(96))).reshape(32, 3)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (Breaks(), "graph_break"),
        (ViewOnly(), "no_kernel"),
        (Identity(), "no_kernel"),
        (DataDependent(), "needs_values"),
        (LibraryOnly(), "library_call"),
        (NothingInCommon(), "no_template"),
        (Constant(), "tensor_constant"),
        (Computes(torch.geqrf), "untraceable"),
        (Computes(lambda x: x.to_sparse() * 2), "sparse_tensor"),
        (Computes(lambda x: x * (2 if (x > 0).sum() > 3 else 3)), "graph_break"),
        (Computes(gaussian_loss), "needs_values"),
    ],
)
def test_what_cannot_be_captured_is_rejected_with_its_kind(module, kind):
    with pytest.raises(CaptureRejected) as caught:
        capture(module, [torch.randn(32, 3)], H100)
    assert caught.value.kind == kind
    assert "TORCHDYNAMO" not in caught.value.message


@pytest.mark.parametrize(
    ("compute", "way_round"),
    [
        (lambda x: torch.view_as_complex(x.view(-1, 2)) * 2, "the imaginary part"),
        (lambda x: torch.complex(x, x).abs(), "the imaginary part"),
        (torch.fft.fft2, "the imaginary part"),
        (lambda x: torch.linalg.inv(x[:3]), "outside of forward"),
        (lambda x: torch.nn.functional.ctc_loss(x, x, x, x), "graph_break"),
        (torch.geqrf, "aten.geqrf.default can only be run, by a library"),
        (lambda x: x.to_sparse(), "in tensors of their own"),
    ],
)
def test_the_way_round_a_library_is_told(compute, way_round):
    class Library(nn.Module):
        def forward(self, x):
            return compute(x)

    with pytest.raises(CaptureRejected) as caught:
        capture(Library(), [torch.randn(32, 3)], H100)
    assert way_round in f"{caught.value.kind}: {caught.value.message}"


def test_the_message_names_the_line_that_breaks_the_graph():
    with pytest.raises(CaptureRejected, match=r"test_capture\.py, line \d+: "):
        capture(Breaks(), [torch.randn(32, 3)], H100)


def test_gpus_differ():
    large = [torch.randn(8, 1 << 20)]
    sources = {capture(Sum(), large, TARGETS[name]).source for name in ("cuda:90", "cuda:86")}
    assert len(sources) == 2


class Sum(nn.Module):
    def forward(self, x):
        return x.exp().sum()


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(8192, 8192)

    def forward(self, x):
        return torch.relu(self.proj(x)).sum(-1)


def test_sixteen_gigabytes_need_no_memory():
    with FakeTensorMode():
        module, x = Wide(), torch.randn(1 << 19, 8192)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    captured = capture(module, [x], H100)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kilobytes
    assert captured.arguments == ("self.proj.weight", "self.proj.bias", "x")
    assert {kernel.kind for kernel in captured.kernels} == {"template", "reduction"}


def test_named_tuples_of_torch_are_returned_as_such():
    class Running(nn.Module):
        def forward(self, x):
            return x.cummax(-1), torch.max(x * 2, 0)

    captured = capture(Running(), [torch.randn(4, 30)], H100)
    assert captured.result.count("torch.return_types.cummax([") == 1
    assert captured.result.count("torch.return_types.max([") == 1


def test_library_calls_beside_kernels_are_named():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x + 1.0).abs() * 2.0

    captured = capture(Spectrum(), [torch.randn(4, 64)], H100)
    assert captured.fallback_ops
    assert all("fft" in name or "aten" in name for name in captured.fallback_ops)
