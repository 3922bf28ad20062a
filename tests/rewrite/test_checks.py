"""What a module's checks refuse, and how briefly they say it."""

import pytest
import torch

from builder.capture.capture import TensorSpec
from builder.capture.sizes import Sizes
from builder.rewrite.checks import check_functions, tensor_check
from builder.rewrite.sizes import SizeNames

CONTIGUOUS = [
    ((3, 4, 5), (20, 5, 1)),
    ((3, 1, 5), (5, 77, 1)),
    ((1,), (9,)),
    ((), ()),
    (("s0", "s1", 64), ("64*s1", 64, 1)),
    (("s0", "s1 + 1", 2), ("2*s1 + 2", 2, 1)),
    (("s0", "min(s1, 8)"), ("min(s1, 8)", 1)),
]
STRIDED = [
    ((3, 4), (1, 3)),
    ((3, 4), (8, 1)),
    ((3, 4), (0, 1)),
    (("s0", "s1"), (1, "s0")),
    (("s0", "s1"), ("2*s1", 1)),
    (("s0", "max(s1, 8)"), ("min(s1, 8)", 1)),
]


def written(size, stride):
    """The check of a tensor, without its names."""
    text = tensor_check(TensorSpec("x", size, stride, "float32"), SizeNames(Sizes(), set(), {}))
    return text.removeprefix("check_tensor('x', x, ")


@pytest.mark.parametrize(("size", "stride"), CONTIGUOUS)
def test_a_contiguous_layout_needs_no_strides(size, stride):
    assert written(size, stride).endswith("torch.float32)")


@pytest.mark.parametrize(("size", "stride"), STRIDED)
def test_another_layout_is_spelled_out(size, stride):
    assert not written(size, stride).endswith("torch.float32)")


def checker(call):
    """The function that a host with this call gets."""
    namespace = {"torch": torch}
    (text,) = check_functions([call])
    exec(text, namespace)
    return namespace["check_tensor"], "stride" in text.splitlines()[0]


def test_strides_are_looked_at_where_a_call_gives_them():
    check, takes_strides = checker("check_tensor('x', x, (2, 3), torch.float32, (1, 2))")
    assert takes_strides
    check("x", torch.zeros(3, 2).t(), (2, 3), torch.float32, (1, 2))
    check("x", torch.zeros(2, 3), (2, 3), torch.float32)
    for tensor, stride in [(torch.zeros(2, 3), ((1, 2),)), (torch.zeros(3, 2).t(), ())]:
        with pytest.raises(ValueError, match="x: expected"):
            check("x", tensor, (2, 3), torch.float32, *stride)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, 2).t(), torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3, 2)],
)
def test_contiguous_tensors_of_the_type_and_size_pass(tensor):
    check, takes_strides = checker("check_tensor('x', x, (2, 3), torch.float32)")
    assert not takes_strides
    check("x", torch.zeros(2, 3), (2, 3), torch.float32)
    check("x", torch.zeros(2, 1, 3)[:, 0], (2, 3), torch.float32)
    with pytest.raises(ValueError, match="x: expected"):
        check("x", tensor, (2, 3), torch.float32)
