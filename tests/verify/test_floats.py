"""What a float that is nearly right is held to, and what excuses nothing."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builder.verify.compare import compare
from builder.verify.expected import Expected
from builder.verify.floats import ENOUGH, NEAR
from builder.verify.floors import History, Operation, floor
from builder.verify.noise import SHARP, shows_nothing, usable
from builder.verify.runner import Case, Plan, run_original

FLOAT = History(torch.float32, Operation.POINTWISE)
FLOOR = floor(FLOAT)


def expected(reference, eager=None, history=FLOAT):
    reference = torch.as_tensor(reference, dtype=torch.float64)
    eager = reference.float() if eager is None else torch.as_tensor(eager, dtype=torch.float32)
    return Expected(eager, reference, history)


def never():
    raise AssertionError("another run was asked for")
    yield


def beyond(factor):
    """One value whose error is ``factor`` floors: with a scale of an eighth, 9/8 of the gap."""
    return torch.tensor([1.0 + 9 / 8 * factor * FLOOR])


def test_a_second_sample_of_eagers_error_counts():
    good = expected([1.0])
    assert compare(beyond(3), good).kind == "wrong_values"
    rough = expected([1.0], [1.0 + 2 * FLOOR])
    outcome = compare(beyond(3), good, samples=[rough])
    assert outcome.kind is None
    assert outcome.tolerance > 3 * FLOOR
    smooth = expected([1.0], [1.0 + FLOOR / 4])
    assert compare(beyond(3), good, samples=[smooth]).kind == "wrong_values"


def test_each_sample_is_held_against_its_own_reference():
    good, moved = expected([1.0]), expected([2.0], [2.0])
    history = History(torch.float32, Operation.POINTWISE, decided=True)
    good = expected([1.0], history=history)
    assert compare(beyond(3), good, samples=[moved]).kind == "wrong_values"


def test_as_far_as_an_ulp_of_an_input_moves_the_reference():
    good = expected([1.0, 1.0, 1.0, 1.0])
    actual = torch.tensor([1.0, 1.0, 1.0, float(beyond(3))])
    moved = expected([1.0, 1.0, 1.0, 1.0 + FLOOR])
    hardly = expected([1.0, 1.0, 1.0, 1.0 + FLOOR / 2])
    elsewhere = expected([1.0 + FLOOR, 1.0, 1.0, 1.0])
    assert compare(actual, good, samples=[moved]).kind is None
    assert compare(actual, good, samples=[hardly]).kind == "wrong_values"
    assert compare(actual, good, samples=[elsewhere]).kind == "wrong_values"


@pytest.mark.parametrize("actual", [beyond(1.5 * NEAR), torch.tensor([math.nan])])
def test_what_is_far_off_asks_for_no_sample(actual):
    assert compare(actual, expected([1.0]), samples=never()).kind is not None


def test_what_is_right_asks_for_no_sample():
    assert compare(beyond(0.5), expected([1.0]), samples=never()).kind is None


def test_exact_operations_have_no_excuse():
    outcome = compare(beyond(3), expected([1.0], history=History()), samples=never())
    assert outcome.kind == "wrong_values"


def test_noise_found_by_a_sample_is_named():
    good, noisy = expected([1.0]), expected([1.0], [1.01])
    assert compare(beyond(3), good, samples=[noisy], noise=usable(FLOAT)).kind == "ill_conditioned"
    assert compare(beyond(3), good, samples=[noisy]).kind is None


def test_a_few_elements_that_eager_hits_by_luck_are_sampled_however_far_off():
    good, noisy = expected([1.0]), expected([1.0], [1.01])
    far, sharp = beyond(100 * NEAR), usable(FLOAT)
    assert compare(far, good, samples=[noisy], noise=sharp).kind == "ill_conditioned"
    assert compare(far, good, samples=[good], noise=sharp).kind == "wrong_values"
    exact = expected([1.0], history=History())
    assert compare(far, exact, samples=never(), noise=sharp).kind == "wrong_values"
    many = expected(torch.ones(10_000))
    assert compare(far.expand(10_000), many, samples=never(), noise=sharp).kind == "wrong_values"


def test_samples_widen_quantiles_too():
    count = 10_000
    good = expected(torch.ones(count))
    drifted = torch.ones(count) + 0.9 * FLOOR
    assert compare(drifted, good).kind == "wrong_values"  # the median is beyond its lower floor
    rough = expected(torch.ones(count), torch.ones(count) + 0.6 * FLOOR)
    assert compare(drifted, good, samples=[rough]).kind is None


def test_reshaped_inputs_must_show_more_than_plain_ones():
    dull = expected([1.0], [1.0 + 2 * SHARP[0]])
    assert shows_nothing(dull)
    assert not shows_nothing(dull, plain=True)
    assert not shows_nothing(Expected(dull.eager, dull.reference, History()))


def test_eager_that_is_finite_by_luck_shows_nothing():
    history = History(torch.float32, Operation.POINTWISE)
    reference = torch.ones(64, dtype=torch.float64)
    reference[5] = torch.nan
    assert shows_nothing(Expected(torch.ones(64), reference, history), plain=True)
    assert not shows_nothing(Expected(reference.float(), reference, history), plain=True)


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).bfloat16()
        self.linear = nn.Linear(6, 5).bfloat16()

    def forward(self, image, x):
        return self.conv(image), self.linear(x), torch.relu(x)


def test_running_statistics_are_updated_once_in_a_sample():
    module, x = nn.BatchNorm2d(3), torch.randn(2, 3, 5, 7)
    whole, parts = (
        run_original(Case(module, [x], 0), Plan(taken_apart=apart)) for apart in (False, True)
    )
    name = "buffer running_mean"
    torch.testing.assert_close(parts.run.held[name], 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(parts.run.held[name], whole.run.held[name])


def test_constants_divide_as_their_reciprocal_in_a_sample():
    class Sixths(nn.Module):
        def forward(self, x):
            return F.hardswish(x), x / 6, torch.div(x, 6, rounding_mode="floor")

    x = torch.randn(4000) * 1000
    whole, parts = (
        run_original(Case(Sixths(), [x], 0), Plan(taken_apart=apart)) for apart in (False, True)
    )
    sixth = 1.0 / 6
    assert torch.equal(parts.run.leaves[0], x * (x + 3).clamp(0, 6) * sixth)
    assert torch.equal(parts.run.leaves[1], x * sixth)
    assert not torch.equal(parts.run.leaves[1], whole.run.leaves[1])
    assert torch.equal(parts.run.leaves[2], whole.run.leaves[2])


def test_operations_taken_apart_round_in_between():
    torch.manual_seed(0)
    module = Layers()
    inputs = [torch.randn(2, 3, 8, 8).bfloat16(), torch.randn(40, 6).bfloat16()]
    whole, parts = (
        run_original(Case(module, inputs, 0), Plan(taken_apart=apart)) for apart in (False, True)
    )
    conv, linear = module.conv, module.linear
    with torch.no_grad():
        product = torch.conv2d(inputs[0], conv.weight) + conv.bias.view(-1, 1, 1)
        rows = inputs[1] @ linear.weight.t() + linear.bias
    assert torch.equal(parts.run.leaves[0], product)
    assert torch.equal(parts.run.leaves[1], rows)
    assert not torch.equal(parts.run.leaves[0], whole.run.leaves[0])
    assert torch.equal(parts.run.leaves[2], whole.run.leaves[2])
    for name in ("output 0", "output 1"):
        assert torch.equal(whole.expected[name].reference, parts.expected[name].reference)
        ours, theirs = (run.expected[name].eager_errors.worst for run in (parts, whole))
        assert theirs <= ours < 0.1


class Accumulate(nn.Module):
    def forward(self, rows, places):
        out = torch.zeros(3, rows.shape[1]).index_add(0, places, rows)
        columns = places.unsqueeze(1).expand(-1, rows.shape[1] // 2)
        return out, torch.zeros(3, rows.shape[1]).scatter_add_(0, columns, rows)


def test_what_is_added_up_at_an_index_is_added_in_another_order():
    rows = torch.randn(400, 10, generator=torch.Generator().manual_seed(1))
    rows += torch.tensor([1024.0, -1024.0]).repeat(200)[:, None]
    inputs = [rows, torch.arange(400) // 2 % 3]
    whole, parts = (
        run_original(Case(Accumulate(), inputs, 0), Plan(taken_apart=apart))
        for apart in (False, True)
    )
    for name in ("output 0", "output 1"):
        one, other = whole.expected[name], parts.expected[name]
        assert torch.equal(one.reference, other.reference)
        assert other.eager_errors.worst > 1.3 * one.eager_errors.worst > 0


class Resize(nn.Module):
    def forward(self, x):
        y = nn.functional.interpolate(x, scale_factor=3, mode="bicubic")
        return y, nn.functional.layer_norm(x, x.shape[-1:]), x.sort(-1)[1]


def test_decompositions_are_samples_of_the_same_function():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    whole, parts = (
        run_original(Case(Resize(), [x], 0), Plan(taken_apart=apart)) for apart in (False, True)
    )
    assert not torch.equal(parts.run.leaves[0], whole.run.leaves[0])
    for name in ("output 0", "output 1"):
        assert parts.expected[name].eager_errors.worst < 1e-3
    assert torch.equal(parts.run.leaves[2], whole.run.leaves[2])


def test_hardly_any_elements_of_many_are_sampled_however_far_off():
    count = 4096
    actual = torch.ones(count)
    actual[7] = float(beyond(100 * NEAR))
    good = expected(torch.ones(count))
    noisy = torch.ones(count)
    noisy[9] = actual[7]
    assert compare(actual, good, samples=[expected(torch.ones(count), noisy)]).kind is None
    assert compare(actual, good, samples=[good]).kind == "wrong_values"
    actual[:16] = actual[7]
    assert compare(actual, good, samples=never()).kind == "wrong_values"


def test_a_full_draw_is_replaced_where_eager_is_off_on_one_element():
    count = 4096
    eager = torch.ones(count)
    eager[3] = 1.01
    off = expected(torch.ones(count), eager)
    assert shows_nothing(off, sharp=True)
    assert not shows_nothing(off)
    eager[3] = 1.001
    assert not shows_nothing(expected(torch.ones(count), eager), sharp=True)


NARROW = History(torch.bfloat16, Operation.DOT)
DECIDED = History(torch.float32, Operation.POINTWISE, decided=True)
REPLACEABLE = usable(FLOAT)


def blurred(reference, eager):
    return Expected(torch.tensor(eager), torch.tensor(reference).double(), NARROW, is_blurred=True)


def test_very_few_elements_may_be_as_far_off_as_roundings_take_them():
    ones = torch.ones(4096)
    good = expected(ones, history=NARROW)
    actual = ones.clone()
    actual[5] = 1.07
    noisy = ones.clone()
    noisy[5] = 0.99
    samples = [blurred(ones.tolist(), noisy.tolist())]
    assert compare(actual, good, samples=[good]).kind == "wrong_values"
    assert compare(actual, good, samples=samples).kind is None
    actual[5] = 1.09
    assert compare(actual, good, samples=samples).kind == "wrong_values"
    actual[5:14] = 1.03
    assert compare(actual, good, samples=samples).kind == "wrong_values"


def test_one_of_few_elements_may_be_as_far_off_as_roundings_take_it():
    for count, kind in ((64, None), (63, "wrong_values")):
        ones = torch.ones(count)
        actual, noisy = ones.clone(), ones.clone()
        actual[5], noisy[5] = 1.03, 0.99
        samples = [blurred(ones.tolist(), noisy.tolist())]
        assert compare(actual, expected(ones, history=NARROW), samples=samples).kind == kind
        actual[6], samples[0].eager[6] = 1.03, 0.99
        assert compare(actual, expected(ones, history=NARROW), samples=samples).kind is not None


def test_a_draw_whose_decisions_hang_on_rounding_is_replaced():
    good = expected([1.0, 5.0, 7.0, 7.0], history=DECIDED)
    other = expected([2.0, 5.0, 7.0, 7.0], history=DECIDED)
    between = torch.tensor([1.5, 5.0, 7.0, 7.0])
    assert compare(between, good, [other], noise=REPLACEABLE).kind == "ill_conditioned"
    assert compare(between, good, [other]).kind == "wrong_values"
    elsewhere = torch.tensor([1.0, 5.5, 7.0, 7.0])
    assert compare(elsewhere, good, [other], noise=REPLACEABLE).kind == "wrong_values"
    both = torch.tensor([1.5, 5.5, 7.5, 7.0])
    assert compare(both, good, [other], noise=REPLACEABLE).kind == "wrong_values"


def test_few_values_behind_coupled_decisions_may_be_as_far_off_as_answers():
    values = torch.ones(256)
    moved = values.clone()
    moved[3] = 1.5
    actual = values.clone()
    actual[3] = 1.25
    good, other = expected(values, history=DECIDED), expected(moved, history=DECIDED)
    assert compare(actual, good, [other]).kind is None
    actual[4] = 1.25
    assert compare(actual, good, [other]).kind == "wrong_values"


def test_discrete_values_that_differ_from_answer_to_answer_show_nothing():
    history = History(decided=True)

    def answer(values):
        values = torch.tensor(values)
        return Expected(values, values, history)

    actual = torch.tensor([3, 5])
    others = [answer([2, 5])]
    outcome = compare(actual, answer([1, 5]), others, noise=REPLACEABLE)
    assert outcome.kind == "ill_conditioned"
    assert compare(actual, answer([1, 5]), others).kind == "wrong_discrete"
    actual = torch.tensor([3, 6])
    outcome = compare(actual, answer([1, 5]), others, noise=REPLACEABLE)
    assert outcome.kind == "wrong_discrete"


def test_a_tail_is_no_longer_than_eagers():
    reference = torch.ones(8192)
    eager = reference.clone()
    eager[:3] = 1.5
    good = expected(reference, eager)
    actual = reference.clone()
    actual[100:103] = 1.4
    assert compare(actual, good, samples=[good]).kind is None
    actual[103] = 1.4
    assert compare(actual, good, samples=[good]).kind == "wrong_values"
    actual[103], actual[100] = 1.0, 1.9
    assert compare(actual, good, samples=[good]).kind is None
    actual[100] = 2.2
    assert compare(actual, good, samples=[good]).kind == "wrong_values"


def test_behind_a_type_of_8_bits_few_elements_fall_the_other_way():
    reference = torch.linspace(1.0, 2.0, 4096, dtype=torch.float64)
    flipped = reference.float()
    flipped[::1000] *= 1.0625
    shifted = reference.float() * 1.0005
    for beside, all_shift in ((torch.float32, "wrong_values"), (torch.bfloat16, None)):
        history = History(torch.float8_e4m3fn, Operation.POINTWISE, beside=beside)
        assert compare(flipped, expected(reference, history=history)).kind is None
        assert compare(shifted, expected(reference, history=history)).kind == all_shift


def test_what_is_computed_beside_a_type_of_8_bits_is_known():
    class Quantised(nn.Module):
        def forward(self, x):
            return x.mul(1.7).to(torch.float8_e4m3fn).float() * 0.3

    for dtype in (torch.float32, torch.bfloat16):
        case = Case(Quantised(), [torch.randn(64, 64, dtype=dtype)], 0)
        history = run_original(case, Plan()).expected["output 0"].history
        assert history.rounding == torch.float8_e4m3fn
        assert history.beside == dtype


def test_what_is_hardly_beyond_amplified_rounding_shows_nothing_of_a_draw_that_can_be_replaced():
    reference = torch.ones(64, dtype=torch.float64)
    amplified = expected(reference, reference + 40 * FLOOR)
    noise = usable(FLOAT)

    def kind(away, **options):
        actual = (reference + away * FLOOR).float()
        return compare(actual, amplified, samples=[amplified], **options).kind

    assert kind(120, noise=noise) == "ill_conditioned"
    assert kind(120) == "wrong_values"
    assert kind(200, noise=noise) == "wrong_values"
    sharp = expected(reference, reference + 2 * FLOOR)
    actual = (reference + 6 * FLOOR).float()
    assert compare(actual, sharp, samples=[sharp], noise=noise).kind == "wrong_values"


def test_a_draw_whose_result_is_nothing_is_replaced():
    nothing = expected(torch.zeros(40))
    assert shows_nothing(nothing)
    assert not shows_nothing(nothing, plain=True)
    assert not shows_nothing(expected(torch.ones(40)))


@pytest.mark.parametrize(
    ("elements", "runs", "passes"), [(1, ENOUGH - 1, True), (1, ENOUGH - 2, False), (64, 20, False)]
)
def test_of_few_elements_the_largest_error_of_eager_may_be_small_by_luck(elements, runs, passes):
    rough = expected([1.0] * elements, [1.0 + 9 / 8 * FLOOR] * elements)
    actual = torch.ones(elements)
    actual[0] = float(beyond(5))
    found = compare(actual, rough, samples=[rough] * runs)
    assert (found.kind is None) is passes
    actual[0] = float(beyond(7))
    assert compare(actual, rough, samples=[rough] * runs).kind == "wrong_values"
