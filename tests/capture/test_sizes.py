"""Fails clearly when what a ``ShapeEnv`` holds, or how sizes are printed, has moved."""

import pytest
import torch
from torch import nn

from builder.capture.capture import capture
from builder.capture.dynamic import Varying, order_of_hints, varying_sizes
from builder.capture.generic import capture_any_size, sizes_of
from builder.capture.sizes import Sizes, _is_plain, evaluate
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


def captured(forward, *sets, state=None):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 48))

    Model.forward = forward
    return capture_any_size(Model, sets, H100)


def pairs(*sizes):
    """Input sets of two tensors [n, 64] and [m, 64]."""
    return [[torch.randn(n, 64), torch.randn(m, 64)] for n, m in sizes]


def test_sizes_are_bound_to_the_inputs_and_the_guard_on_their_number_is_kept():
    found = captured(
        lambda self, x: torch.relu(x @ self.weight), *([x] for x, _ in pairs((33, 1), (8, 1)))
    )
    assert [size.expression for size in found.sizes.free] == ["x.shape[0]"]
    assert found.sizes.guards == ("_size_0 >= 1", "64*_size_0 <= 2147483647")
    assert {spec.expression: (spec.size, spec.stride) for spec in found.tensors} == {
        "x": (("_size_0", 64), (64, 1)),
        "self.weight": ((64, 48), (48, 1)),
    }
    assert sizes_of(found, lambda x: x, [torch.randn(7, 64)]) == {"_size_0": 7}


def test_sizes_that_must_be_equal_are_one_and_those_that_happen_to_be_are_two():
    added = captured(lambda self, x, y: x + y, *pairs((33, 33), (8, 8)))
    assert [size.expression for size in added.sizes.free] == ["x.shape[0]"]
    assert {spec.size for spec in added.tensors} == {("_size_0", 64)}
    product = captured(lambda self, x, y: torch.relu(x) @ y.t(), *pairs((33, 33), (8, 9)))
    assert [size.expression for size in product.sizes.free] == ["x.shape[0]", "y.shape[0]"]


def test_a_declared_size_of_one_is_no_constant():
    found = captured(lambda self, x: x * 2, *([x] for x, _ in pairs((1, 1), (8, 1), (5, 1))))
    assert found.sizes.guards[0] == "_size_0 >= 1"


