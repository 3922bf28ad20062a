"""The program's random calls answered: laws, layouts, what is written, what is refused."""

import pytest
import torch
import torch.nn.functional as F

from builder.errors import VerificationRejected
from builder.verify import laws, philox, random_calls
from builder.verify.random_calls import RandomCalls
from builder.verify.reference import Reference

X = torch.linspace(-2.0, 2.0, 600).reshape(5, 8, 15)
SKEW = X.transpose(0, 2)
HALF = X.half()

CALLS = {
    "dropout": lambda: F.dropout(X, 0.2),
    "dropout of a transpose": lambda: F.dropout(SKEW, 0.2),
    "dropout of half": lambda: F.dropout(HALF, 0.2),
    "dropout in place": lambda: F.dropout(X.clone(), 0.2, inplace=True),
    "dropout of channels": lambda: F.dropout1d(X, 0.4),
    "alpha dropout": lambda: F.alpha_dropout(X, 0.3, training=True),
    "native dropout": lambda: torch.native_dropout(X, 0.3, train=True),
    "rand": lambda: torch.rand(40, 20),
    "rand of half": lambda: torch.rand(40, 20, dtype=torch.float16),
    "rand of double": lambda: torch.rand(40, 20, dtype=torch.float64),
    "rand like": lambda: torch.rand_like(SKEW),
    "rand like, contiguous": lambda: torch.rand_like(SKEW, memory_format=torch.contiguous_format),
    "randn": lambda: torch.randn(40, 20),
    "randn like": lambda: torch.randn_like(HALF),
    "randint": lambda: torch.randint(5, (40, 20)),
    "randint from": lambda: torch.randint(-3, 5, (40, 20), dtype=torch.int32),
    "randint like": lambda: torch.randint_like(SKEW, 5),
    "randint like from": lambda: torch.randint_like(X, 2, 9),
    "bernoulli": lambda: torch.bernoulli(SKEW.sigmoid()),
    "bernoulli of half": lambda: torch.bernoulli(HALF.sigmoid()),
    "bernoulli of one chance": lambda: torch.bernoulli(SKEW, 0.3),
    "bernoulli of other chances": lambda: torch.ops.aten.bernoulli.Tensor(SKEW, SKEW.sigmoid()),
    "bernoulli in place": lambda: SKEW.clone().bernoulli_(0.3),
    "bernoulli in place of chances": lambda: X.clone().bernoulli_(X.sigmoid()),
    "normal": lambda: torch.normal(X, X.abs()),
    "normal of means": lambda: torch.normal(SKEW, 2.0),
    "normal of deviations": lambda: torch.normal(1.0, SKEW.abs()),
    "normal of a size": lambda: torch.normal(1.0, 3.0, (40, 20)),
    "uniform": lambda: SKEW.clone().uniform_(-1.0, 3.0),
    "normal in place": lambda: X.clone().normal_(1.0, 3.0),
    "exponential": lambda: X.clone().exponential_(3.0),
    "exponential of half": lambda: HALF.clone().exponential_(3.0),
    "log normal": lambda: X.clone().log_normal_(0.5, 0.7),
    "cauchy": lambda: X.clone().cauchy_(1.0, 2.0),
    "geometric": lambda: X.clone().geometric_(0.3),
    "rrelu": lambda: F.rrelu(X, training=True),
    "rrelu of a transpose": lambda: F.rrelu(SKEW, training=True),
    "rrelu in place": lambda: F.rrelu(X.clone(), training=True, inplace=True),
    "multinomial": lambda: torch.multinomial(X.softmax(-1).reshape(-1, 15), 1),
    "several multinomial": lambda: torch.multinomial(X.softmax(-1).reshape(-1, 15), 4),
    "gumbel": lambda: F.gumbel_softmax(X, hard=True),
}  # fmt: skip


def both(call, seed=3):
    torch.manual_seed(seed)
    eager = call()
    with RandomCalls(seed, keeps=True) as mode:
        answered = call()
    return eager, answered, mode


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_has_eagers_form_and_law(name):
    eager, answered, mode = both(CALLS[name])
    assert mode.count == len(mode.calls) == 1
    pairs = zip(*((o if isinstance(o, tuple) else (o,)) for o in (eager, answered)), strict=True)
    for theirs, ours in pairs:
        assert (ours.dtype, ours.shape, ours.stride()) == (
            theirs.dtype, theirs.shape, theirs.stride()
        )  # fmt: skip
        assert laws.distance(ours.flatten(), theirs.flatten()) < 0.16
    laws.check_laws(mode.calls, seed=5)


