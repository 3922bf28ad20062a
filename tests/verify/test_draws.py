"""Input sets stay in the program's domain and are functions of their seed."""

from pathlib import Path

import pytest
import torch
from torch import nn

from builder.config import DRAWS, BuildConfig
from builder.verify.distributions import PAIR, Strength
from builder.verify.domain import domains
from builder.verify.draws import (
    DISTRIBUTIONS,
    derived_seed,
    distribution_of,
    has_gentle,
    reshape_inputs,
)
from builder.verify.perturb import perturb
from builder.verify.rows import CANCELLING
from builder.verify.state import reshape_state
from tests.verify.drawing import drawn

RESHAPED = [name for name in DISTRIBUTIONS if name != "plain"]


@pytest.mark.parametrize("distribution", RESHAPED)
def test_floating_inputs_change(distribution):
    (x,), (plain,) = drawn(lambda: [torch.randn(8, 9)], distribution)
    assert not torch.equal(x, plain)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("distribution", RESHAPED)
def test_domain_is_kept(distribution):
    def make():
        return [torch.rand(40), -torch.rand(40), torch.rand(40) + 1, torch.rand(40) * 2 - 1]

    (unit, negative, positive, signed), _ = drawn(make, distribution)
    assert unit.min() >= 0
    assert unit.max() <= 1
    assert negative.max() <= 0
    assert positive.min() > 0
    assert signed.abs().max() <= 1


@pytest.mark.parametrize("distribution", RESHAPED)
def test_what_is_no_free_float_is_left_alone(distribution):
    def make():
        return [
            torch.randint(0, 5, (20,)),
            torch.randint(1, 3, (20,)),
            torch.arange(20.0),
            torch.arange(20) > 5,
            torch.ones(20),
            torch.randn(1, 5).expand(4, 5),
            3.5,
        ]

    inputs, plain = drawn(make, distribution)
    for ours, theirs in zip(inputs, plain, strict=True):
        if isinstance(ours, torch.Tensor):
            assert torch.equal(ours, theirs)
        else:
            assert ours == theirs


def test_tied_inputs_have_ties_and_zeros():
    (x,), _ = drawn(lambda: [torch.randn(400)], "tied")
    assert (x == 0).float().mean() > 0.3
    assert x.unique().numel() < 25


def factors(make, sizes=8):
    (x,), (plain,) = drawn(make, "mixed")
    return (x.double() / plain.double()).reshape(plain.shape[0], -1)[:sizes, 0].tolist()


def test_mixed_inputs_have_slices_of_every_size():
    wide = factors(lambda: [torch.randn(8, 9).bfloat16()])
    assert wide == pytest.approx([1, 32, 2**-10, 2**-16, 1, 32, 2**-10, 2**-20], rel=2**-8)
    many = factors(lambda: [torch.randn(40, 9)], 40)
    assert min(many) == pytest.approx(2**-48)
    half = factors(lambda: [torch.randn(8, 9).half()])
    assert min(half) >= 2**-11
    inputs, plain = drawn(lambda: [torch.randn(40, 3), torch.rand(40, 3)], "mixed")
    assert (inputs[0].abs() < 2**-20).any()
    assert torch.equal(inputs[1], plain[1])
    (narrow,), (plain,) = drawn(lambda: [torch.randn(2, 3)], "mixed")
    assert (narrow / plain)[0].tolist() == pytest.approx([1, 32, 2**-10])


def test_large_inputs_have_slices_on_either_side():
    def make():
        return [torch.randn(6, 50), torch.randn(6, 50), (torch.rand(6, 50) > 0.5).float()]

    (first, second, two), (plain, _, two_before) = drawn(make, "large")
    assert torch.equal(first[0, 1:], plain[0, 1:] * 32)
    assert first[0, 0] == 2**17  # which float16 does not hold
    (narrow,), _ = drawn(lambda: [torch.randn(6, 50).half()], "large")
    assert narrow[0, 0] > 2 * narrow[1:].abs().max()
    assert first[1].max() < -104  # below which exp underflows
    assert first[2].min() > 104
    assert (second[1].min() > 104, second[2].max() < -104) == (True, True)
    assert (first[4].min() > 104, second[4].min() > 104) == (True, True)
    assert (first[5].max() < -104, second[5].max() < -104) == (True, True)
    assert torch.equal(two[0], two_before[0])
    assert (two[1].max(), two[2].min()) == (0, 1)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("distribution", RESHAPED)
