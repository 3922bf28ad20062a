"""Random pairs: right ones pass, and each way of drawing wrong numbers is found and named."""

import pytest

from builder.capture.capture import capture
from builder.capture.generic import capture_any_size
from builder.capture.targets import resolve_targets
from builder.programs.load import load_program
from builder.rewrite import triton_module
from builder.verify import Verdict, judge, prepare, verify
from tests.verify.data import dropout

HOPPER = resolve_targets(["cuda:90"])


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def of_drops(*pairs: tuple[str, str], **options) -> Verdict:
    return verify(
        dropout.PYTHON, changed(dropout.TRITON, *pairs), "Drops", targets=HOPPER, **options
    )


def test_a_right_module_passes():
    verdict = of_drops()
    assert verdict.verified, verdict.reason
    assert verdict.deterministic


def test_so_it_does_with_other_seeds():
    for seed in (1, 2**62):
        assert of_drops(seed=seed, draws=1).verified


FAULTS = {
    "no numbers at all": (("tl.rand(first, place) < 1.0 - 0.2", "place >= 0"),),
    "a constant mask": (("tl.rand(first, place) < 1.0 - 0.2", "place % 5 > 0"),),
    "a seed ignored": (("launch_drops(x, out, seeds[0]", "launch_drops(x, out, 12345"),),
    "all seeds ignored": (("random_seeds(seed, 2)", "random_seeds(7, 2)"),),
    "one seed for both": (("seeds[0], seeds[1])", "seeds[0], seeds[0])"),),
    "seeds exchanged": (("seeds[0], seeds[1])", "seeds[1], seeds[0])"),),
    "the seed itself": (("seeds[0], seeds[1])", "seed or torch.initial_seed(), seeds[1])"),),
    "the same places in each row": (("tl.rand(first, place)", "tl.rand(first, column)"),),
    "places shifted by one": (("tl.rand(first, place)", "tl.rand(first, place + 1)"),),
    "places in another order": (("tl.rand(first, place)", "tl.rand(first, column * 14 + row)"),),
    "kept and dropped exchanged": (("tl.rand(first, place) <", "tl.rand(first, place) >="),),
    "p for 1 - p": (("< 1.0 - 0.2", "< 0.2"),),
    "a probability slightly off": (("< 1.0 - 0.2", "< 1.0 - 0.21"),),
    "no scale": (("x * 1.25", "x"),),
    "the scale of 1 / p": (("x * 1.25", "x * 5.0"),),
    "the scale of the other dropout": (("x * 1.25", "x * (1.0 / 0.6)"),),
    "fewer rounds": (("tl.rand(first, place)", "tl.rand(first, place, 7)"),),
    "another of four words": (("tl.rand(first, place)", "tl.rand4x(first, place)[1]"),),
    "normal numbers": (("tl.rand(first, place)", "tl.randn(first, place)"),),
    "the second ignored": (("tl.rand(second, place) < 1.0 - 0.4", "place >= 0"),),
    "dropped elements keep a little": (("x * 1.25, 0.0", "x * 1.25, x * 1e-3"),),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault):
    assert of_drops(*FAULTS[fault]).kind == "wrong_values"


def test_forward_takes_the_seed_as_a_keyword():
    verdict = of_drops(("x, *, seed=None", "x"), ("(seed, 2)", "(None, 2)"))
    assert verdict.kind == "seed"
    assert "keyword seed=None" in verdict.reason


def test_the_keyword_is_obeyed():
    verdict = of_drops(("random_seeds(seed, 2)", "random_seeds(None, 2)"))
    assert verdict.kind == "seed"
    assert "generator" in verdict.reason


def test_torchs_generator_is_obeyed_where_no_seed_is_given():
    assert of_drops(("torch.initial_seed() if", "0 if")).kind == "wrong_values"


def test_host_code_draws_no_numbers():
    drawn = ("seeds = random_seeds(seed, 2)", "seeds = torch.randint(9, (2,)).tolist()")
    assert of_drops(drawn).kind == "static_torch_compute"


def test_numbers_that_differ_at_every_call_are_found():
    moving = ("state = torch.initial_seed()", "CALLS.append(1); state = len(CALLS)")
    verdict = of_drops(moving, ("class DropsNew", "CALLS = []\n\n\nclass DropsNew"))
    assert verdict.kind == "wrong_values"


def program(value: str, inputs: str = "torch.randn(6, 11, 40)") -> str:
    return f"""
import torch
import torch.nn.functional as F
from torch import nn

class Model(nn.Module):
    def forward(self, x):
        return {value}

def get_inputs():
    return [{inputs}]
"""