@pytest.mark.parametrize("name", CALLS)
def test_the_same_seed_gives_the_same_and_another_does_not(name):
    first, again = (both(CALLS[name])[1] for _ in range(2))
    other = both(CALLS[name], seed=4)[1]
    first, again, other = (o[0] if isinstance(o, tuple) else o for o in (first, again, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", CALLS)
def test_the_reference_follows(name):
    """In float64, the reference has the answer's formula without the answer's roundings."""
    reference = Reference(casts_round=False)
    with torch.no_grad(), reference, RandomCalls(3):
        out = CALLS[name]()
    out = out[0] if isinstance(out, tuple) else out
    twin = reference.twin(out)
    assert not reference.unreferenced
    assert twin.dtype == (torch.float64 if out.is_floating_point() else out.dtype)
    tolerance = {torch.float16: 4e-3, torch.float32: 2e-5}.get(out.dtype, 0.0)
    torch.testing.assert_close(out.to(twin.dtype), twin, rtol=tolerance, atol=tolerance)


def test_numbers_follow_memory():
    """An element takes the counter of its place in its tensor's memory."""
    expected = philox.uniform(next(philox.words(philox.call_seed(3, 0), 600))[0])
    with RandomCalls(3):
        assert torch.equal(torch.rand_like(SKEW).transpose(0, 2).flatten(), expected)
    with RandomCalls(3):
        assert torch.equal(torch.rand(600), expected)


def test_calls_are_numbered_and_independent():
    with RandomCalls(3):
        first, second = torch.rand(4096), torch.rand(4096)
    assert torch.corrcoef(torch.stack([first, second]))[0, 1].abs() < 0.08


def test_one_call_can_be_changed_alone():
    def three(**options):
        with RandomCalls(3, **options):
            return [torch.rand(64) for _ in range(3)]

    plain, changed, again = three(), three(changed=(1, 1)), three(changed=(1, 2))
    assert [torch.equal(a, b) for a, b in zip(plain, changed, strict=True)] == [True, False, True]
    assert not torch.equal(changed[1], again[1])


def test_what_draws_nothing_is_left_alone():
    with RandomCalls(3) as mode:
        F.dropout(X, 1.0)
        F.rrelu(X, training=False)
        torch.native_dropout(X, 0.3, train=False)
        F.scaled_dot_product_attention(X, X, X)
    assert mode.count == 0


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: torch.randperm(5), "unknown_random"),
        (lambda: torch.poisson(X.abs()), "unknown_random"),
        (lambda: X.clone().random_(0, 5), "unknown_random"),
        (lambda: torch.rand(5, out=torch.empty(5)), "unknown_random"),
        (lambda: torch.multinomial(X[0].abs(), 4, replacement=True), "unknown_random"),
        (lambda: torch.rand(5, generator=torch.Generator()), "random_generator"),
    ],
)
def test_what_has_no_answer_is_refused(call, kind):
    with RandomCalls(3), pytest.raises(VerificationRejected) as caught:
        call()
    assert caught.value.kind == kind


WRONG = {
    "dropout": lambda numbers, given: (numbers.uniform(given["self"]) < 1 - given["p"]).float(),
    "exponential": lambda numbers, given: -given["lambd"] * numbers.uniform(given["self"]).log(),
    "uniform": lambda numbers, given: numbers.uniform(given["self"]) * given["to"] + given["from"],
    "normal in place": lambda numbers, given: numbers.normal(given["self"]) + given["mean"],
    "randint like from": lambda numbers, given: numbers.integers(given["self"], 2, 8),
    "cauchy": lambda numbers, given: numbers.normal(given["self"]) * 2 + 1,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_law_is_found(name, monkeypatch):
    _, _, mode = both(CALLS[name])
    known = mode.calls[0].func.overloadpacket.__name__.rstrip("_")
    monkeypatch.setitem(random_calls._LAWS, known, WRONG[name])
    with pytest.raises(VerificationRejected) as caught:
        laws.check_laws(mode.calls, seed=5)
    assert caught.value.kind == "wrong_distribution"


def test_the_distance_of_two_samples():
    low, high = torch.arange(0.0, 100.0), torch.arange(50.0, 150.0)
    assert laws.distance(low, low) == 0.0
    assert laws.distance(low, high) == pytest.approx(0.5)
    assert laws.distance(low, high + 100) == 1.0
    assert laws.distance(torch.zeros(10), torch.tensor([0.0, 1.0] * 5)) == pytest.approx(0.5)


def test_the_law_of_an_empty_draw_is_not_asked():
    with RandomCalls(3, keeps=True) as mode:
        torch.rand(0, 4)
    laws.check_laws(mode.calls, seed=0)
