"""What is less exact than eager on many input sets is refused, though each alone would pass."""

import pytest
import torch

from builder.errors import VerificationRejected
from builder.verify import judge, prepare
from builder.verify.compare import compare
from builder.verify.exactness import Exactness
from builder.verify.expected import Expected, Outcome
from builder.verify.floats import TELLING
from builder.verify.floors import History, Operation

PROGRAM = """
import torch
from torch import nn

class Centre(nn.Module):
    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)).tanh()

def get_inputs():
    return [torch.randn(1024, 128, dtype=torch.bfloat16)]
"""
TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def centre_kernel(x_ptr, out_ptr, COLS: tl.constexpr):
    offsets = tl.program_id(0) * COLS + tl.arange(0, COLS)
    x = tl.load(x_ptr + offsets).to(tl.float32)
    centred = x - tl.sum(x, 0) / COLS
    tl.store(out_ptr + offsets, 2 / (1 + tl.exp(-2 * centred)) - 1)

def launch_centre(x, out):
    centre_kernel[(x.shape[0],)](x, out, COLS=128)

class CentreNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        launch_centre(x, out)
        return out
"""
NARROW_SUM = TRITON.replace(
    "tl.sum(x, 0)", "tl.sum(x.to(tl.bfloat16), 0, dtype=tl.bfloat16).to(tl.float32)"
)


def compared(**figures):
    return Outcome(None, "", 0.0, 0.0, 0.0, **figures)


def counted(*sets):
    exactness = Exactness()
    for beyond in sets:
        for name, is_beyond in beyond.items():
            exactness.note(name, compared(is_beyond=is_beyond))
    return exactness


def weighed(*ratios, figure="ratio"):
    exactness = Exactness()
    for ratio in ratios:
        exactness.note("output 0", compared(**{figure: ratio}))
        exactness.note("output 1", compared(**{figure: 1.0}))
    return exactness


def test_one_input_set_is_luck():
    counted({"output 0": True}, {"output 0": False}).check()
    counted({"output 0": True}, {"output 1": True}, *[{"output 0": False}] * 8).check()
    with pytest.raises(VerificationRejected, match=r"output 0: on 2 of 10 input sets") as caught:
        counted(*[{"output 0": True}] * 2, *[{"output 0": False}] * 8).check()
    assert caught.value.kind == "wrong_values"


def test_errors_are_weighed_over_all_input_sets():
    weighed(1.0, 1.0, 1.2, 30.0).check()
    weighed(0.1, 0.1, 1.4, 1.6, 1.9, 30.0).check()
    weighed(*[1.45] * 9).check()
    with pytest.raises(VerificationRejected, match=r"output 0: on 2 of 5 .* more than 2 times"):
        weighed(1.0, 0.5, 30.0, 2.1, 1.0).check()
    with pytest.raises(VerificationRejected, match=r"output 0: on 4 of 5 .* than 1.5 times"):
        weighed(1.0, 1.6, 1.6, 1.6, 1.9).check()


def test_errors_of_few_elements_are_weighed_by_their_median():
    weighed(1.0, 1.2, 30.0, 30.0, 1.9, figure="rough_ratio").check()
    weighed(30.0, 30.0, figure="rough_ratio").check()
    exactness = weighed(1.0, 2.1, 30.0, figure="rough_ratio")
    with pytest.raises(VerificationRejected, match=r"output 0: on half of 3 .* than 2.1 times"):
        exactness.check()
    exactness.times = 2
    exactness.check()


@pytest.mark.parametrize(("unlucky", "agrees"), [(1, True), (2, True), (3, False)])
def test_what_is_less_exact_is_asked_twice_more(monkeypatch, unlucky, agrees):
    noted = []

    def check(exactness):
        noted.append(list(exactness.ratios["output 0"]))
        if len(noted) <= unlucky:
            raise VerificationRejected("wrong_values", "bad luck")

    monkeypatch.setattr(Exactness, "check", check)
    found = judge(prepare(PROGRAM, "Centre", draws=6), TRITON, targets=())
    assert found.agrees is agrees
    assert found.draws == 7
    first = noted[0]
    assert len(first) == 6  # what tells apart what adds up says nothing here
    assert [len(ratios) for ratios in noted] == [6, 12, 18][: unlucky + 1]
    assert noted[-1][:6] == first
    assert len(set(noted[-1])) == len(noted[-1])  # other numbers


def test_it_takes_twice_as_many_input_sets_of_two_askings():
    for more, passes in ((1, True), (2, False)):
        exactness = counted(*[{"output 0": True}] * 2, *[{"output 0": False}] * 8)
        exactness.times = 2
        for _ in range(more):
            exactness.note("output 0", compared(is_beyond=True))
        if passes:
            exactness.check()
        else:
            with pytest.raises(VerificationRejected, match="on 4 of 12 input sets"):
                exactness.check()


SIZES = PROGRAM.replace("(x - x.mean(-1, keepdim=True)).tanh()", "(x * 1.5).abs().float().mean(-1)")
MEAN = (
    TRITON.replace(
        "tl.store(out_ptr + offsets, 2 / (1 + tl.exp(-2 * centred)) - 1)",
        "tl.store(out_ptr + tl.program_id(0), mean)",
    )
    .replace(
        "centred = x - tl.sum(x, 0) / COLS",
        "mean = tl.sum(tl.abs((x * 1.5).to(tl.bfloat16).to(tl.float32)), 0) / COLS",
    )
    .replace("torch.empty_like(x)", "torch.empty(1024, dtype=torch.float32, device=x.device)")
)


def test_a_result_rounded_on_its_way_to_float32_is_wrong():
    """Below the floor of a program that rounds to bfloat16 elsewhere."""
    prepared = prepare(SIZES, "Centre", draws=6)
    assert judge(prepared, MEAN, targets=()).agrees
    rounded = MEAN.replace(", mean)", ", mean.to(tl.bfloat16).to(tl.float32))")
    found = judge(prepared, rounded, targets=())
    assert found.kind == "wrong_values"
    assert "are numbers of torch.bfloat16" in found.reason


def test_a_sum_kept_in_bfloat16_is_wrong():
    prepared = prepare(PROGRAM, "Centre", draws=6)
    assert judge(prepared, TRITON, targets=()).agrees
    found = judge(prepared, NARROW_SUM, targets=())
    assert found.kind == "wrong_values"
    assert "of 16 input sets" in found.reason


@pytest.mark.parametrize(
    ("size", "decided", "beyond"),
    [(TELLING, False, True), (TELLING - 1, False, None), (TELLING, True, None)],
)
def test_what_says_little_is_not_counted(size, decided, beyond):
    reference = torch.linspace(1, 2, size, dtype=torch.float64)
    eager = reference.float()
    history = History(torch.float32, Operation.REDUCTION, decided=decided, is_rounded=True)
    ours = eager * (1 + 2.0**-16)
    outcome = compare(ours, Expected(eager, reference, history))
    assert outcome.is_beyond is beyond


def test_what_another_answer_explains_is_no_error():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(4096, generator=generator, dtype=torch.float64)
    eager = reference.float()
    history = History(torch.float32, Operation.POINTWISE, decided=True)
    flipped = reference.clone()
    flipped[7] += 1.0
    answer = Expected(flipped.float(), flipped, history)
    expected = Expected(eager, reference, history)
    outcome = compare(flipped.float(), expected, [answer])
    assert outcome.kind is None
    assert outcome.ratio < 1.0
    coarse = (reference * (1 + 2.0**-19)).float()
    assert compare(coarse, expected, [answer]).ratio > 3.0


def test_a_worst_element_does_not_count_where_all_in_all_the_module_is_nearer():
    for ratio, passes in ((0.9, True), (1.1, False)):
        exactness = Exactness()
        for _ in range(8):
            exactness.note("output 0", compared(is_beyond=True, ratio=ratio))
        if passes:
            exactness.check()
        else:
            with pytest.raises(VerificationRejected, match="on 8 of 8 input sets"):
                exactness.check()


def test_where_rounding_is_amplified_the_worst_elements_tell_nothing():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(4096, generator=generator, dtype=torch.float64)
    history = History(torch.float32, Operation.POINTWISE)

    def compared(few, exponent, most=1.0):
        """Of a module ``few`` times as far off as eager on a tenth, ``most`` times on the rest."""
        eager = (reference * (1 + 2.0**exponent)).float()
        factors = torch.full((4096,), most, dtype=torch.float64)
        factors[::10] = few
        ours = (reference * (1 + factors * 2.0**exponent)).float()
        return compare(ours, Expected(eager, reference, history))

    plain = compared(1.9, -20)
    assert plain.is_beyond is False
    assert plain.ratio > 1.1
    amplified = compared(1.9, -14)
    assert amplified.is_beyond is None
    assert amplified.ratio < 1.1
    assert compared(1.9, -14, most=1.9).ratio > 1.8
    assert compared(0.5, -14, most=1.9).ratio < 1.9


@pytest.mark.parametrize("operation", [Operation.DOT, Operation.REDUCTION])
def test_how_exact_a_product_of_rounded_operands_is_counts_beside_eager_without_casts(operation):
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(4096, generator=generator, dtype=torch.float64)
    history = History(torch.bfloat16, operation)
    expected = Expected(reference.bfloat16(), reference, history)
    uncast = Expected((reference * (1 + 2.0**-5)).bfloat16(), reference, history, as_written=False)
    ours = (reference * (1 + 2.0**-6)).bfloat16()
    outcome = compare(ours, expected, samples=[uncast, uncast])
    assert outcome.kind == "wrong_values"  # by far; what is asked is how exact it is
    is_product = operation is Operation.DOT
    assert (outcome.ratio < 1.0) is is_product
    assert outcome.is_beyond is not is_product
    near = (reference * (1 + 2.0**-9)).bfloat16()
    assert (compare(near, expected).ratio is None) is is_product


@pytest.mark.parametrize(("exponent", "is_less_exact"), [(-10, False), (-20, True)])
def test_a_right_product_is_held_to_eager_without_casts(exponent, is_less_exact):
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(4096, generator=generator, dtype=torch.float64)
    history = History(torch.bfloat16, Operation.DOT)
    expected = Expected(reference.float(), reference, history)
    ours = (reference * (1 + 2.0**-12)).float()
    assert compare(ours, expected).ratio is None
    moved = (reference * (1 + 2.0**exponent)).float()
    uncast = Expected(moved, reference, history, as_written=False)
    outcome = compare(ours, expected, samples=[uncast])
    assert outcome.kind is None
    assert (outcome.ratio > 1.5) is is_less_exact
    assert compare((reference * (1 + 2.0**-25)).float(), expected, samples=[uncast]).ratio < 1.5


def test_what_another_answer_explains_is_none_of_a_product_either():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(4096, generator=generator, dtype=torch.float64)
    history = History(torch.bfloat16, Operation.DOT, decided=True)
    flipped = reference.clone()
    flipped[7] += 1.0
    expected = Expected(reference.float(), reference, history)
    uncast = Expected(reference.float(), reference, history, as_written=False)
    answer = Expected(flipped.float(), flipped, history)
    ours = (flipped * (1 + 2.0**-12)).float()
    moved = Expected((reference * (1 + 2.0**-12)).float(), reference, history, as_written=False)
    for heard, is_less_exact in ((uncast, True), (moved, False)):
        outcome = compare(ours, expected, [answer], samples=[heard])
        assert outcome.kind is None
        assert (outcome.ratio > 1.5) is is_less_exact


@pytest.mark.parametrize(("size", "is_few"), [(10, True), (63, True), (64, False)])
def test_few_elements_are_held_to_what_rounding_takes(size, is_few):
    """Eager is exact there; that says nothing of how exact it mostly is."""
    reference = torch.ones(size, dtype=torch.float64)
    history = History(torch.float16, Operation.REDUCTION)
    ours = reference.half() + 2.0**-10
    outcome = compare(ours, Expected(reference.half(), reference, history))
    assert outcome.error > 0.0
    if is_few:
        assert outcome.rough_ratio == pytest.approx(outcome.error / 2.0**-11)
        assert outcome.ratio is None
    else:
        assert outcome.rough_ratio is None
        assert outcome.ratio == pytest.approx(outcome.error / 2.0**-13)  # one in 64 near a tie


@pytest.mark.parametrize(
    ("dtype", "count", "least"),
    [
        (torch.float16, 64, 2.0**-13),
        (torch.float16, 1 << 20, 2.0**-16),  # one in 4096 near a tie
        (torch.bfloat16, 1 << 20, 2.0**-14.5),
        (torch.float32, 64, 2.0**-21),  # and they may hang together
        (torch.float32, 1 << 20, 2.0**-22),
    ],
)
def test_what_lies_near_a_tie_may_be_rounded_to_either_side(dtype, count, least):
    """Eager may round all of it right by luck."""
    reference = torch.ones(count, dtype=torch.float64)
    history = History(dtype, Operation.REDUCTION)
    ours = reference.to(dtype)
    ours[0] += torch.finfo(dtype).eps
    outcome = compare(ours, Expected(reference.to(dtype), reference, history))
    one = outcome.error / count**0.5
    assert outcome.ratio == pytest.approx(one / least)
    assert outcome.ratio <= 1.0


def test_what_is_wrong_and_asked_again_counts_each_time(monkeypatch):
    noted = []
    monkeypatch.setattr(Exactness, "note", lambda _, name, outcome: noted.append(outcome.kind))
    text = TRITON.replace("- 1)", "- 1.25)")
    assert judge(prepare(PROGRAM, "Centre", draws=2), text, targets=()).kind == "wrong_values"
    assert noted == ["wrong_values"] * 2


@pytest.mark.parametrize(
    ("size", "dtype", "share"),
    [(64, torch.float32, 0.5), (1023, torch.float32, 0.5), (1024, torch.float32, 1.0),
     (64, torch.float16, 1.0)],
)  # fmt: skip
def test_errors_of_some_elements_may_hang_together(size, dtype, share):
    reference = torch.linspace(1, 2, size, dtype=torch.float64)
    eager = (reference * (1 + 2.0**-9)).to(dtype)
    ours = (reference * (1 + 3 * 2.0**-9)).to(dtype)
    outcome = compare(ours, Expected(eager, reference, History(dtype, Operation.REDUCTION)))
    assert outcome.ratio == pytest.approx(3 * share, rel=0.1)
