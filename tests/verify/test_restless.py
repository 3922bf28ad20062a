"""Results behind more decisions than answers can name, and those behind few."""

import textwrap

import pytest
import torch

from builder.verify import judge, prepare
from builder.verify.restless import are_restless, unnamed


def allowed(tensor):
    return torch.full_like(tensor, 0.01)


def test_wrong_elements_are_restless_if_half_of_them_shift():
    wrong = torch.tensor([True, True, True, False])
    bound = torch.full((4,), 0.01)
    assert are_restless(wrong, torch.tensor([1.0, float("nan"), 0.0, 0.0]), bound)
    assert not are_restless(wrong, torch.tensor([1.0, 0.0, 0.0, 1.0]), bound)
    assert not are_restless(torch.zeros(4, dtype=torch.bool), torch.ones(4), bound)


def test_few_decisions_are_named_by_other_answers():
    one, other = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 5.0, 1.0])
    assert unnamed([one, one, other, one, other, other], allowed) == 0
    assert unnamed([one, one, one, one, other, other + 7, one, one, one, one], allowed) == 0


@pytest.mark.parametrize("own", [True, False])
def test_answers_that_all_differ_name_nothing(own):
    alike = [torch.zeros(3)] * 5
    different = [torch.tensor([0.0, float(place), 1.0]) for place in range(1, 6)]
    answers = different + alike if own else alike + different
    assert unnamed(answers, allowed) == 1


PROGRAM = """
    import torch

    class TopK(torch.nn.Module):
        def forward(self, x):
            x = x.float() / 1.2
            threshold = torch.sort(x, descending=True)[0][:, 7:8]
            return x.masked_fill(x < threshold, float("-inf")).softmax(-1)

    def get_inputs():
        return [3 * torch.randn(2, 256, dtype=torch.float16)]
"""
TRITON = """
    import torch
    import triton
    import triton.language as tl
    from torch import nn

    @triton.jit
    def kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
        row, col = tl.program_id(0), tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * BLOCK + col).to(tl.float32) * 0.8333333333333334
        rank = tl.sum((x[None, :] > x[:, None]).to(tl.int32), 1)
        kept = tl.where(rank < 8, x, float("-inf"))
        powers = tl.exp(kept - tl.max(kept, 0))
        total = SUM
        tl.store(out_ptr + row * BLOCK + col, powers / total)

    def launch(x, out):
        grid = (2,)
        kernel[grid](x, out, BLOCK=256)

    class TopKNew(nn.Module):
        def forward(self, x):
            out = torch.empty(2, 256, device=x.device)
            launch(x, out)
            return out
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_what_a_threshold_decides_excuses_no_other_error(seed):
    """Whether the eighth value is kept hangs on rounding, and shifts all that are kept."""
    prepared = prepare(textwrap.dedent(PROGRAM), "TopK", draws=6, seed=seed)
    right, narrow = (
        textwrap.dedent(TRITON).replace("SUM", text)
        for text in ("tl.sum(powers, 0)", "tl.sum(powers, 0).to(tl.bfloat16).to(tl.float32)")
    )
    assert judge(prepared, right, targets=()).agrees
    verdict = judge(prepared, narrow, targets=())
    assert verdict.kind == "wrong_values", verdict.reason
