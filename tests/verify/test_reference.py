"""The float64 reference: what each kind of operation gives beside eager."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builder.verify.floors import Operation
from builder.verify.reference import Reference
from builder.verify.runner import Case, run_original


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def run(function, *args, **options):
    reference = Reference(**options)
    with torch.no_grad(), reference:
        out = function(*args)
    return out, reference


def double(value):
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    return value.double() if isinstance(value, nn.Module) else value


CASES = {
    "pointwise": (lambda x: torch.sin(x) * 1.1 + x, (torch.randn(5, 7),)),
    "matmul": (lambda x, y: x @ y, (torch.randn(5, 7), torch.randn(7, 3))),
    "addmm": (F.linear, (torch.randn(5, 7), torch.randn(3, 7), torch.randn(3))),
    "softmax": (lambda x: torch.softmax(x, -1), (torch.randn(5, 7).half(),)),
    "layer norm": (
        lambda x, w, b: F.layer_norm(x, (7,), w, b),
        (torch.randn(5, 7).bfloat16(), torch.rand(7).bfloat16(), torch.rand(7).bfloat16()),
    ),
    "convolution": (F.conv2d, (torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3))),
    "embedding": (F.embedding, (torch.tensor([1, 0, 2]), torch.randn(4, 6))),
    "index": (lambda x: x[torch.tensor([2, 0])], (torch.randn(5, 7),)),
    "scatter": (
        lambda x, i: torch.zeros(3, 7, dtype=x.dtype).scatter_add_(0, i, x),
        (torch.randn(5, 7), torch.randint(0, 3, (5, 7))),
    ),
    "views": (lambda x: x.t().unsqueeze(0).expand(2, 7, 5).reshape(-1) * 3, (torch.randn(5, 7),)),
    "mean of half": (lambda x: x.mean(-1), (torch.randn(5, 700).half(),)),
    "integers become floats": (lambda i: i / 3 + i * 0.1, (torch.arange(10),)),
    "mask by extreme": (
        lambda x: x.masked_fill(x > 0, torch.finfo(x.dtype).min).softmax(-1),
        (torch.randn(5, 7).bfloat16(),),
    ),
    "remainder": (lambda x: (x * 100.0).remainder(1.0), (torch.rand(50) + 0.001,)),
    "complex": (
        lambda x: torch.view_as_real(torch.view_as_complex(x) * (1 + 2j)),
        (torch.randn(6, 2),),
    ),
    "imag of conjugate": (
        lambda x: torch.view_as_complex(x).conj().imag * 2.0,
        (torch.randn(6, 2),),
    ),
    "attention": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        (torch.randn(1, 2, 6, 8),),
    ),
    "batch norm": (
        lambda x, m, v: F.batch_norm(x, m.clone(), v.clone(), training=True),
        (torch.randn(4, 3, 5), torch.zeros(3), torch.ones(3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reference_is_the_program_in_double(name):
    function, args = CASES[name]
    out, reference = run(function, *args)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected = function(*map(double, args))
    finally:
        torch.set_default_dtype(before)
    twin = reference.twin(out)
    assert twin.dtype == torch.float64
    assert out.dtype != torch.float64
    assert not reference.unreferenced
    torch.testing.assert_close(twin, expected, rtol=1e-12, atol=1e-12)


def test_program_sees_its_own_types():
    seen = []

    def program(x):
        seen.append((x.dtype, (x * 2).dtype, torch.finfo(x.dtype).max))
        return x * 2

    out, _ = run(program, torch.randn(3).half())
    assert seen == [(torch.float16, torch.float16, 65504.0)]
    assert out.dtype == torch.float16


def test_explicit_casts_round_as_written():
    x = torch.randn(1000)
    out, reference = run(lambda x: (x * 1.1).bfloat16().float() * 3, x)
    expected = (x.double() * 1.1).bfloat16().double() * 3
    assert torch.equal(reference.twin(out), expected)
    assert reference.history(out).rounding == torch.bfloat16


def test_exact_input_of_a_narrow_type_is_held_to_the_wide_one():
    out, reference = run(lambda x: x.float() * 3, torch.randn(10).bfloat16())
    assert reference.history(out).rounding == torch.float32


def test_in_place_operations_reach_every_view():
    def program(x):
        y = x.clone()
        row, flat = y[1], y.view(-1)
        y[2:4] += 0.1
        flat[::2].mul_(0.3)
        row.copy_(row * 0.7)
        return y, row, flat

    x = torch.randn(5, 7)
    (y, row, flat), reference = run(program, x)
    expected, _, _ = program(x.double())
    torch.testing.assert_close(reference.twin(y), expected, rtol=1e-14, atol=1e-14)
    assert torch.equal(reference.twin(row), reference.twin(y)[1])
    assert torch.equal(reference.twin(flat), reference.twin(y).view(-1))


def test_inputs_that_share_memory_share_their_reference():
    base = torch.randn(6)

    def program(a, b):
        a.mul_(0.1)
        return b + 1

    out, reference = run(program, base[:4], base[2:])
    expected = base.double()  # after the run: multiplied in float32
    assert torch.allclose(reference.twin(out), expected[2:] + 1, rtol=0, atol=1e-7)
    assert not torch.equal(reference.twin(out), expected[2:] + 1)


def test_batch_norm_updates_buffers():
    module = nn.BatchNorm1d(3)
    x = torch.randn(8, 3)
    _, reference = run(module, x)
    expected = 0.1 * x.double().mean(0)
    torch.testing.assert_close(reference.twin(module.running_mean), expected, rtol=1e-12, atol=0)
    assert reference.twin(module.num_batches_tracked).item() == 1
    assert reference.history(module.running_mean).operation is Operation.REDUCTION


def test_batch_norm_in_evaluation_leaves_buffers_as_they_were():
    module = nn.BatchNorm1d(3).eval()
    _, reference = run(module, torch.randn(8, 3))
    assert reference.history(module.running_mean).rounding is None


def test_bits_of_a_float_are_eagers():
    out, reference = run(
        lambda x: ((x * 3).view(torch.int32) + 1).view(torch.float32), torch.ones(4)
    )
    assert torch.equal(reference.twin(out), out.double())


def test_decisions_follow_eager_or_float64():
    x = torch.tensor([0.1, 0.2, 0.3])

    def program(x):
        total = x[0] + x[1] - x[2]  # about 1e-8 in float32, 0 or less in float64
        flag = total > 0
        return flag, torch.where(flag, 1.0, 2.0)

    (flag, value), follows = run(program, x)
    assert torch.equal(follows.twin(flag), flag)
    assert follows.twin(value).item() == value.item()
    assert follows.history(value).decided
    (flag, value), own = run(program, x, own_decisions=True)
    exact = bool(x.double()[0] + x.double()[1] - x.double()[2] > 0)
    assert own.twin(flag).item() is exact
    assert own.twin(value).item() == (1.0 if exact else 2.0)


def test_rounding_to_integers_follows_eager():
    x = torch.rand(10000)
    out, reference = run(lambda x: (x * 1000.0).round(), x)
    assert torch.equal(reference.twin(out), out.double())
    assert reference.history(out).decided


@pytest.mark.parametrize(("nudge", "rounded"), [(0.0, 2.0), (4.0, 3.0), (-4.0, 2.0)])
def test_a_nudge_lets_what_lies_near_a_tie_fall_to_the_other_side(nudge, rounded):
    near, far = 2.5 - 2.0**-22, 2.5 - 2.0**-10  # 2.5 itself would be rounded to even

    def program(x):
        return x.round(), x * 1.0

    (out, kept), reference = run(
        program, torch.tensor([near, far, 0.0]), own_decisions=True, nudge=nudge
    )
    assert reference.twin(out).tolist() == [rounded, 2.0, 0.0]
    assert reference.twin(kept).tolist() == [near, far, 0.0]


@pytest.mark.parametrize("nudge", [4.0, -4.0])
def test_a_nudge_is_as_large_as_eagers_error(nudge):
    x = torch.tensor([-4.5, -5.0, 0.3])
    scale = float(F.gelu(x[:1].double()) * 2.0)  # the first is halfway, but for a thousandth

    def program(x):
        return (F.gelu(x) / (scale * 1.0005)).round()

    assert F.gelu(x[0]).double() != F.gelu(x[0].double())
    out, reference = run(program, x, own_decisions=True, nudge=nudge)
    assert reference.twin(out)[0].item() == (1.0 if nudge > 0 else 0.0)
    assert reference.twin(out)[1].item() == 0.0
    assert reference.twin(out)[2].item() == out[2].item()


def test_random_numbers_are_eagers():
    out, reference = run(lambda x: F.dropout(x, 0.5) + torch.rand(4), torch.ones(4))
    torch.testing.assert_close(reference.twin(out), out.double(), rtol=1e-6, atol=1e-6)


def test_operation_without_float64_form_falls_back_to_eager():
    module = nn.LSTM(8, 8)
    (out, _), reference = run(module, torch.randn(3, 2, 8))
    if reference.unreferenced:
        assert torch.equal(reference.twin(out), out.double())


@pytest.mark.parametrize(
    ("function", "operation", "rounding"),
    [
        (lambda x: x.t().clone(), Operation.EXACT, None),
        (lambda x: torch.cat([x, x]), Operation.EXACT, None),
        (lambda x: x.exp(), Operation.POINTWISE, torch.float32),
        (lambda x: x.sum(-1), Operation.REDUCTION, torch.float32),
        (lambda x: (x @ x.t()).exp(), Operation.DOT, torch.float32),
        (lambda x: x.half(), Operation.POINTWISE, torch.float16),
    ],
)
def test_history(function, operation, rounding):
    out, reference = run(function, torch.randn(5, 7))
    history = reference.history(out)
    assert (history.operation, history.rounding, history.decided) == (operation, rounding, False)


def test_open_order_of_ties_is_noted():
    (_, index), reference = run(lambda x: torch.topk(x, 2), torch.tensor([[1.0, 3.0, 3.0]]))
    assert reference.ties[index.untyped_storage().data_ptr()].dim == 1
    _, reference = run(lambda x: torch.sort(x, stable=True), torch.ones(3))
    assert not reference.ties


def test_decision_on_exact_numbers_is_not_open_to_rounding():
    class Decide(nn.Module):
        def forward(self, x):
            scaled = x * 0.1
            return x.argmax(-1), scaled.argmax(-1), x > 0.3, (x * 2).round(), scaled.floor()

    x = torch.randn(4, 9, generator=torch.Generator().manual_seed(2))
    original = run_original(Case(Decide(), [x], 0))
    decided = [original.expected[f"output {i}"].history.decided for i in range(5)]
    assert decided == [False, True, False, False, True]


class Divide(nn.Module):
    """A quotient that eager gives exactly, of numbers that it has rounded."""

    def forward(self, x):
        return (x / (x.amax() / 63)).round(), (x * 0.5).round()


def test_a_number_that_is_exact_by_luck_is_open_to_rounding():
    original = run_original(Case(Divide(), [torch.tensor([3.0, 1.5, 0.5])], 0))
    assert original.expected["output 0"].eager.tolist()[0] == 63.0
    assert [original.expected[f"output {i}"].history.decided for i in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("sawtooth", "tooth"), [(torch.frac, 1.0), (lambda x: torch.remainder(x, 0.5), 0.5)]
)
def test_a_nudge_moves_which_tooth_a_value_is_in_and_not_the_value(sawtooth, tooth):
    x = torch.tensor([3.0 - 2.0**-22, 3.0 + 2.0**-22, 2.7], dtype=torch.float32)
    out, reference = run(lambda x: sawtooth(x * 1.0), x, own_decisions=True, nudge=4.0)
    wide = x.double()
    below, above = wide[0] - 3.0, wide[1] - 3.0
    expected = [float(below), float(above), float(sawtooth(wide[2]))]
    assert reference.twin(out).tolist() == pytest.approx(expected, abs=1e-12)
    out, reference = run(lambda x: sawtooth(x * 1.0), x, own_decisions=True, nudge=-4.0)
    expected[:2] = [float(below) + tooth, float(above) + tooth]
    assert reference.twin(out).tolist() == pytest.approx(expected, abs=1e-12)


JUMPS = {
    "threshold": (lambda x: F.threshold(x, 1.0, -5.0), 1.0),
    "hardshrink": (lambda x: F.hardshrink(x, 1.0), 1.0),
    "frac": (torch.frac, 3.0),
    "copysign": (lambda x: torch.copysign(torch.ones_like(x), x - 0.3), 0.3),
    "atan2": (lambda x: torch.atan2(x - 0.3, -torch.ones_like(x)), 0.3),
}


@pytest.mark.parametrize("name", JUMPS)
def test_what_jumps_follows_eager(name):
    function, place = JUMPS[name]
    noise = torch.rand(4096, generator=torch.Generator().manual_seed(1)) - 0.5
    x = noise * 2.0**-18 + place / 0.37
    original = run_original(Case(Of(lambda x: function(x * 0.37)), [x], 0))
    found = original.expected["output 0"]
    assert found.history.decided
    assert found.eager.unique().numel() > 1
    assert float((found.eager - found.reference).abs().max()) < 2.0**-18


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)
