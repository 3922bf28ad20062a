"""Training pairs: right gradients pass, and each way of being wrong is found and named."""

import pytest
import torch
from torch import nn

from builder.capture.targets import resolve_targets
from builder.errors import UsageError
from builder.verify import verify
from builder.verify.expected import Expected
from builder.verify.floors import History, Operation
from builder.verify.gradients import Upstream, differentiable, tangents, upstream_of
from builder.verify.missing import with_missing
from builder.verify.runner import Case, run_original
from builder.verify.vanishing import is_noise, vanishes
from tests.verify.data import gate

HOPPER = resolve_targets(["cuda:90"])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def judged(*pairs, python=gate.PYTHON, **options):
    text = gate.TRITON
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return verify(python, text, "Gate", targets=HOPPER, **({"mode": "training"} | options))


def test_right_gradients_pass_on_all_draws():
    verdict = judged()
    assert verdict.verified, verdict.reason
    assert verdict.draws == 7  # one of them tells apart what adds up
    assert verdict.kernel_names == ("gate_kernel", "gate_backward_kernel")
    assert verdict.num_kernels == 2


def test_without_the_mode_gradients_are_not_looked_at():
    verdict = judged(("dh * weight", "dh"), mode="forward")
    assert verdict.verified
    assert verdict.kernel_names == ("gate_kernel",)


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="forward, training"):
        judged(mode="backward")