def test_masks_have_slices_of_either_value_in_large_draws_only(dtype, distribution):
    def make():
        return [(torch.rand(5, 9) > 0.5).to(dtype), (torch.rand(2, 9) > 0.5).to(dtype)]

    (mask, pair), (mask_before, pair_before) = drawn(make, distribution)
    if distribution != "large":
        assert torch.equal(mask, mask_before)
        assert torch.equal(pair, pair_before)
        return
    assert torch.equal(mask[::4], mask_before[::4])
    assert (mask[1] == 0).all()
    assert (mask[2] == 1).all()
    assert mask[3].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert torch.equal(pair[0], pair_before[0])
    assert (pair[1] == 0).all()


def test_gentle_large_draws_leave_masks_alone_and_reshape_the_rest():
    def make():
        return [torch.randn(6, 50), torch.rand(6, 50) > 0.5]

    (x, mask), (_, mask_before) = drawn(make, "large", strength=Strength.GENTLE)
    assert torch.equal(mask, mask_before)
    assert x[1].max() < -104
    assert x[2].min() > 104


def test_gentle_draws_are_tried_where_they_differ():
    plain = domains([torch.rand(6, 5)])
    signed = domains([torch.randn(6, 5)])
    masked = domains([torch.rand(6, 5), torch.rand(6, 5) > 0.5])
    assert [name for name in DISTRIBUTIONS if has_gentle(plain, name)] == ["tiny", "sparse"]
    assert has_gentle(signed, "large")
    assert has_gentle(masked, "large")


def test_a_row_that_is_added_to_others_has_no_spike():
    (x, bias), _ = drawn(lambda: [torch.randn(8, 50), torch.randn(50)], "sparse")
    assert x.max() == 16384
    assert x[1].max() == 1024
    assert x[5].max() == 16384
    assert bias.max() < 8
    for others in ([], [(8, 1)], [(50,)]):
        sizes = [(50,), *others]
        (alone, *_), _ = drawn(lambda s=sizes: [torch.randn(*size) for size in s], "sparse")
        assert (alone >= 1024).sum() == 1
    (pair,), _ = drawn(lambda: [torch.randn(2, 50)], "sparse")
    assert (pair >= 1024).sum(1).tolist() == [0, 1]


def test_narrow_spikes_are_higher_where_eager_survives_them():
    def make():
        return [torch.randn(8, 50).half()]

    (full,), _ = drawn(make, "sparse")
    (gentle,), _ = drawn(make, "sparse", strength=Strength.GENTLE)
    (mild,), _ = drawn(make, "sparse", strength=Strength.MILD)
    assert (full[1::4].max(), gentle.max()) == (192, 128)
    assert (full[2::4].max(), full.min()) == (4096, -4096)
    assert mild.max() < 8


def test_mild_draws_have_no_sides():
    first = domains([torch.randn(6, 5)])
    inputs = [torch.randn(6, 5)]
    plain = inputs[0].clone()
    reshape_inputs(inputs, first, "large", 0, Strength.MILD)
    assert torch.equal(inputs[0], plain * 4)


def test_shared_memory_stays_shared():
    def make():
        base = torch.randn(10)
        return [base[:6], base[4:]]

    (a, b), _ = drawn(make, "tiny")
    assert torch.equal(a[4:], b[:2])


def test_state_changes_within_its_signs():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    reshape_state(module, "tied", 3)
    after = module.state_dict()
    assert (after["1.running_var"] > 0).all()
    assert (after["1.running_mean"] > 0).all()
    assert not torch.equal(after["1.weight"], before["1.weight"])
    assert torch.equal(after["0.weight"].sign(), before["0.weight"].sign())
    assert torch.equal(after["1.num_batches_tracked"], before["1.num_batches_tracked"])


