"""Pairs for any size: what is made of programs, and faults planted in what was made."""

import re

import pytest
import torch

from builder.capture.targets import TARGETS
from builder.capture.variants import DEFAULT
from builder.errors import RewriteRejected
from builder.pipeline.making import Maker
from builder.programs.load import load_program
from builder.rewrite import Style
from builder.verify import verify

H100 = TARGETS["cuda:90"]

BLEND = """
import torch
from torch import nn


class Blend(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, 37))

    def forward(self, x, y):
        scores = torch.softmax(x @ self.weight, dim=1) + y
        return scores, scores.sum(1)


def make_inputs(batch, seq):
    return [torch.randn(batch, seq, 48), torch.randn(batch, seq, 37)]


def get_inputs():
    return make_inputs(4, 70)


def get_shape_variants():
    return [lambda: make_inputs(2, 33), lambda: make_inputs(3, 5), lambda: make_inputs(5, 64)]
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(python_code, **options):
    return Maker(load_program(python_code), H100, 0, **options)(DEFAULT)


@pytest.fixture(scope="module")
def blend():
    captured, triton = made(BLEND)
    assert captured.static_reason is None
    return triton.text


def verdict_of(text, python_code=BLEND, name="Blend"):
    return verify(python_code, text, name, targets=[H100], draws=1, generic=True)


FIRST_ROWS = BLEND.replace(
    "scores = torch.softmax(x @ self.weight, dim=1) + y",
    "scores = sum(torch.unbind(x[:, :3], 1)) @ self.weight + y.mean()",
)


def test_of_the_first_rows_of_any_number_each_has_a_dimension_fewer():
    """Their number is an expression to the compiler."""
    captured, triton = made(FIRST_ROWS)
    assert captured.static_reason is None
    verdict = verdict_of(triton.text, FIRST_ROWS)
    assert verdict.verified, verdict
    assert verdict.shape_generic


def test_a_program_with_variants_becomes_a_pair_for_any_size(blend):
    verdict = verdict_of(blend)
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic
    assert ((1, 1, 48), (1, 1, 37)) in verdict.input_shapes
    assert max(shapes[0][1] for shapes in verdict.input_shapes) == 129
    # What eager broadcasts, these kernels do not.
    assert all(x[:2] != y[:2] for x, y in verdict.refused_shapes)
    assert ((2, 33, 48), (2, 1, 37)) in verdict.refused_shapes


def replaced(text, pattern, by, count=0):
    changed = re.sub(pattern, by, text, count=count)
    assert changed != text, pattern
    return changed


FAULTS = {
    "a size in a launch": (r"(?s)(.*launch_\w+\(.*?)seq", r"\g<1>70"),
    "a size in a kernel": (r"(?s)(.*)tl\.range\(0, num_cols,", r"\g<1>tl.range(0, 70,"),
    "a stride in a kernel": (r"INNER_SIZE \* seq", "INNER_SIZE * 70"),
    "a mask": (r"row_mask = row < num_rows", "row_mask = row < num_rows + BLOCK_ROWS"),
    "a mask of the reduction": (r"col_mask = col < num_cols", "col_mask = col < num_cols + 7"),
    "a grid": (r"triton\.cdiv\(num_rows, BLOCK_ROWS\)", "num_rows // BLOCK_ROWS"),
    "a check of sizes": (r'(?m)^ +check_tensor\("y".*\n', ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(blend, fault):
    verdict = verdict_of(replaced(blend, *FAULTS[fault], count=1))
    assert not verdict.verified


DIAGONAL = """
import torch
from torch import nn


class Diagonal(nn.Module):
    def forward(self, x, y):
        return (torch.tanh(x) @ y.t()).diagonal().exp()


def make_inputs(n, m):
    return [torch.randn(n, 8), torch.randn(m, 8)]


def get_inputs():
    return make_inputs(12, 20)


def get_shape_variants():
    return [lambda: make_inputs(6, 9), lambda: make_inputs(3, 5), lambda: make_inputs(10, 17)]
"""


def test_a_guard_that_tracing_recorded_is_needed():
    captured, triton = made(DIAGONAL)
    assert "_size_0 <= _size_1" in captured.sizes.guards
    verdict = verdict_of(triton.text, DIAGONAL, "Diagonal")
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic
    assert verdict.refused_shapes
    dropped = replaced(triton.text, r"(?m)^( +if not .*)n <= m(.*)$", r"\1True\2")
    assert not verdict_of(dropped, DIAGONAL, "Diagonal").verified


def reason(python_code, **options):
    captured, triton = made(python_code, **options)
    assert not captured.sizes.free
    assert "get_shape_variants" not in triton.text
    return captured.static_reason


def test_what_cannot_be_had_for_any_size_is_made_for_one_and_says_why():
    branching = BLEND.replace(
        "scores = ", "y = y * 2 if x.shape[1] == 70 else y\n        scores = "
    )
    assert reason(branching).startswith("fixed_size: ")
    assert "x.shape[1] == 70" in reason(branching)
    assert reason(BLEND, any_size=False) is None
    assert reason(BLEND[: BLEND.index("def get_shape_variants")]) is None


def test_random_numbers_are_had_for_any_size():
    noisy = BLEND.replace("+ y", "+ y * torch.rand_like(y)")
    captured, triton = made(noisy)
    assert captured.stochastic
    assert captured.sizes.free
    verdict = verdict_of(triton.text, noisy, "Blend")
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic


def test_a_compact_module_has_the_same_kernels_without_their_prose():
    texts = {style: made(BLEND, style=style)[1].text for style in (Style.READABLE, Style.COMPACT)}
    assert "PyTorch::" in texts[Style.READABLE]
    assert "PyTorch::" not in texts[Style.COMPACT]
    assert len(texts[Style.COMPACT]) < len(texts[Style.READABLE])
    verdict = verdict_of(texts[Style.COMPACT], BLEND, "Blend")
    assert verdict.verified, verdict.reason


def test_a_module_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr("builder.pipeline.making.MOST_TOKENS", 300)
    with pytest.raises(RewriteRejected) as caught:
        made(BLEND)
    assert caught.value.kind == "too_long"
