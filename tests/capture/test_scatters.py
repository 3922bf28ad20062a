"""Fails clearly when the way to scatters in Triton has moved."""

import inspect

import pytest
import torch
from torch import nn
from torch._inductor import lowering
from torch._inductor.fx_passes import reinplace

from builder.capture import scatters
from builder.capture.capture import capture
from builder.capture.targets import TARGETS


def test_the_seams_exist_and_are_left_as_they_were():
    seams = (
        (reinplace._inplace_generalized_scatter, "__code__"),
        (lowering, "needs_fallback_due_to_atomic_add_limitations"),
        (lowering, "use_scatter_fallback"),
    )
    before = [getattr(owner, name) for owner, name in seams]
    with scatters.scatters_in_triton():
        assert all(getattr(o, n) is not b for (o, n), b in zip(seams, before, strict=True))
    assert [getattr(owner, name) for owner, name in seams] == before


def test_the_function_that_is_replaced_has_the_names_it_needs():
    names = set(scatters._generalized_scatter.__code__.co_names) - {"target", "args", "kwargs"}
    known = vars(reinplace)
    assert {"torch", "pytree"} <= names
    assert known["torch"] is torch
    assert hasattr(known["pytree"], "tree_map")
    parameters = inspect.signature(reinplace._inplace_generalized_scatter).parameters
    assert list(parameters) == ["inp", "src", "view_ops"]


class Counts(nn.Module):
    def forward(self, place, amount):
        zeros = torch.zeros(64, dtype=amount.dtype, device=place.device)
        by_index = zeros.index_put((place,), amount, accumulate=True)
        return by_index, zeros.scatter_add(0, place, amount * 3), zeros.index_add(0, place, -amount)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32])
def test_sums_at_an_index_are_atomic_additions(dtype):
    inputs = [torch.randint(64, (500,)), torch.randint(-9, 9, (500,)).to(dtype)]
    captured = capture(Counts(), inputs, TARGETS["cuda:90"])
    assert captured.fallback_ops == ()
    assert "tl.atomic_add" in captured.source