def test_zero_state_stays_where_small_values_matter():
    module = nn.BatchNorm1d(4)
    reshape_state(module, "tiny", 3)
    assert (module.running_mean == 0).all()
    assert (module.weight != 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("pattern", [0, 1, 5])
def test_perturbation_is_one_ulp(dtype, pattern):
    x = torch.tensor([1.5, -2.25, 0.0, 1e-3, 100.0]).to(dtype)
    moved = x.clone()
    perturb([moved], pattern, 0)
    steps = (moved.double() - x.double()).abs() / (
        x.double().abs() * torch.finfo(dtype).eps + 1e-300
    )
    assert moved[2] == 0
    wanted = x != 0
    assert (steps[wanted] <= 1).all()
    assert (steps[wanted] >= 0.25).all()
    if pattern < 2:
        grows = moved.abs() > x.abs()
        assert (grows[wanted] == (pattern == 0)).all()


def test_perturbation_moves_shared_memory_once():
    x = torch.tensor([1.0, 2.0])
    perturb([x, x.view(2, 1)], 0, 0)
    assert x[0] == 1 + 2**-23


def test_seeds_differ_and_repeat():
    seeds = {derived_seed(0, "draw", i) for i in range(50)}
    assert len(seeds) == 50
    assert derived_seed(0, "draw", 1) == derived_seed(0, "draw", 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_first_draw_is_plain_and_the_default_leaves_the_last_to_other_shapes():
    assert distribution_of(0) == "plain"
    assert [distribution_of(draw) for draw in range(DRAWS)] == list(DISTRIBUTIONS[:6])
    assert distribution_of(len(DISTRIBUTIONS) + 1) == distribution_of(1)
    assert BuildConfig(1, Path("data")).draws == DRAWS


def test_sparse_inputs_are_mostly_zero_where_zero_is_in_the_domain():
    def make():
        return [torch.randn(40, 50), torch.rand(40, 50) + 1, -torch.rand(40, 50) - 1]

    (x, positive, negative), _ = drawn(make, "sparse")
    moved = x[3::4] - 16
    assert (moved.abs() < 8).all()
    x[3::4] = moved
    assert torch.equal((x <= -1024).sum(1), (torch.arange(40) % 4 == 2).long())
    assert (x[2::4].sum(1).abs() < 64).all()
    assert not x[0].any()
    kept = (x != 0) & (x.abs() < 1024)
    assert 0.05 < kept.double().mean() < 0.15
    assert torch.equal(x * 2, torch.round(x * 2))
    spikes = (x >= 1024).sum(1)
    assert (spikes[::4] == 0).all()
    assert (spikes[1::8] == 1).all()
    assert (spikes[5::8] == 2).all()
    assert all(b - a == 1 and a % 2 == 0 for a, b in (x >= 1024)[5::8].nonzero()[:, 1].view(-1, 2))
    assert (spikes[2::4] == 1).all()
    assert (spikes[3::4] == 0).all()
    assert torch.equal((negative <= -1024).sum(1), spikes)
    assert (x[14].argmin(), x[14, 49] <= -1024) == (49, True)  # a minimum's, as a maximum's is
    assert x[1, 0] >= 1024  # what a loop may miss: the very first and, highest, the very last
    assert (x == 16384).nonzero().tolist() == [[37, 49]]
    assert torch.equal((x == 4096).sum(1), (x == -4096).sum(1))
    assert (positive == positive.flatten().mode().values).double().mean() > 0.8
    assert positive.min() >= 1
    assert (negative == negative.flatten().mode().values).double().mean() > 0.8
    assert negative.max() <= -1


def test_no_slice_of_a_unit_domain_is_moved_away():
    (x,), _ = drawn(lambda: [torch.rand(40, 50) * 2 - 1], "sparse")
    assert (x[3::4] == 0).double().mean() > 0.5


def test_tiny_state_shrinks_biases_scales_and_variances_but_no_weights():
    module = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6))
    reshape_state(module, "tiny", 3)
    assert module[0].weight.abs().max() > 0.1
    assert 0 < module[0].bias.abs().max() < 2**-10
    assert 2**-11 < module[1].weight.min() < module[1].weight.max() < 2**-9
    assert module[1].running_var.max() < 2**-19
    gentle = nn.Linear(8, 6)
    reshape_state(gentle, "tiny", 3, Strength.GENTLE)
    assert gentle.bias.abs().max() > 0.01


