"""Good pairs pass; each way of being wrong is found and named."""

import math

import pytest
import torch

from builder.capture.targets import resolve_targets
from builder.config import DRAWS
from builder.errors import UsageError, VerificationRejected
from builder.verify import Verdict, trial, verify
from builder.verify.input_sets import APART
from builder.verify.match import match
from tests.verify.data import buckets, counter, histogram, layer_norm, loss, matmul, softmax

HOPPER = resolve_targets(["cuda:90"])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def of_loss(*pairs: tuple[str, str], **options) -> Verdict:
    return verify(loss.PYTHON, changed(loss.TRITON, *pairs), "Loss", targets=HOPPER, **options)


GOOD = {
    "loss": (loss.PYTHON, loss.TRITON, "Loss"),
    "softmax": (softmax.PYTHON, softmax.TRITON, "Softmax"),
    "layer norm float16": (layer_norm.PYTHON, layer_norm.TRITON, "Norm"),
    "matmul float32": (matmul.python("float32"), matmul.triton("float32"), "Linear"),
    "matmul float16": (matmul.python("float16"), matmul.triton("float16"), "Linear"),
    "matmul bfloat16": (matmul.python("bfloat16"), matmul.triton("bfloat16"), "Linear"),
    "mutation and views": (counter.PYTHON, counter.TRITON, "Counter"),
    "discrete": (buckets.PYTHON, buckets.TRITON, "Buckets"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_pair_passes(name):
    python, triton, entry_point = GOOD[name]
    verdict = verify(python, triton, entry_point, targets=HOPPER)
    assert verdict.verified, verdict.reason
    assert DRAWS <= verdict.draws <= DRAWS + len(APART)
    assert verdict.deterministic
    assert verdict.compiled_targets == ("cuda:90",)
    assert verdict.resources["cuda:90"]["registers"] > 0
    assert verdict.max_error <= max(verdict.floor, 2**-8)
    assert verdict.max_error <= verdict.tolerance
    assert verdict.floor <= verdict.tolerance
    assert math.frexp(verdict.tolerance)[0] in (0.0, 0.5)


def test_verdict_is_a_function_of_texts_and_seed():
    first, second = of_loss(seed=5), of_loss(seed=5)
    assert first == second
    assert Verdict.from_json(first.to_json()) == first


def test_float_atomics_pass_and_are_not_deterministic():
    verdict = verify(histogram.PYTHON, histogram.TRITON, "Histogram", targets=HOPPER)
    assert verdict.verified, verdict.reason
    assert not verdict.deterministic


WRONG = {
    "constant": ("1 + tl.abs", "1.0001 + tl.abs", "wrong_values"),
    "swapped arguments": ("(pred, target, out, n,", "(target, pred, out, n,", "wrong_values"),
    "off by one": ("inside = offset < n", "inside = offset < n - 1", "wrong_non_finite"),
    "lower precision": (
        "(target - pred) / (1 + tl.abs(pred))",
        "((target - pred) / (1 + tl.abs(pred))).to(tl.bfloat16)",
        "wrong_values",
    ),
    "half precision input": (
        "tl.load(target_ptr + offset, mask=inside)",
        "tl.load(target_ptr + offset, mask=inside).to(tl.float16).to(tl.float32)",
        "wrong_values",
    ),
    "input changed": (
        "    tl.store(out_ptr",
        "    tl.store(target_ptr + offset, pred, mask=inside)\n    tl.store(out_ptr",
        "mutated",
    ),
    "input returned": ("return out", "return target", "aliasing"),
    "view of input": ("out = torch.empty_like(pred)", "out = pred.view(16, 50)", "aliasing"),
    "zeros": ("return out", "return torch.zeros_like(out)", "wrong_values"),
    "uninitialised": ("return out", "return torch.empty_like(out)", "wrong_non_finite"),
    "strides": ("torch.empty_like(pred)", "torch.empty_strided((16, 50), (1, 16))", "strides"),
    "shape": ("return out", "return out.reshape(50, 16)", "shape"),
    "dtype": ("torch.empty_like(pred)", "torch.empty_like(pred, dtype=torch.float64)", "dtype"),
    "tuple": ("return out", "return (out,)", "structure"),
    "computed on the host": ("return out", "out += 0\n        return out", "host_compute"),
    "raises": ("return out", "return missing", "triton_error"),
    "does not import": ("import triton\n", "import triton\nfound = missing\n", "triton_error"),
    "launches nothing": (
        "        launch_loss",
        "        if n_dims(pred) > 9:\n            launch_loss",
        "no_launch",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_module_is_found(name):
    old, new, kind = WRONG[name]
    extra = ("class LossNew", "def n_dims(x):\n    return x.dim()\n\n\nclass LossNew")
    verdict = of_loss((old, new), extra)
    assert not verdict.verified
    assert verdict.kind == kind, verdict.reason


def test_missing_mask_is_a_memory_fault():
    verdict = of_loss(("tl.load(pred_ptr + offset, mask=inside)", "tl.load(pred_ptr + offset)"))
    assert (verdict.verified, verdict.kind) == (False, "out_of_bounds")


def test_missing_fill_of_masked_lanes_is_found():
    text = changed(softmax.TRITON, (', other=-float("inf")', ", other=0.0"))
    verdict = verify(softmax.PYTHON, text, "Softmax", targets=HOPPER)
    assert not verdict.verified


@pytest.mark.parametrize("names", [("beta", "offset"), ("beta", "gamma"), ("gamma", "offset")])
def test_parameters_bound_to_the_wrong_name_are_found(names):
    first, second = names
    swapped = f"launch_norm(x, self.{first}"
    text = layer_norm.TRITON
    call = "launch_norm(x, self.gamma, self.beta, self.offset, out)"
    assert call in text
    other = call.replace(f"self.{first}", "self.?").replace(f"self.{second}", f"self.{first}")
    text = text.replace(call, other.replace("self.?", f"self.{second}"))
    verdict = verify(layer_norm.PYTHON, text, "Norm", targets=HOPPER)
    assert verdict.kind == "wrong_values", (swapped, verdict.reason)


def test_wrong_epsilon_is_found():
    text = changed(layer_norm.TRITON, ("1e-5", "1e-6"))
    verdict = verify(layer_norm.PYTHON, text, "Norm", targets=HOPPER)
    assert verdict.kind == "wrong_values", verdict.reason


def test_low_precision_accumulation_is_found():
    text = changed(
        matmul.triton("float32"),
        ("tl.dot(x, w, total", "tl.dot(x.to(tl.float16), w.to(tl.float16), total"),
    )
    verdict = verify(matmul.python("float32"), text, "Linear", targets=HOPPER)
    assert verdict.kind == "wrong_values", verdict.reason


def test_tf32_floor_is_named():
    text = matmul.triton("float32")
    arguments = (matmul.python("float32"), text, "Linear")
    strict = verify(*arguments, targets=HOPPER)
    loose = verify(*arguments, targets=HOPPER, dot_precision="tf32")
    assert loose.floor > 100 * strict.floor


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("tl.store(state_ptr + offset, state)", "tl.store(state_ptr + offset, state * 1.1)", None),
        ("    tl.store(state_ptr + offset, state)\n", "", None),
        ("    tl.store(total_ptr + offset, total)\n", "", None),
        ('"view": state[::2]', '"view": state[1::2]', "aliasing"),
        ('"view": state[::2]', '"view": out[::2]', "aliasing"),
        ('{"view": state[::2], "scaled": out}', '{"view": state[::2], "scale": out}', "structure"),
    ],
)
def test_mutation_and_views_must_be_alike(old, new, kind):
    verdict = verify(counter.PYTHON, changed(counter.TRITON, (old, new)), "Counter", targets=HOPPER)
    assert verdict.kind == (kind or "wrong_values"), verdict.reason


def test_wrong_discrete_values_are_found():
    for old, new in (("x * 10.0", "x * 10.5"), ("x > 0.25", "x > 0.3"), ("rint", "floor")):
        text = changed(buckets.TRITON, (old, new))
        verdict = verify(buckets.PYTHON, text, "Buckets", targets=HOPPER)
        assert verdict.kind == "wrong_discrete", (new, verdict.reason)


def test_decision_that_an_ulp_flips_is_allowed():
    text = changed(buckets.TRITON, ("x * 10.0", "(x * 10.0) * 1.00000006"))
    verdict = verify(buckets.PYTHON, text, "Buckets", targets=HOPPER)
    assert verdict.verified, verdict.reason


def test_dependence_on_instance_order_is_found():
    text = changed(
        histogram.TRITON,
        ("tl.atomic_add(out_ptr + index, weight * 1.5)", "tl.store(out_ptr + index, weight)"),
    )
    verdict = verify(histogram.PYTHON, text, "Histogram", targets=HOPPER)
    assert not verdict.verified
    assert verdict.kind in ("race", "order_dependent")


def test_state_that_does_not_load_is_found():
    text = changed(layer_norm.TRITON, ("self.offset = nn", "self.shift = nn"))
    verdict = verify(layer_norm.PYTHON, text, "Norm", targets=HOPPER)
    assert verdict.kind == "state_dict"


def test_copying_kernel_is_no_pair():
    python = changed(
        loss.PYTHON, ("(target - pred) / (1 + pred.abs())", "torch.cat([target[:1], pred[1:]])")
    )
    chosen = "tl.where(offset < 50, target, pred)"
    verdict_text = changed(loss.TRITON, ("(target - pred) / (1 + tl.abs(pred))", chosen))
    verdict = verify(python, verdict_text, "Loss", targets=HOPPER)
    assert verdict.kind == "no_computation", verdict.reason


def test_domain_is_kept_and_bad_draws_are_replaced():
    python = changed(
        loss.PYTHON,
        ("(target - pred) / (1 + pred.abs())", "(target - pred) / target.abs()"),
        ("torch.randn(16, 50)]", "torch.randn(16, 50) + 10]"),
    )
    text = changed(loss.TRITON, ("/ (1 + tl.abs(pred))", "/ tl.abs(target)"))
    verdict = verify(python, text, "Loss", targets=HOPPER, draws=4)
    assert verdict.verified, verdict.reason
    python = changed(python, ("randn(16, 50) + 10]", "randn(16, 50)]"))
    verdict = verify(python, text, "Loss", targets=HOPPER, draws=2)
    assert verdict.verified, verdict.reason
    assert verdict.replaced_draws == 2


NOISE = VerificationRejected("ill_conditioned", "output 0: noise")
FAULT = VerificationRejected("wrong_values", "output 0: wrong")


@pytest.mark.parametrize(
    ("rejected", "place", "draws"), [(FAULT, 1, 3), (NOISE, 0, 3), (FAULT, DRAWS, DRAWS)]
)
@pytest.mark.parametrize(("times", "passes"), [(1, True), (2, False)])
def test_what_may_be_bad_luck_is_asked_once_more(
    monkeypatch, rejected, place, draws, times, passes
):
    """A comparison that fails by bad luck fails on one set of numbers, a fault on others too.

    Noise on the inputs that the program declares, where nothing milder can take their place.
    """
    failures = [rejected] * times
    asked = []

    def unlucky(original, run, *args, **options):
        asked.append(run.values["output 0"])
        if len(asked) > place and failures:
            raise failures.pop()
        return match(original, run, *args, **options)

    monkeypatch.setattr(trial, "match", unlucky)
    python = changed(softmax.PYTHON, ("torch.softmax(x,", "torch.softmax(x - x.sum() * 0.0,"))
    verdict = verify(python, softmax.TRITON, "Softmax", targets=HOPPER, draws=draws)
    assert verdict.verified == passes
    assert verdict.kind == (None if passes else rejected.kind)
    assert verdict.replaced_draws == passes
    if passes:
        shifted = draws == DRAWS  # one more, then
        assert verdict.draws == draws + shifted, "what is asked again is one draw still"
    assert not torch.equal(asked[place], asked[place + 1])
    assert asked[place].shape == asked[place + 1].shape


ROUNDED = """
import torch
from torch import nn

class Rounded(nn.Module):
    def forward(self, x):
        return (x * 40).to(torch.int32)

def get_inputs():
    return [torch.randn(COUNT)]
"""
ROUNDED_TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def rounded_kernel(x_ptr, out_ptr, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < COUNT)
    tl.store(out_ptr + offsets, (x * 40).to(tl.int32), mask=offsets < COUNT)

def launch_rounded(x, out):
    rounded_kernel[(1,)](x, out, COUNT=COUNT, BLOCK=2048)

class RoundedNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x, dtype=torch.int32)
        launch_rounded(x, out)
        return out
"""


@pytest.mark.parametrize(("count", "wrong", "passes"), [(40, 1, False), (2000, 9, False),
                                                        (2000, 1, True)])  # fmt: skip
def test_a_decision_turns_one_discrete_value_of_many_by_bad_luck(monkeypatch, count, wrong, passes):
    asked = []

    def unlucky(original, run, *args, **options):
        asked.append(run)
        if len(asked) == 1:
            run.leaves[0][:wrong] += 1
        return match(original, run, *args, **options)

    monkeypatch.setattr(trial, "match", unlucky)
    texts = [text.replace("COUNT)", f"{count})").replace("COUNT=COUNT", f"COUNT={count}")
             for text in (ROUNDED, ROUNDED_TRITON)]  # fmt: skip
    verdict = verify(*texts, "Rounded", targets=HOPPER, draws=1)
    assert verdict.verified == passes, verdict.reason
    assert verdict.kind == (None if passes else "wrong_discrete")
    assert len(asked) == (1 + trial.MORE_TURNS if passes else 1)


@pytest.mark.parametrize(("overflows", "passes"), [((1,), True), ((1, 6), False)])
def test_what_overflows_now_and_then_is_asked_often(monkeypatch, overflows, passes):
    asked = []

    def overflowing(original, run, *args, **options):
        asked.append(run)
        if len(asked) in overflows:
            run.leaves[0].reshape(-1)[3] = math.inf
        return match(original, run, *args, **options)

    monkeypatch.setattr(trial, "match", overflowing)
    verdict = verify(loss.PYTHON, loss.TRITON, "Loss", targets=HOPPER, draws=1)
    assert verdict.verified == passes, verdict.reason
    assert verdict.kind == (None if passes else "wrong_non_finite")
    assert len(asked) == (1 + trial.MORE_TURNS if passes else overflows[-1])


def test_shape_variants_are_compared():
    python = loss.PYTHON + (
        "\n\ndef get_shape_variants():\n"
        "    return [lambda: [torch.randn(3, 7), torch.randn(3, 7)]]\n"
    )
    verdict = verify(python, loss.TRITON, "Loss", targets=HOPPER, draws=1, variants=(0,))
    assert verdict.verified, verdict.reason
    assert verdict.input_shapes == (((16, 50), (16, 50)), ((3, 7), (3, 7)))


def test_failing_program_is_named():
    python = changed(
        loss.PYTHON, ("return (target", "raise ValueError('no')\n        return (target")
    )
    verdict = verify(python, loss.TRITON, "Loss", targets=HOPPER)
    assert verdict.kind == "program_error"
    assert "no" in (verdict.reason or "")


def test_nothing_machine_dependent_in_a_reason():
    verdict = of_loss(("return out", "raise ValueError(f'{object()} {__file__}')"))
    assert verdict.kind == "triton_error"
    assert "/" not in verdict.reason.replace("0x...", "")
    assert verdict == of_loss(("return out", "raise ValueError(f'{object()} {__file__}')"))


@pytest.mark.parametrize(
    "options",
    [{"targets": ()}, {"targets": HOPPER, "draws": 0}, {"targets": HOPPER, "dot_precision": "x"}],
)
def test_wrong_use_is_a_usage_error(options):
    with pytest.raises(UsageError):
        verify(loss.PYTHON, loss.TRITON, "Loss", **options)
