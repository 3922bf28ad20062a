"""Modules that take any size: which shapes they are tried on, and what that finds."""

import pytest
import torch

from builder.capture.targets import resolve_targets
from builder.verify import verify
from builder.verify.findings import serves_any_size
from builder.verify.shapes import OtherShape, other_shapes
from tests.verify.data import matmul, softmax

HOPPER = resolve_targets(["cuda:90"])


def columns(*shapes):
    """Input sets of tensors with these shapes, one set an argument."""
    return [[torch.empty(shape) for shape in one] for one in shapes]


def sizes(alternatives):
    return [[size for _, size in shape.sizes] for shape in alternatives]


def shapes_of(*sets, bounds=()):
    return [sizes(one) for one in other_shapes(columns(*sets), bounds or [{}] * len(sets))]


def test_ones_and_sizes_beside_powers_of_two():
    # Each with what to take if the program does not, and none that is declared.
    one, above, below, crossed = shapes_of([(64, 7)], [(8, 7)], [(33, 7)], [(20, 7)])
    assert (one, above, below, crossed) == ([[1]], [[65], [9]], [[63], [9]], [[9]])
    above, below = shapes_of([(640, 7)], [(8, 7)], [(33, 7)], [(20, 7)])[1:3]
    assert (above, below) == ([[1025], [129], [9]], [[127], [9]])
    assert shapes_of([(64, 8)], [(9, 8)], [(9, 3)], [(30, 20)])[1:] == [
        [[65, 3], [63, 17], [11, 5]],
        [[33, 15], [11, 5]],
        [[5, 11]],
    ]


def test_sizes_that_go_together_stay_together():
    sets = [[(b, s, 8), (2 * s,), (b * s, 3)] for b, s in ((4, 64), (2, 31), (3, 40), (5, 16))]
    for alternatives in other_shapes(columns(*sets), [{}] * 4)[:4]:
        for shape in alternatives:
            got = dict(shape.sizes)
            assert got[1, 0] == 2 * got[0, 1]
            assert got[2, 0] == got[0, 0] * got[0, 1]
            assert (0, 2) not in got


def test_sizes_that_go_together_are_parted_by_ones_that_may_be_broadcast():
    sets = [[(b, s), (b,), (b, 3)] for b, s in ((4, 64), (2, 31), (3, 40), (5, 16))]
    parted = [shape for (shape, *others) in other_shapes(columns(*sets), [{}] * 4)[4:]]
    assert [shape.sizes for shape in parted] == [
        (((0, 0), 1), ((0, 1), 31), ((1, 0), 2), ((2, 0), 2)),
        (((0, 0), 2), ((0, 1), 31), ((1, 0), 2), ((2, 0), 1)),
    ]


def test_sizes_of_which_all_are_multiples_stay_multiples():
    for alternatives in shapes_of([(64,)], [(16,)], [(24,)], [(40,)]):
        assert all(size % 8 == 0 for (size,) in alternatives)


def test_nothing_to_vary():
    assert shapes_of([(4, 8)], [(4, 8)]) == []


def test_integers_that_index_stay_in_range():
    bounds = [{1: (0, n - 1)} for n in (64, 9, 33, 20)]
    sets = columns(*([(n, 4), (6,)] for n in (64, 9, 33, 20)))
    one = other_shapes(sets, bounds)[0][0]
    assert one == OtherShape((((0, 0), 1), ((1, -1), 1)))
    x, index = torch.randn(64, 4), torch.arange(6)
    small = one.applied([x, {"index": index, "k": 3}])
    assert torch.equal(small[0], x[:1])
    assert small[1]["index"].tolist() == [0] * 6
    assert small[1]["k"] == 3


def test_what_is_larger_repeats_and_layouts_stay():
    x = torch.randn(3, 5).t()
    (large,) = OtherShape((((0, 0), 8),)).applied([x])
    assert large.shape == (8, 3)
    assert large.stride() == (1, 8)
    assert torch.equal(large, torch.cat([x, x])[:8])


def test_a_module_is_generic_by_what_was_compared():
    declared, odd = ((8, 4),), ((5, 4),)
    assert serves_any_size([declared, declared, ((2, 4),), odd, ((6, 4),)])
    assert not serves_any_size([declared, ((2, 4),), odd, odd])
    assert not serves_any_size([declared, ((2, 4),), ((4, 4),), ((6, 4),)])
    assert not serves_any_size([declared, ((2, 4),), ((1, 4),), ((6, 4),)])
    assert not serves_any_size([])


def with_variants(python, *calls):
    listed = ", ".join(f"lambda: [{call}]" for call in calls)
    return f"{python}\n\ndef get_shape_variants():\n    return [{listed}]\n"


SOFTMAX = with_variants(
    softmax.PYTHON, "torch.randn(3, 33)", "torch.randn(5, 20)", "torch.randn(8, 64)"
)
LINEAR = with_variants(
    matmul.python("float32"), "torch.randn(3, 72)", "torch.randn(33, 72)", "torch.randn(8, 72)"
)


def of_softmax(*changes, python=SOFTMAX):
    text = softmax.TRITON
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return verify(python, text, "Softmax", targets=HOPPER, draws=1, generic=True)


def of_linear(*changes):
    text = matmul.triton("float32")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return verify(LINEAR, text, "Linear", targets=HOPPER, draws=1, generic=True)


def test_modules_for_any_size_pass():
    verdict = of_softmax()
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic
    assert verdict.input_shapes[:4] == (((16, 50),), ((3, 33),), ((5, 20),), ((8, 64),))
    assert ((1, 1),) in verdict.input_shapes
    assert verdict.refused_shapes == ()
    verdict = of_linear()
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic
    assert ((1, 72),) in verdict.input_shapes


