"""Which ATen operators Inductor's library calls are, and how they are written."""

import ast

import pytest
import torch
from torch._inductor.kernel import bmm, conv, mm, mm_grouped  # noqa: F401 - they fill the table
from torch._inductor.quantized_lowerings import aten__weight_int8pack_mm  # noqa: F401
from torch._inductor.select_algorithm import extern_kernels
from torch.utils._python_dispatch import TorchDispatchMode

from builder.capture import library


def call(text):
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Call)
    return node


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("extern_kernels.mm(a, b, out=c)", "aten.mm.out"),
        ("extern_kernels.convolution(a, b, stride=(1,))", "aten.convolution.default"),
        ("extern_kernels.bias_addmm(a, b, c, out=d)", "extern_kernels.bias_addmm"),
        ("torch.ops.aten._fft_r2c.default(a, [1], 0, True)", "aten._fft_r2c.default"),
        ("aten.index_put_(a, [b], c, True)", "aten.index_put_.default"),
        ("torch.ops.mine.op.default(a)", "torch.ops.mine.op.default"),
        ("inductor_ops.resize_storage_bytes_(a, 0)", "inductor_ops.resize_storage_bytes_"),
    ],
)
def test_names_of_operators(text, name):
    assert library.is_library_call(call(text))
    assert library.operator_name(call(text)) == name


def test_the_table_of_extern_kernels_has_the_names():
    for name in library._EXTERN:
        assert hasattr(extern_kernels, name), name
        plain, out = (library.overload(f"aten.{name}.{kind}") for kind in ("default", "out"))
        assert plain is not None or out is not None, name


def test_views_numbers_and_launches_are_told_apart():
    module = (
        "def call(args):\n    buf0 = torch.ops.aten.view_as_real.default(args)\n"
        "    triton_0.run(buf0, 3)\n    u0 = buf0.item()\n"
        "    torch.ops.aten.index_put_.default(buf0, [args], buf0)\n"
    )
    assert library.library_calls(module) == (library.ITEM, "aten.index_put_.default")
    for name in library.VIEWS:
        assert library.overload(name).is_view
        assert library.spelled(name).startswith("torch.")
        assert not library.spelled(name).startswith("torch.ops")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("aten.mm.out", "torch.mm"),
        ("aten.linalg_inv_ex.default", "torch.linalg.inv_ex"),
        ("aten.special_airy_ai.default", "torch.special.airy_ai"),
        ("aten.pow.Tensor_Scalar", "torch.ops.aten.pow.Tensor_Scalar"),
        ("aten._linalg_slogdet.default", "torch.ops.aten._linalg_slogdet.default"),
        ("aten.cdist.default", "torch.ops.aten.cdist.default"),
    ],
)
def test_the_public_spelling_is_preferred(name, written):
    assert library.spelled(name) == written
    assert library.spellings(name) >= {written, f"torch.ops.{name}"}


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("aten.mm.default", 2),
        ("aten.linalg_inv_ex.default", 1),
        ("aten.linalg_qr.default", 1),
        ("aten.mul.Tensor", 2),
        ("aten.abs.default", 1),
        ("aten._linalg_svd.default", 1),
        ("aten._linalg_eigh.default", 1),
    ],
)
def test_each_spelling_runs_the_operator_alone(name, arguments):
    for written in library.spellings(name):
        function = eval(written, {"torch": torch})
        with Seen() as seen:
            function(*[torch.eye(3)] * arguments)
        assert seen.names == ["aten.eye.default"] * (len(seen.names) - 1) + [name], written


@pytest.mark.parametrize(
    "name",
    [
        "aten.bernoulli.p",
        "aten.multinomial.default",
        "aten.from_file.default",
        "aten._local_scalar_dense.default",
        "aten.equal.default",
        "aten.set_.source_Storage",
        "aten.no_such.default",
        "torch.mm",
        "mine.op.default",
        "",
    ],
)
def test_what_no_pair_may_call(name):
    assert not library.can_be_kept(name)


@pytest.mark.parametrize(
    "name", ["aten.mm.out", "aten._linalg_check_errors.default", "aten.unbind.int"]
)
def test_what_a_pair_may_call(name):
    assert library.can_be_kept(name)


def test_the_number_of_results():
    assert library.num_results("aten._linalg_svd.default") == 3
    assert library.num_results("aten.mm.out") == 1
    assert library.num_results("aten._linalg_check_errors.default") == 0