def verdict_of(value: str, *inputs: str) -> Verdict:
    """From a program to its verdict, by the whole way."""
    python_code = program(value, *inputs)
    loaded = load_program(python_code)
    captured = capture(loaded.make_module(), loaded.make_inputs(0), HOPPER[0])
    text = triton_module(python_code, "Model", captured).text
    return judge(prepare(python_code, "Model"), text, targets=())


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ("F.layer_norm(x + F.dropout(x, 0.1), (40,))", "torch.randn(6, 11, 40)"),
        ("F.dropout(x, 0.3)", "torch.randn(4, 16, 8).transpose(1, 2)"),
        ("F.dropout(x[:, ::2], 0.3).half()", "torch.randn(9, 66)"),
        ("F.dropout2d(x, 0.3)", "torch.randn(4, 8, 5, 7)"),
        ("F.feature_alpha_dropout(x, 0.2, True)", "torch.randn(8, 16, 9)"),
        ("x * torch.rand_like(x)", "torch.randn(5, 7, 9).half()"),
        ("x * torch.rand_like(x)", "torch.randn(2, 6, 8, 9).to(memory_format=torch.channels_last)"),
        ("x + torch.randn(6, 1, 40)", "torch.randn(6, 11, 40)"),
        ("x * torch.randint_like(x, 3, 17)", "torch.randn(6, 11, 40)"),
        ("torch.bernoulli(x.sigmoid())", "torch.randn(6, 11, 40)"),
        ("x + x.clone().exponential_(2.0)", "torch.randn(5, 7, 9).bfloat16()"),
        ("F.rrelu(x, training=True)", "torch.randn(6, 11, 40)"),
        ("F.gumbel_softmax(x, hard=True)", "torch.randn(6, 11, 40)"),
        ("torch.multinomial(x.softmax(-1), 1)", "torch.randn(9, 40)"),
        ("F.scaled_dot_product_attention(x, x, x, dropout_p=0.2)", "torch.randn(2, 3, 16, 32)"),
        ("torch.stack([F.dropout(x, 0.5) for _ in range(3)]).sum(0)", "torch.randn(6, 40)"),
    ],
)
def test_captured_programs_are_verified(value, inputs):
    verdict = verdict_of(value, inputs)
    assert verdict.agrees, verdict.reason


def test_what_no_result_shows_is_no_proof():
    verdict = verdict_of("x + torch.rand_like(x) * 1e-12")
    assert verdict.kind == "unseen_random"


def test_a_call_of_the_program_that_has_no_triton_is_named():
    verdict = verify(
        program("torch.poisson(x.abs())"),
        changed(dropout.TRITON, ("DropsNew", "ModelNew")),
        "Model",
        targets=HOPPER,
    )
    assert verdict.kind == "unknown_random"
    assert "aten.poisson" in verdict.reason


VARIED = """
import torch
import torch.nn.functional as F
from torch import nn

class Model(nn.Module):
    def forward(self, x):
        return F.layer_norm(x + F.dropout(x, 0.3), (40,)) * torch.randn_like(x)

def get_inputs():
    return [torch.randn(48, 40)]

def get_shape_variants():
    return [lambda rows=rows: [torch.randn(rows, 40)] for rows in (33, 5, 6)]
"""


def test_random_kernels_take_any_size():
    loaded = load_program(VARIED)
    sets = [loaded.make_inputs(0), *(loaded.make_inputs(0, n) for n in range(3))]
    captured = capture_any_size(loaded.make_module, sets, HOPPER[0])
    assert captured.sizes.free
    text = triton_module(VARIED, "Model", captured).text
    prepared = prepare(VARIED, "Model", variants=(0, 1, 2), draws=2)
    verdict = judge(prepared, text, targets=())
    assert verdict.agrees, verdict.reason
    wrong = judge(prepared, changed(text, ("tl.rand(seed", "tl.rand(seed_1")), targets=())
    assert wrong.kind == "wrong_values"


def test_random_training_pairs_are_verified():
    python_code = program("F.dropout(x, 0.2) * torch.rand_like(x)").replace(
        "torch.randn(6, 11, 40)", "torch.randn(6, 11, 40).requires_grad_()"
    )
    loaded = load_program(python_code)
    captured = capture(loaded.make_module(), loaded.make_inputs(0), HOPPER[0], differentiate=True)
    text = triton_module(python_code, "Model", captured).text
    prepared = prepare(python_code, "Model", mode="training", draws=2)
    verdict = judge(prepared, text, targets=())
    assert verdict.agrees, verdict.reason
    wrong = judge(prepared, changed(text, ("tl.rand(seed_1,", "tl.rand(seed,")), targets=())
    assert wrong.kind == "wrong_values"