def test_without_variants_nothing_is_generic():
    verdict = of_softmax(python=softmax.PYTHON)
    assert verdict.verified, verdict.reason
    assert not verdict.shape_generic
    assert len(verdict.input_shapes) == 1


@pytest.mark.parametrize(
    "changes",
    [
        [("inside = column < columns", "inside = column < 50")],
        [("x_ptr + row * columns", "x_ptr + row * 50")],
        [("BLOCK=triton.next_power_of_2(columns)", "BLOCK=64")],
        [("softmax_kernel[(rows,)]", "softmax_kernel[(16,)]")],
        [(", mask=inside)", ")")],
        [("rows, columns = x.shape", "rows, columns = x.shape\n    rows -= rows == 1")],
    ],
    ids=["size", "stride", "block", "grid", "mask", "one row"],
)
def test_what_holds_for_the_declared_shape_only_is_found(changes):
    if "BLOCK=64" in changes[0][1]:
        # Wrong above 64 columns only, which no declared shape has.
        python = SOFTMAX.replace("torch.randn(8, 64)", "torch.randn(8, 66)")
        assert not of_softmax(*changes, python=python).verified
        return
    assert not of_softmax(*changes).verified


@pytest.mark.parametrize(
    "changes",
    [
        [("mask=(rows < M) & (columns < N)", "mask=(columns < N)")],
        [("(triton.cdiv(M, 32),", "(M // 32 + 1,")],
        [("triton.cdiv(M, 32)", "(M + 30) // 32")],
        [("x, w, b, out, M, N, K,", "x, w, b, out, 40, N, K,")],
    ],
    ids=["mask", "grid too large", "grid too small", "size"],
)
def test_faults_at_the_edge_of_a_tile_are_found(changes):
    verdict = of_linear(*changes)
    if "M // 32 + 1" in changes[0][1]:  # a tile too many is masked away
        assert verdict.verified
    else:
        assert not verdict.verified


ONE = ("rows, columns = x.shape", "rows, columns = x.shape\n    columns -= rows == 1")
GUARD = (
    "out = torch.empty_like(x)",
    "out = torch.empty_like(x)\n        if x.shape[0] < 2:\n            raise ValueError('rows')",
)


def test_a_guard_is_an_answer_beyond_the_declared_shapes_and_missed_if_it_is_dropped():
    verdict = of_softmax(ONE, GUARD)
    assert verdict.verified, verdict.reason
    assert verdict.shape_generic
    assert verdict.refused_shapes == (((1, 1),), ((1, 33),))
    assert not of_softmax(ONE).verified


def test_a_declared_shape_must_not_be_refused():
    refusing = (GUARD[0], GUARD[1].replace("< 2", "== 3"))
    verdict = of_softmax(refusing)
    assert verdict.kind == "triton_error"
    assert "ValueError: rows" in verdict.reason


def test_any_other_error_is_none_of_a_guard():
    verdict = of_softmax(ONE, (GUARD[0], GUARD[1].replace("ValueError", "TypeError")))
    assert verdict.kind == "triton_error"
    verdict = of_softmax(ONE, (GUARD[0], GUARD[1].replace("raise ValueError('rows')", "int('x')")))
    assert verdict.verified  # a refusal all the same: nothing was computed


LARGEST = """
import torch
from torch import nn


class Scaled(nn.Module):
    def forward(self, x):
        return x / torch.exp2(torch.floor(torch.log2(x.abs().amax())))


def get_init_inputs():
    return []


def get_inputs():
    return [torch.rand(200, 64) * 7.9 - 3.95]
"""
SCALED = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def largest_kernel(x_ptr, largest_ptr, size, BLOCK: tl.constexpr):
    largest = tl.zeros([BLOCK], tl.float32)
    for start in range(0, size, BLOCK):
        place = start + tl.arange(0, BLOCK)
        x = tl.abs(tl.load(x_ptr + place, mask=place < size, other=0.0))
        largest = tl.where(place < size, tl.maximum(largest, x), largest)
    tl.store(largest_ptr, tl.max(largest, 0))


@triton.jit
def scale_kernel(x_ptr, largest_ptr, out_ptr, size, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    scale = tl.exp2(tl.floor(tl.log2(tl.load(largest_ptr))))
    x = tl.load(x_ptr + place, mask=place < size)
    tl.store(out_ptr + place, x / scale, mask=place < size)


def launch_largest(x, largest):
    largest_kernel[(1,)](x, largest, x.numel(), BLOCK=8192)


def launch_scale(x, largest, out):
    scale_kernel[(triton.cdiv(x.numel(), 1024),)](x, largest, out, x.numel(), BLOCK=1024)


class ScaledNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        largest = torch.empty(1, device=x.device)
        launch_largest(x, largest)
        launch_scale(x, largest, out)
        return out
"""


def test_large_numbers_go_where_a_loop_goes_round_again():
    # Of other shapes they take one with fewer elements than the loop's block.
    calls = [f"torch.rand({rows}, 64) * 7.9 - 3.95" for rows in (8, 15, 30)]
    python = with_variants(LARGEST, *calls)
    verdict = verify(python, SCALED, "Scaled", targets=HOPPER, generic=True)
    assert verdict.verified, verdict.reason
    forgotten = SCALED.replace("tl.maximum(largest, x), largest)", "x, largest)")
    verdict = verify(python, forgotten, "Scaled", targets=HOPPER, generic=True)
    assert verdict.kind == "wrong_values"
