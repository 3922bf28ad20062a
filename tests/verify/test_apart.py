"""Operations taken apart: the same result, rounded otherwise."""

import pytest
import torch

from builder.verify.apart import taken_apart

aten = torch.ops.aten
X = torch.randn(6, 40, 130, generator=torch.Generator().manual_seed(4))
CALLS = {
    "sum": (aten.sum.default, (X,)),
    "sum of a dimension": (aten.sum.dim_IntList, (X, [-1], True)),
    "sum of two": (aten.sum.dim_IntList, (X, [0, 2])),
    "mean": (aten.mean.dim, (X, [1, 2])),
    "mm": (aten.mm.default, (X[0], X[1].t())),
    "bmm": (aten.bmm.default, (X, X.transpose(1, 2))),
    "addmm": (aten.addmm.default, (X[2, :, :40], X[0], X[1].t())),
    "baddbmm": (aten.baddbmm.default, (X[:, :, :40], X, X.transpose(1, 2))),
}


@pytest.mark.parametrize("name", CALLS)
def test_sums_go_from_block_to_block(name):
    func, args = CALLS[name]
    parts = taken_apart(func, args)
    whole, ours = func(*args), parts(*args)
    exact = func(*(a.double() if isinstance(a, torch.Tensor) else a for a in args))
    assert (ours.dtype, ours.shape) == (whole.dtype, whole.shape)
    assert not torch.equal(ours, whole)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-4)


def test_halves_of_a_sum_that_cancel_are_rounded_at_their_own_size():
    generator = torch.Generator().manual_seed(5)
    half = 1000 + torch.randn(40, 512, generator=generator)
    x = torch.cat((half, -half.flip(-1) + 2.0**-6 * torch.randn(40, 512, generator=generator)), 1)
    exact = x.double().mean(1)
    args = (x, [1])
    worst = float((taken_apart(aten.mean.dim, args)(*args) - exact).abs().max())
    assert worst > float((x.mean(1) - exact).abs().max())
    assert worst < 1e-4


def test_sums_of_narrow_types_are_left_whole():
    x = X.bfloat16()
    parts = taken_apart(aten.sum.default, (x,))
    assert parts is None or torch.equal(parts(x), x.sum())


def test_running_statistics_are_those_of_the_parts():
    func = aten.native_batch_norm.default

    def statistics(*, apart):
        mean, var = torch.zeros(40), torch.ones(40)
        args = (X + 100, None, None, mean, var, True, 0.1, 1e-5)
        (taken_apart(func, args) if apart else func)(*args)
        return mean, var

    (ours, our_var), (whole, whole_var) = statistics(apart=True), statistics(apart=False)
    assert not torch.equal(ours, whole)
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(our_var, whole_var)


def test_a_variance_and_its_mean_are_taken_in_one_pass():
    func = aten.var_mean.correction
    for dims in ([0, 2], [1], None):
        for keepdim in (False, True):
            ours = taken_apart(func, (X, dims))(X, dims, correction=1, keepdim=keepdim)
            whole = func(X, dims, correction=1, keepdim=keepdim)
            assert [t.shape for t in ours] == [t.shape for t in whole]
            assert dims is None or not torch.equal(ours[1], whole[1])  # one number may be equal
            torch.testing.assert_close(ours, whole)


def test_each_order_rounds_the_mean_of_integers_another_way():
    generator = torch.Generator().manual_seed(6)
    x = (32 * torch.randn(64, 1792, generator=generator)).floor()
    exact = x.double().mean(1)
    func = aten.var_mean.correction
    means = [taken_apart(func, (x, [1]), order)(x, [1], correction=0)[1] for order in range(8)]
    errors = torch.stack([mean - exact for mean in means]).abs()
    assert float((func(x, [1], correction=0)[1] - exact).abs().max()) < 2.0**-23
    assert bool((errors.amax(0) > 2.0**-25).all())
    assert float(errors.max()) < 64 * 2.0**-23


def test_the_same_order_rounds_the_same_way():
    func, args = aten.var_mean.correction, (X, [1])
    first, again = (taken_apart(func, args, 3)(*args, correction=0) for _ in range(2))
    assert all(map(torch.equal, first, again))