WRONG = {
    "scaled gradient": (("given * t)", "given * t * 1.001)"), "wrong_values", "input 1"),
    "missing term": ((" + 2.0 * h * tl.load(dsquare + row)", ""), "wrong_values", "input 0"),
    "half a term": (("2.0 * h *", "1.0 * h *"), "wrong_values", "input 0"),
    "swapped parameters": (
        ("return dx, dy, dscale, dbias", "return dx, dy, dbias, dscale"),
        "wrong_values",
        "parameter scale",
    ),
    "swapped inputs": (
        ("return dx, dy, dscale", "return dy, dx, dscale"),
        "wrong_values",
        "input 0",
    ),
    "zero parameter": (
        ("tl.sum(dh, 0))", "tl.sum(dh * 0.0, 0))"),
        "wrong_values",
        "parameter bias",
    ),
    "no parameter": (
        ("return dx, dy, dscale, dbias", "return dx, dy, dscale, None"),
        "gradient",
        "parameter bias is None",
    ),
    "tangent of another output": (
        ("dsquare + row)", "dout + row * 48)"),
        "wrong_values",
        "input 0",
    ),
    "a row is left out": (
        ("tl.sum(dh * value, 0)", "tl.sum(tl.where(row == 7, 0.0, dh * value), 0)"),
        "wrong_values",
        "parameter scale",
    ),
    "nothing written": (("    tl.store(dy + at, given * t)\n", ""), "wrong_non_finite", "input 1"),
    "differentiable index": (
        ("        ctx.mark_non_differentiable(place)\n", "        square = out[:, 0]\n"),
        "strides",
        "output 1",
    ),
    "output not differentiable": (
        ("mark_non_differentiable(place)", "mark_non_differentiable(place, square)"),
        "gradient",
        "outputs [0]",
    ),
    "dense tangents only": (("        dout = dout.contiguous()\n", ""), None, ""),
    "copies a saved tensor": (
        ("dout = dout.contiguous()", "dout = dout.contiguous(); y = y.contiguous()"),
        "static_torch_compute",
        "contiguous",
    ),
    "adds with torch": (
        ("        return dx, dy, dscale", "        return dx + 0, dy, dscale"),
        "host_compute",
        "aten.add",
    ),
    "second derivative": (
        ("if torch.is_grad_enabled():", "if False:"),
        "double_backward",
        "create_graph",
    ),
    "writes what it saved": (
        ("tl.store(dy + at, given * t)", "tl.store(dy + at, given * t)\n    tl.store(y + at, t)"),
        "mutated",
        "input 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_planted_fault_is_found(name):
    change, kind, words = WRONG[name]
    verdict = judged(change, draws=3)
    assert not verdict.verified
    assert kind is None or verdict.kind == kind, verdict.reason
    assert words in verdict.reason


KEPT = (
    ("bias, out, square, place", "bias, out, square, place, kept"),
    ("bias, dx, dy, dscale, dbias", "bias, kept, dx, dy, dscale, dbias"),
    ("save_for_backward(x, y, scale, bias)", "save_for_backward(x, y, scale, bias, kept)"),
    ("x, y, scale, bias = ctx", "x, y, scale, bias, kept = ctx"),
    ("        place = ", "        kept = torch.empty_like(out)\n        place = "),
    ("    tl.store(out + at", "    tl.store(kept + at, h, inside)\n    tl.store(out + at"),
    ("h = value * weight + tl.load(bias + col)", "h = tl.load(kept + at)"),
)


def test_backward_that_spoils_what_forward_saved_is_found():
    """The first backward pass is right, a second one over the same graph is not."""
    assert judged(*KEPT, draws=1).verified
    verdict = judged(*KEPT, ("    tl.store(dy", "    tl.store(kept + at, t)\n    tl.store(dy"))
    assert verdict.kind == "tangent_strides"
    assert "second backward pass" in verdict.reason


def test_tangents_follow_from_the_seed_and_take_several_forms():
    outputs = {0: torch.randn(4, 6), 2: torch.randn(4)}
    forms = [upstream_of(5, draw).form for draw in range(6)]
    assert forms == ["contiguous", "transposed", "missing"] * 2
    assert sorted(tangents(Upstream(1), outputs)) == [0, 2]
    assert sorted(tangents(Upstream(1, "missing", missing=0), outputs)) == [2]
    assert tangents(Upstream(1, "transposed"), outputs)[0].stride() == (1, 4)
    again = tangents(Upstream(1), outputs)
    assert all(torch.equal(again[n], made) for n, made in tangents(Upstream(1), outputs).items())
    assert not torch.equal(tangents(Upstream(2), outputs)[0], again[0])


class Normed(nn.Module):
    def forward(self, x):
        return torch.native_group_norm(x, None, None, 3, 4, 5, 2, 1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_tangent_is_left_out_where_eager_knows_what_that_means(seed):
    """Eager forgets the gradient of the mean where the reciprocal deviation has none."""
    x = torch.randn(3, 4, 5, requires_grad=True)
    for layer, may_miss in ((Normed(), {0}), (nn.LayerNorm(5), {None}), (nn.LSTM(5, 5), {0, 1, 2})):
        found = with_missing(Case(layer, [x], 0, Upstream(seed, "missing")))
        assert found.upstream.missing in may_miss
        assert with_missing(Case(layer, [x], 0, Upstream(seed))).upstream == Upstream(seed)


def test_gradients_that_are_zeros_without_memory_have_a_reference():
    class Sign(nn.Module):
        def forward(self, x):
            return torch.sgn(x)

    x = torch.randn(3, 4, requires_grad=True)
    original = run_original(Case(Sign(), [x], 0, Upstream(1)))
    assert torch.equal(original.run.gradients.values["gradient of input 0"], torch.zeros(3, 4))
    assert not original.expected["gradient of input 0"].reference.any()


def test_any_tangent_may_be_left_out_in_turn():
    class Two(nn.Module):
        def forward(self, x):
            return torch.sqrt(x), x * 2, torch.dropout(x, 0.5, train=True)

    x = torch.zeros(3, requires_grad=True)  # zeros times the slope of a root are NaN
    cases = [Case(Two(), [x], 0, Upstream(seed, "missing")) for seed in range(3)]
    assert [with_missing(case).upstream.missing for case in cases] == [0, 1, 2]


def test_an_output_that_comes_twice_has_one_tangent():
    y = torch.randn(3, requires_grad=True) * 2
    assert list(differentiable([y, (y, y + 1)])) == [0, 2]


class Kinked(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


KINKED = {
    "relu": torch.relu,
    "relu6": nn.functional.relu6,
    "leaky_relu": nn.functional.leaky_relu,
    "hardtanh": nn.functional.hardtanh,
    "hardswish": nn.functional.hardswish,
    "hardsigmoid": nn.functional.hardsigmoid,
    "hardshrink": nn.functional.hardshrink,
    "softshrink": nn.functional.softshrink,
    "elu": lambda x: nn.functional.elu(x, 2.0),
    "prelu": lambda x: nn.functional.prelu(x, torch.tensor(0.3)),
}


@pytest.mark.parametrize("name", KINKED)
def test_a_derivative_that_jumps_is_on_eagers_side(name):
    """What decides is rounded by eager, so that float64 alone would be on the other side."""
    kinks = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])

    def function(x):
        return KINKED[name]((x + 1e4) - 1e4 + kinks)

    torch.manual_seed(0)
    x = (0.002 * torch.rand(40, 7) - 0.001).requires_grad_()
    original = run_original(Case(Kinked(function), [x], 0, Upstream(1)))
    expected = original.expected["gradient of input 0"]
    assert expected.history.decided
    assert expected.eager_errors.worst < 0.01  # the smallest jump is far above


def test_noise_about_zero_is_held_to_eagers_size():
    history = History(torch.float32, Operation.REDUCTION)
    noise = 1e-7 * torch.randn(64)
    expected = Expected(noise, torch.zeros(64, dtype=torch.float64), history)
    assert vanishes(expected)
    assert is_noise(1e-7 * torch.randn(64), expected, ())
    assert not is_noise(noise + 1e-5, expected, ())
    assert is_noise(noise + 1e-5, expected, (Expected(noise * 100, expected.reference, history),))
    real = Expected(noise + 1, torch.ones(64, dtype=torch.float64), history)
    assert not vanishes(real)
    assert not is_noise(torch.ones(64), real, ())


def test_gradients_of_the_reference_are_float64s():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.LayerNorm(8), nn.Softmax(-1))
    x = torch.randn(12, 16, requires_grad=True)
    case = Case(module, [x], 0, Upstream(3))
    original = run_original(case)
    exact, wide = module.double(), x.detach().double().requires_grad_()
    out = exact(wide)
    given = tangents(Upstream(3), {0: original.run.leaves[0]})[0]
    found = torch.autograd.grad(out, [wide, *exact.parameters()], given.double())
    names = ["input 0", *(f"parameter {name}" for name, _ in exact.named_parameters())]
    for name, wanted in zip(names, found, strict=True):
        reference = original.expected[f"gradient of {name}"].reference
        torch.testing.assert_close(reference, wanted, rtol=1e-9, atol=1e-12, msg=name)
