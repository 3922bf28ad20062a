"""What compares launches with those of a GPU, as far as it needs none."""

import pytest
import torch
from triton.tools.tensor_descriptor import TensorDescriptor

from tests.on_gpu import Copies, difference


def test_copies_share_memory_as_what_they_are_of_does():
    base = torch.arange(12.0)
    view, part = base.view(3, 4).t(), base[5:9]
    copies = Copies("cpu")
    twin, (other, number) = copies.of(view), copies.of((part, 7))
    assert number == 7
    assert (twin.stride(), other.storage_offset()) == (view.stride(), 5)
    other.fill_(-1)
    assert twin[1, 1] == twin[0, 2] == -1
    assert base.min() == 0
    assert [ours is theirs for ours, theirs in copies.tensors] == [False, False]


def test_descriptors_are_of_the_copies():
    base = torch.zeros(16, 16)
    copies = Copies("cpu")
    twin = copies.of(TensorDescriptor.from_tensor(base, [8, 8]))
    twin.base.fill_(3)
    assert twin.block_shape == [8, 8]
    assert not base.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_units_in_the_last_place(dtype):
    a = torch.tensor([1.0, -1.0, 0.0, float("nan")], dtype=dtype)
    assert difference(a, a.clone()) is None
    b = torch.nextafter(a, torch.full_like(a, 2.0))
    b[2] = -0.0
    assert "3 of 4" in difference(a, b)
    assert "up to 1 units" in difference(a, b)
    b[0] = -1.0
    assert "at 0 1.0 here, -1.0 there" in difference(a, b)


def test_integers_differ_or_not():
    a = torch.tensor([1, 2, 3])
    assert difference(a, a.clone()) is None
    assert difference(a, a + (a > 2)) == "1 of 3 of torch.int64; at 2 3 here, 4 there"
