"""The private parts of torch and triton are where verification expects them."""

import contextlib
import io
import os

import pytest
import torch

from builder.verify import seams
from builder.verify.guard import Guard


@pytest.mark.parametrize("name", seams.__all__)
def test_every_seam_is_there(name):
    assert callable(getattr(seams, name)), f"{name} moved; correct builder/verify/seams.py"


def test_seams_of_torch():
    add = torch.ops.aten.add_.Tensor
    assert [a.name for a in seams.schema_arguments(add)] == ["self", "other", "alpha"]
    assert seams.schema_arguments(add)[0].alias_info.is_write
    assert seams.packet_name(add) == "add_"
    assert seams.overload_name(torch.ops.aten.div.Tensor_mode) == "Tensor_mode"
    assert torch.ops.aten.view.default.is_view
    assert torch.Tag.pointwise in torch.ops.aten.add.Tensor.tags
    assert torch.Tag.nondeterministic_seeded in torch.ops.aten.bernoulli.default.tags
    leaves, spec = seams.tree_flatten(((1, [2]), {"a": 3}))
    assert seams.tree_unflatten(leaves, spec) == ((1, [2]), {"a": 3})
    assert torch.equal(seams.negated_view(torch.ones(2)), -torch.ones(2))


def test_modes_can_be_left():
    guard = Guard()
    with guard, seams.outside_dispatch_modes():
        torch.ones(2) + 1
    assert not guard.forbidden


def test_native_diagnostics_are_captured():
    with seams.captured_diagnostics() as lines:
        os.write(2, b"file:1: error: broken\n")
    assert lines == ["file:1: error: broken"]


def test_standard_error_comes_back_after_an_exception():
    before = os.fstat(2)
    with contextlib.suppress(ValueError), seams.captured_diagnostics():
        raise ValueError
    assert os.fstat(2) == before


def test_fresh_compilation_restores_the_cache():
    from triton import knobs

    before = knobs.cache.dir
    with seams.fresh_compilation() as report:
        assert knobs.cache.dir != before
        assert isinstance(report, io.StringIO)
    assert knobs.cache.dir == before


def test_torch_has_decompositions_of_library_operations():
    bicubic = torch.ops.aten.upsample_bicubic2d.vec
    parts = seams.decomposition(bicubic)
    assert parts is not None
    x = torch.randn(1, 2, 5, 5)
    given = (x, None, False, [2.0, 2.0])
    torch.testing.assert_close(parts(*given), bicubic(*given))
    assert seams.decomposition(torch.ops.aten.convolution.default) is None
