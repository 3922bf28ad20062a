"""Draws in which inputs are tiny, or vanish."""

import torch
from torch import nn

from builder.verify.distributions import AWAY, Strength
from builder.verify.state import reshape_state
from tests.verify.drawing import drawn


def by_turns(x):
    """Rows of one sign, every other one negative and away from zero."""
    return torch.where(torch.arange(len(x))[:, None] % 2 == 1, -x.abs() - AWAY, x.abs())


def test_only_the_first_input_of_tiny_draws_has_negative_rows():
    (x, y), (x_before, y_before) = drawn(lambda: [torch.randn(4, 9), torch.randn(4, 9)], "tiny")
    assert torch.equal(x.sign(), by_turns(x_before).sign())
    assert torch.equal(y.sign(), y_before.abs().sign())


def test_one_tensor_of_one_sign_vanishes_in_tiny_draws():
    def make():
        return [torch.randn(4, 9), torch.rand(4, 9) + 0.1, -torch.rand(4, 9) - 0.1]

    vanished = set()
    for seed in range(1, 9):
        (x, *others), (plain, *before) = drawn(make, "tiny", seed)
        sizes = torch.tensor([2**-10, 2**-10, 2**-48, 2**-10])[:, None]
        assert torch.equal(x, by_turns(plain) * sizes)
        whole = [torch.equal(b, a * 2**-48) for b, a in zip(others, before, strict=True)]
        assert sum(whole) == 1
        vanished.add(whole.index(True))
        other = not whole.index(True)
        assert torch.equal(others[other], before[other] * sizes)
    assert vanished == {0, 1}


def test_no_whole_vanishes_in_gentle_draws_nor_all_there_is():
    def both():
        return [torch.randn(4, 9), torch.rand(4, 9) + 0.1]

    gentle, plain = drawn(both, "tiny", strength=Strength.GENTLE)
    sizes = torch.tensor([2**-10, 2**-10, 2**-48, 2**-10]).unsqueeze(1)
    assert torch.equal(gentle[0], by_turns(plain[0]) * sizes)
    assert torch.equal(gentle[1], plain[1] * sizes)
    mild, plain = drawn(both, "tiny", strength=Strength.MILD)
    assert torch.equal(mild[0], by_turns(plain[0]) * 2**-10)
    assert torch.equal(mild[1], plain[1] * 2**-10)
    (alone,), (before,) = drawn(lambda: [torch.rand(40) + 0.1], "tiny")
    assert torch.equal(alone, before * 2**-10)
    (half,), (before,) = drawn(lambda: [torch.randn(5, 9).half()], "tiny")
    assert torch.equal(half[[0, 1, 3, 4]], (by_turns(before) * 2**-10)[[0, 1, 3, 4]])
    assert torch.equal(half[2], before[2].abs() * 2**-20)


def test_all_vanishes_beside_what_keeps_a_divisor_from_zero():
    inputs, plain = drawn(lambda: [torch.randn(6, 50), torch.rand(6, 50)], "vanishing")
    for ours, as_drawn in zip(inputs, plain, strict=True):
        assert torch.equal(ours, as_drawn * 2**-20)
    (half,), (as_drawn,) = drawn(lambda: [torch.randn(6, 50).half()], "vanishing")
    assert half.float().square().half().count_nonzero() > 200
    norm = nn.LayerNorm(8)
    reshape_state(norm, "vanishing", 0)
    assert (norm.weight > 0.7).all()
    nn.init.normal_(norm.bias)
    reshape_state(norm, "vanishing", 0)
    assert norm.bias.abs().max() < 2**-17
