"""Library calls that stay, as a person writes them."""

import ast

import pytest
import torch

from builder.errors import RewriteRejected
from builder.rewrite.spelling import publicly
from builder.rewrite.wrapper import forward_body

SIZES = {"s0": ast.Name("rows", ast.Load())}


def body(*lines, keeps=True, sizes=None):
    text = "def call(args):\n    arg0_1, arg1_1 = args\n    args.clear()\n"
    text += "".join(f"    {line}\n" for line in (*lines, "return (arg0_1, )"))
    found = forward_body(
        text, ("x", "self.weight"), {}, "x.device", sizes or {}, keeps_library_calls=keeps
    )
    return [ast.unparse(statement) for statement in found.statements]


def test_a_product_into_a_part_of_a_buffer():
    lines = body(
        "buf0 = empty_strided_cuda((7, 5), (5, 1), torch.float32)",
        "buf1 = reinterpret_tensor(buf0, (3, 5), (5, 1), 20)  # alias",
        "extern_kernels.mm(arg0_1, reinterpret_tensor(arg1_1, (4, 5), (1, 4), 0), out=buf1)",
        "extern_kernels.addmm(arg0_1, arg0_1, arg1_1, alpha=1, beta=-2.5, out=buf1)",
    )
    assert lines == [
        "buf0 = torch.empty((7, 5), dtype=torch.float32, device=x.device)",
        "buf1 = torch.as_strided(buf0, (3, 5), (5, 1), 20)",
        "torch.mm(x, torch.as_strided(self.weight, (4, 5), (1, 4)), out=buf1)",
        "torch.addmm(x, x, self.weight, alpha=1, beta=-2.5, out=buf1)",
    ]


def test_a_tuple_of_results_is_unpacked_and_its_layout_checked():
    lines = body(
        "buf1 = torch.ops.aten._linalg_svd.default(arg0_1, True)",
        "buf3 = buf1[1]",
        "assert_size_stride(buf3, (4, ), (1, ), 'torch.ops.aten._linalg_svd.default')",
        "assert_alignment(buf3, 16, 'torch.ops.aten._linalg_svd.default')",
        "buf2 = buf1[0]",
        "del buf1",
        "buf4 = buf2; del buf2  # reuse",
    )
    assert lines == [
        "buf2, buf3, _ = torch.linalg.svd(x, full_matrices=True)",
        "check_layout('aten._linalg_svd.default', buf3, (4,), (1,))",
        "buf4 = buf2",
    ]


def test_a_result_that_is_also_handed_on_whole_is_left_alone():
    lines = body(
        "buf1 = torch.ops.aten.linalg_qr.default(arg0_1)",
        "buf2 = buf1[1]",
        "buf3 = buf1",
    )
    assert lines == ["buf1 = torch.linalg.qr(x)", "buf2 = buf1[1]", "buf3 = buf1"]


def test_lists_devices_and_infinities():
    lines = body(
        "buf0 = torch.ops.aten.full.default([s0, 2*s0], float('-inf'), dtype=torch.float32, "
        "layout=torch.strided, device=device(type='cuda', index=0), pin_memory=False)",
        "buf1 = buf0",
        "torch.ops.aten.index_put_.default(buf1, [None, arg1_1], arg0_1, True)",
        "assert_size_stride(buf1, (s0, 2*s0), (2*s0, 1), 'torch.ops.aten.full.default')",
        sizes=SIZES,
    )
    full = (
        "buf1 = torch.full([rows, 2 * rows], float('-inf'), dtype=torch.float32, "
        "layout=torch.strided, device=x.device, pin_memory=False)"
    )
    assert lines == [
        full,
        "torch.index_put_(buf1, [None, self.weight], x, True)",
        "check_layout('aten.full.default', buf1, (rows, 2 * rows), (2 * rows, 1))",
    ]


def test_views_of_complex_tensors_are_no_library_calls():
    lines = body(
        "buf0 = torch.ops.aten.view_as_complex.default(arg0_1)",
        "buf1 = buf0",
        "assert_size_stride(buf1, (3, 4), (4, 1), 'torch.ops.aten.view_as_complex.default')",
        keeps=False,
    )
    assert lines == ["buf1 = torch.view_as_complex(x)"]


@pytest.mark.parametrize(
    ("line", "keeps", "message"),
    [
        ("buf0 = torch.ops.aten.linalg_inv_ex.default(arg0_1)", False, "--library-calls keep"),
        ("extern_kernels.mm(arg0_1, arg1_1, out=arg0_1)", False, "aten.mm.out"),
        ("buf0 = torch.ops.aten.bernoulli.p(arg0_1, 0.5)", True, "aten.bernoulli.p"),
        ("buf0 = torch.ops.mine.op.default(arg0_1)", True, "mine.op"),
        ("extern_kernels.bias_addmm(arg0_1, arg0_1, arg1_1, out=arg0_1)", True, "bias_addmm"),
    ],
)
def test_what_is_refused(line, keeps, message):
    with pytest.raises(RewriteRejected) as caught:
        body(line, keeps=keeps)
    assert caught.value.kind == "library_call"
    assert message in caught.value.message
    assert ("--library-calls" in caught.value.message) == (not keeps)


REAL, COMPLEX = torch.randn(4, 6, 8), torch.randn(4, 6, 8, dtype=torch.complex64)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("_fft_r2c", "REAL, [1], {}, True"),
        ("_fft_r2c", "REAL, [0, 2], {}, True"),
        ("_fft_r2c", "REAL, [2], {}, False"),
        ("_fft_r2c", "REAL, [0, 2], {}, False"),
        ("_fft_c2c", "COMPLEX, [2], {}, True"),
        ("_fft_c2c", "COMPLEX, [1, 2], {}, True"),
        ("_fft_c2c", "COMPLEX, [0], {}, False"),
        ("_fft_c2c", "COMPLEX, [0, 1], {}, False"),
        ("_fft_c2r", "COMPLEX, [2], {}, 14"),
        ("_fft_c2r", "COMPLEX, [2], {}, 15"),
        ("_fft_c2r", "COMPLEX, [1, 2], {}, 14"),
    ],
)
def test_transforms_keep_their_dimensions_and_their_norm(operator, arguments, number):
    text = f"torch.ops.aten.{operator}.default({arguments.format(number)})"
    node = ast.parse(text, mode="eval").body
    written = ast.unparse(ast.fix_missing_locations(publicly(f"aten.{operator}.default", node)))
    names = {"torch": torch, "REAL": REAL, "COMPLEX": COMPLEX}
    assert torch.equal(eval(text, names), eval(written, names)), written
    dims = arguments.partition("[")[2].partition("]")[0]
    if "," not in dims:
        assert written.startswith("torch.fft."), written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("_linalg_eigh.default(x, 'U')", "torch.linalg.eigh(x, UPLO='U')"),
        (
            "_linalg_eigh.default(x, 'L', False)",
            "torch.ops.aten._linalg_eigh.default(x, 'L', False)",
        ),
        ("_linalg_svd.default(x)", "torch.linalg.svd(x, full_matrices=False)"),
        ("_linalg_svd.default(x, True)", "torch.linalg.svd(x, full_matrices=True)"),
        (
            "_linalg_svd.default(x, False, False)",
            "torch.ops.aten._linalg_svd.default(x, False, False)",
        ),
    ],
)
def test_factorisations_without_vectors_keep_their_operator(text, written):
    node = ast.parse(f"torch.ops.aten.{text}", mode="eval").body
    assert ast.unparse(publicly(f"aten.{text.partition('(')[0]}", node)) == written
