"""Structure, guard, substance and verdict."""

import dataclasses
from typing import NamedTuple

import pytest
import torch

from builder.verify import VERIFIER_VERSION, Verdict
from builder.verify.guard import Guard, poison
from builder.verify.match import bits_equal
from builder.verify.structure import cloned, flatten, sharing, significant_strides
from builder.verify.substance import computes


class Pair(NamedTuple):
    a: torch.Tensor
    b: int


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    loss: float


def test_nesting_is_part_of_a_result():
    x = torch.ones(1)
    leaves, nesting = flatten({"k": (x, [1, None]), "p": Pair(x, 2), "o": Output(x, 3.0)})
    assert leaves == [x, 1, None, x, 2, x, 3.0]
    assert (
        nesting
        == "dict('k': tuple(*, list(*, *)), 'p': Pair(a: *, b: *), 'o': Output(logits: *, loss: *))"
    )
    assert flatten((x,))[1] != flatten([x])[1] != flatten(x)[1]


def test_copies_keep_strides_and_shared_memory():
    base = torch.arange(12.0).view(3, 4).t()
    copy, row, wide = cloned([base, base[1], torch.ones(1, 3).expand(4, 3)])
    assert copy.stride() == base.stride()
    assert copy.untyped_storage().data_ptr() == row.untyped_storage().data_ptr()
    assert copy.untyped_storage().data_ptr() != base.untyped_storage().data_ptr()
    assert wide.stride() == (0, 1)


def test_strides_of_single_elements_do_not_matter():
    assert significant_strides(torch.empty_strided((1, 3), (99, 1))) == (1,)
    assert significant_strides(torch.empty(0, 3)) == ()


def test_sharing_names_the_owner_and_the_place():
    x, y = torch.zeros(4), torch.zeros(4)
    outputs = [x[2:], torch.ones(2), y * 1]
    outputs.append(outputs[1][1:])
    named = [("input 0", x), ("input 1", y)]
    assert sharing(named, outputs) == ("input 0 + 2", "own", "own", "output 1 + 1")


def test_guard_sees_what_host_code_really_runs():
    guard = Guard()
    x = torch.ones(4)
    with guard:
        out = torch.empty(4)
        x.view(2, 2).t().unsqueeze(0)
        torch.zeros(3).zero_()
    assert not guard.forbidden
    assert out.isnan().all()
    with guard:
        x + 1
        x.view(2, 2).t().reshape(4)
    assert guard.forbidden == ["aten.add.Tensor", "aten.clone.default"]


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.bfloat16,
        torch.int8,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
def test_poisons_differ(dtype):
    first, second = torch.zeros(4, dtype=dtype), torch.zeros(4, dtype=dtype)
    poison(first)
    poison(second, second=True)
    assert not bits_equal(first, second)


def test_bits_tell_zeros_apart_and_nan_equal():
    nan = torch.tensor([float("nan")])
    assert bits_equal(nan, nan.clone())
    assert not bits_equal(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not bits_equal(torch.tensor([0.0]), torch.tensor([0]))


COPY = """
  %0 = tt.get_program_id x : i32
  %1 = arith.muli %0, %c4_i32 : i32
  %2 = tt.splat %1 : i32 -> tensor<4xi32>
  %3 = arith.addi %2, %r : tensor<4xi32>
  %4 = tt.addptr %p, %3 : tensor<4x!tt.ptr<f32>>, tensor<4xi32>
  %5 = tt.load %4, %m : tensor<4x!tt.ptr<f32>>
  %6 = arith.truncf %5 : tensor<4xf32> to tensor<4xf16>
  tt.store %4, %6, %m : tensor<4x!tt.ptr<f16>>
"""


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (("", ""), False),
        (("%6, %m", "%3, %m"), False),
        (("arith.truncf %5", "arith.mulf %5, %5"), True),
        (("arith.truncf %5", "math.exp %5"), True),
        (("arith.truncf %5", "arith.addi %5, %c1"), True),
        (("arith.truncf %5", "arith.addi %3, %c1"), False),
        (("tt.load %4", "arith.addi %i, %i\n  %9 = tt.load %4"), False),
    ],
)
def test_filling_and_copying_is_no_computation(change, answer):
    assert computes(COPY.replace(*change)) is answer


def test_gather_by_a_loaded_index_is_a_copy():
    gather = COPY.replace("tt.addptr %p, %3", "tt.addptr %p, %8").replace(
        "  %4 =",
        "  %7 = tt.load %q : tensor<4xi32>\n  %8 = arith.addi %7, %c1 : tensor<4xi32>\n  %4 =",
    )
    assert not computes(gather)


def test_verdict_travels_as_json():
    verdict = Verdict(
        verified=False,
        kind="wrong_values",
        reason="output 0",
        input_shapes=(((2, 3), (4,)),),
        compiled_targets=("cuda:90",),
        resources={"cuda:90": {"registers": 1, "shared": 2, "spills": 3}},
        kernel_names=("a", "b"),
    )
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.verifier_version == VERIFIER_VERSION
    with pytest.raises(ValueError, match="not a verdict"):
        Verdict.from_json('{"verified": true}')