def test_a_divisibility_that_a_view_asks_for_is_a_guard():
    found = captured(
        lambda self, x: x.view(x.shape[0] // 4, 4, 64).sum(1),
        *([x] for x, _ in pairs((32, 1), (8, 1))),
    )
    guards = [guard for guard in found.sizes.guards if "%" in guard or "//" in guard]
    assert guards
    assert [evaluate(guard, {"_size_0": 8}) for guard in guards] == [1] * len(guards)
    assert not all(evaluate(guard, {"_size_0": 6}) for guard in guards)


def test_results_that_are_views_have_sizes():
    found = captured(
        lambda self, x: (torch.relu(x)[1:], x.t(), x.shape[0]),
        *([x] for x, _ in pairs((9, 1), (5, 1))),
    )
    assert found.result == (
        "(_graph_outputs[0], torch.as_strided(x, (64, _size_0), (1, 64)), _size_0,)"
    )


def test_views_of_permuted_tensors_take_sizes_of_one():
    def forward(self, x, y):
        scores = x.view(-1, 8, 8).transpose(1, 2) @ y.view(-1, 8, 8)
        return torch.softmax(scores, -1).transpose(1, 2).reshape(x.shape[0], 64)

    found = captured(forward, *pairs((12, 12), (8, 8), (5, 5)))
    assert all(evaluate(guard, {"_size_0": 1}) for guard in found.sizes.guards)


def test_what_cannot_be_traced_for_ones_is_traced_for_more():
    found = captured(lambda self, x, y: (x @ y.t()).diagonal().exp(), *pairs((12, 12), (8, 8)))
    traces_ones = torch.__version__.startswith("2.11.")
    assert found.sizes.guards[0] == f"_size_0 >= {1 if traces_ones else 2}"


def test_a_branch_on_a_size_is_named():
    def forward(self, x):
        return x * 2 if x.shape[0] > 16 else x + 1

    with pytest.raises(CaptureRejected, match=r"x\.shape\[0\] ") as caught:
        captured(forward, *([x] for x, _ in pairs((32, 1), (8, 1))))
    assert caught.value.kind == "fixed_size"


def test_a_size_made_constant_is_named():
    def forward(self, x):
        return x * 2 if x.shape[0] == 32 else x + 1

    with pytest.raises(CaptureRejected, match=r"x\.shape\[0\] == 32") as caught:
        captured(forward, *([x] for x, _ in pairs((32, 1), (8, 1))))
    assert caught.value.kind == "fixed_size"


@pytest.mark.parametrize("part", [0, 1])
def test_the_stride_of_a_part_is_a_constant_if_no_input_set_changes_it(part):
    def made(rows, columns=128):
        return [torch.randn(rows, columns).chunk(2, dim=-1)[part][:, :64]]

    found = captured(lambda self, x: x * 2, made(33), made(8))
    assert [size.expression for size in found.sizes.free] == ["x.shape[0]"]
    assert [(spec.size, spec.stride) for spec in found.tensors] == [(("_size_0", 64), (128, 1))]
    with pytest.raises(CaptureRejected, match=r"x\.stride\(0\) == 128") as caught:
        captured(lambda self, x: x * 2, made(33), made(8, 256))
    assert caught.value.kind == "fixed_size"


def test_transposed_inputs_have_strides_of_their_sizes():
    found = captured(lambda self, x: x * 2, *([torch.randn(64, n).mT] for n in (33, 8)))
    assert [(spec.size, spec.stride) for spec in found.tensors] == [
        (("_size_0", 64), (1, "_size_0"))
    ]


def test_a_part_of_a_part_with_a_declared_size_of_one_is_refused_and_breaks_nothing():
    """The guards of its strides hold a product that is zero."""
    torch.manual_seed(0)
    conv = nn.Conv1d(64, 64, 3, padding=2, dilation=2)

    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            return x + torch.sigmoid(self.conv(x))

    sets = [[torch.randn(n, 64, 3 * m)[..., :m]] for n, m in ((1, 64), (2, 24), (3, 47))]
    with pytest.raises(CaptureRejected) as caught:
        capture_any_size(Gate, sets, H100)
    assert caught.value.kind == "fixed_size"


def test_nothing_of_it_stays_with_the_inputs():
    inputs = [torch.randn(33, 64)]
    captured(lambda self, x: x * 2, inputs, [torch.randn(8, 64)])
    assert not vars(inputs[0])
    static = capture(nn.ReLU(), inputs, H100)
    assert static.sizes == Sizes()
    assert [spec.size for spec in static.tensors] == [(33, 64)]


def test_variants_of_another_rank_or_with_other_numbers_are_refused():
    for other in (
        [torch.randn(3, 4, 64), 2],
        [torch.randn(3, 64), 3],
        [torch.randn(3, 64).half(), 2],
    ):
        with pytest.raises(CaptureRejected) as caught:
            varying_sizes(lambda x, k: x, [[torch.randn(5, 64), 2], other])
        assert caught.value.kind == "varying_structure"
    with pytest.raises(CaptureRejected) as caught:
        captured(lambda self, x: x * 2, [torch.randn(5, 64)], [torch.randn(5, 64)])
    assert caught.value.kind == "same_sizes"


def test_hints_are_distinct_and_not_one_if_possible():
    varying = (Varying("x", 0, (4, 1, 3, 4)), Varying("x", 1, (4, 7, 5, 9)))
    assert order_of_hints(varying) == [2, 3, 0, 1]


@pytest.mark.parametrize("text", ["n // 2", "min(n, 3) % 2 == 1", "max(1, m - n) != 2 and n <= 5"])
def test_plain_integer_expressions(text):
    assert _is_plain(text)


@pytest.mark.parametrize(
    "text", ["math.floor(n)", "n / 2", "n.x", "1.5 * n", "f(n)", "n if m else 1", "n[0]"]
)
def test_what_is_none(text):
    assert not _is_plain(text)