def test_most_rows_of_a_table_are_empty_in_tiny_state():
    full, gentle = nn.Embedding(40, 6), nn.EmbeddingBag(40, 6)
    reshape_state(full, "tiny", 3)
    reshape_state(gentle, "tiny", 3, Strength.GENTLE)
    assert (full.weight == 0).all(1).sum() == 30
    assert full.weight[::4].abs().min() > 0
    assert gentle.weight.abs().min() > 0


@pytest.mark.parametrize("strength", [Strength.FULL, Strength.GENTLE])
def test_sparse_state_lies_on_a_grid_and_keeps_its_signs(strength):
    module = nn.Linear(64, 32)
    before = module.weight.detach().clone()
    reshape_state(module, "sparse", 3, strength)
    weight = module.weight.detach()
    distinct = weight.unique()
    assert distinct.numel() <= 8
    steps = distinct / distinct.abs().min()
    assert torch.equal(steps, steps.round())
    kept = (slice(None, None, 2),) * 2 if strength is Strength.FULL else (slice(None),) * 2
    assert torch.equal(weight[kept].sign(), before[kept].sign())
    evened = (weight[1::2] == weight[1::2, :1]).all() and (weight[::2, 1::2] == weight[0, 0]).all()
    assert bool(evened) == (strength is Strength.FULL)
    assert weight[1::2, 0].unique().numel() > 2, "rows whose products can be told apart"
    assert torch.equal(weight[1:16:2, 0], weight[17::2, 0]) == (strength is Strength.FULL)


def test_sparse_images_too_small_for_spikes_hold_pairs_that_cancel():
    (x, y), _ = drawn(lambda: [torch.randn(5, 3, 6, 7), torch.randn(5, 3, 6, 1)], "sparse")
    paired = x.abs() == PAIR
    assert paired.nonzero().tolist() == [[2, c, 3, w] for c in range(3) for w in (2, 3)]
    assert (x[2, :, 3, 2] + x[2, :, 3, 3] == 0).all()
    assert y.abs().max() < 8
    (x,), _ = drawn(lambda: [torch.rand(5, 3, 6, 7)], "sparse")
    assert x.abs().max() <= 1


def test_half_the_rows_that_cancel_have_little_else():
    (x,), _ = drawn(lambda: [torch.randn(64, 512)], "sparse")
    share = (x != 0).double().mean(1)
    assert (x[6::8].abs() == CANCELLING).sum(1).tolist() == [2] * 8
    assert share[6::8].max() < 0.03 < share[10::8].min()


def test_large_state_has_one_sign():
    module = nn.Linear(8, 8)
    with torch.no_grad():
        module.bias.fill_(-1.0)
    mild = nn.Linear(8, 8)
    reshape_state(module, "large", 3)
    reshape_state(mild, "large", 3, Strength.MILD)
    assert (module.weight > 0).all()
    assert (module.bias < 0).all()
    assert (mild.weight < 0).any()


def test_large_tables_have_large_rows():
    table = nn.Embedding(8, 8)
    before = table.weight.detach().clone()
    reshape_state(table, "large", 3)
    assert bool((table.weight / before).abs().sub(32).abs().le(8).all())


def test_narrow_and_wide_types_are_reshaped_alike():
    for dtype in (torch.float8_e4m3fn, torch.float16, torch.float64):
        for distribution in RESHAPED:
            (x,), (plain,) = drawn(lambda d=dtype: [torch.randn(30).to(d)], distribution)
            assert not torch.equal(x.double(), plain.double())
            assert torch.isfinite(x.double()).all()


def test_values_that_are_not_finite_are_no_domain_and_two_are_seen():
    nan = torch.tensor([0.0, 1.0, float("nan"), 2.0])
    steps = torch.cat([torch.zeros(500), torch.ones(500)])
    assert not domains([nan])[0].is_float
    assert domains([steps])[0].has_two
    late = domains([torch.cat([steps, torch.tensor([0.5])])])[0]
    assert (late.has_two, late.lowest, late.highest) == (False, 0.0, 1.0)
