"""Moves by one unit in the last place."""

import pytest
import torch

from builder.verify.perturb import Jitter, perturb
from builder.verify.reference import Reference
from builder.verify.reruns import JITTERS, eager_samples
from builder.verify.runner import Case

VALUES = [0.0, 1.0, -3.5, float("inf"), float("nan"), 1e-30]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jitter_moves_each_number_by_one_ulp_and_leaves_zeros(dtype):
    before = torch.tensor(VALUES * 50, dtype=dtype)
    after = before.clone()
    Jitter(3).move(after)
    usable = torch.isfinite(before) & (before != 0)
    up = torch.nextafter(before, torch.full_like(before, torch.inf))
    down = torch.nextafter(before, torch.full_like(before, -torch.inf))
    assert bool(((after == up) | (after == down))[usable].all())
    assert 50 < int((after == up)[usable].sum()) < int(usable.sum()) - 50
    assert torch.equal(after.nan_to_num(7.0)[~usable], before.nan_to_num(7.0)[~usable])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int32])
def test_jitter_leaves_narrow_types_alone(dtype):
    tensor = torch.arange(1, 9).to(dtype)
    Jitter(0).move(tensor)
    assert torch.equal(tensor, torch.arange(1, 9).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_jitter_moves_narrow_types_if_so_asked(dtype):
    tensor = torch.arange(1, 9).to(dtype)
    Jitter(0, narrow=True).move(tensor)
    assert bool((tensor != torch.arange(1, 9).to(dtype)).all())


def test_integers_that_a_decision_gave_stay_integers():
    x = torch.rand(64, generator=torch.Generator().manual_seed(2)) * 0.3 + 0.1
    with Reference(jitter=Jitter(1)):
        rounded = (x / 0.013).round()
        shifted = (rounded - 3).clamp(-8, 7)
        scaled = shifted * 0.013
    assert torch.equal(rounded, rounded.round())
    assert torch.equal(shifted, shifted.round())
    assert bool((scaled != shifted * 0.013)[shifted != 0].all())


def test_the_same_seed_moves_alike():
    first, second, third = (
        torch.rand(64, generator=torch.Generator().manual_seed(0)) for _ in "123"
    )
    Jitter(5).move(first)
    Jitter(5).move(second)
    Jitter(6).move(third)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_perturbed_inputs_keep_their_zeros():
    tensor = torch.tensor([0.0, 2.0])
    assert perturb([tensor], 0, 1) == torch.finfo(torch.float32).eps
    assert tensor.tolist() == [0.0, torch.nextafter(torch.tensor(2.0), torch.tensor(9.0)).item()]


def test_what_only_moves_is_not_jittered_what_rounds_is():
    x = torch.rand(32, generator=torch.Generator().manual_seed(2))
    with Reference(jitter=Jitter(1)) as reference:
        moved, doubled = x.reshape(4, 8).t().contiguous(), x * 2
    assert torch.equal(moved, x.reshape(4, 8).t())
    assert bool((doubled != x * 2).all())
    assert torch.equal(reference.twin(doubled), x.double() * 2)


class OfOne(torch.nn.Module):
    """The difference of two sums, which eager may give exactly."""

    def forward(self, x, y):
        return x.sum() - y.sum()


def test_samples_show_what_eager_hides_by_luck():
    x = torch.ones(64)
    case = Case(OfOne(), [x * 3, x * 2.9375], 0)
    errors = [found["output 0"].eager_errors.worst for found in eager_samples(case)]
    assert errors[0] == 0.0
    assert max(errors[-JITTERS:]) > 2.0**-23
