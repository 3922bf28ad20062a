import ast

import pytest

from builder.errors import RewriteRejected
from builder.rewrite.kernel import StandaloneKernel
from builder.rewrite.launcher import Launch
from builder.rewrite.wrapper import forward_body

FUNCTION = ast.parse("def add_kernel(x_ptr, weight_ptr, out_ptr):\n    pass").body[0]
LAUNCH = Launch(
    ("x_ptr", "weight_ptr", "out_ptr"), (), {}, (), ("1",), takes_grid=False, num_warps=4,
    num_stages=1, is_cooperative=False,
)  # fmt: skip
KERNELS = {
    "triton_poi_0": StandaloneKernel(
        "add_kernel", "launch_add", FUNCTION, (), LAUNCH, {}, frozenset(), frozenset({2})
    )
}


def call(*lines):
    body = "\n".join(f"            {line}" for line in lines)
    return (
        "class Runner:\n    def call(self, args):\n        arg0_1, arg1_1 = args\n"
        "        args.clear()\n        assert_size_stride(arg0_1, (4, 8), (8, 1), 'input')\n"
        "        with torch.cuda._DeviceGuard(0):\n            torch.cuda.set_device(0)\n"
        f"{body}\n"
    )


def translated(*lines):
    body = forward_body(call(*lines), ("x", "self.weight"), KERNELS, "x.device")
    return [ast.unparse(statement) for statement in body.statements]


def test_a_launch_keeps_the_order_of_its_arguments_and_drops_constant_sizes():
    assert translated(
        "buf0 = empty_strided_cuda((4, 8), (8, 1), torch.float32)",
        "raw_stream0 = get_raw_stream(0)",
        "triton_poi_0.run(arg1_1, arg0_1, 32, buf0, stream=raw_stream0)",
        "del arg0_1",
    ) == [
        "buf0 = torch.empty((4, 8), dtype=torch.float32, device=x.device)",
        "launch_add(self.weight, x, buf0)",
    ]


def test_views_keep_their_offset():
    assert translated(
        "buf0 = empty_strided_cuda((8, 4), (1, 8), torch.bfloat16)",
        "buf1 = reinterpret_tensor(buf0, (4, ), (1, ), 3); del buf0  # reuse",
        "buf2 = reinterpret_tensor(arg0_1, (4, ), (1, ), 3)",
        "buf3 = buf1; del buf1",
    ) == [
        "buf0 = torch.empty_strided((8, 4), (1, 8), dtype=torch.bfloat16, device=x.device)",
        "buf1 = torch.as_strided(buf0, (4,), (1,), 3)",
        "buf2 = torch.as_strided(x, (4,), (1,), x.storage_offset() + 3)",
        "buf3 = buf1",
    ]


@pytest.mark.parametrize(
    ("line", "kind", "word"),
    [
        ("extern_kernels.mm(arg0_1, arg1_1, out=arg0_1)", "library_call", "aten.mm.out"),
        ("buf0 = torch.ops.aten.topk.default(arg0_1, 3)", "library_call", "topk"),
        ("buf0 = surprise(arg0_1)", "unknown_construct", "surprise"),
        ("for i in range(3): pass", "unknown_construct", "for i in range"),
        ("unknown.run(arg0_1, stream=raw_stream0)", "unknown_construct", "unknown.run"),
    ],
)
def test_what_has_no_rule_is_rejected_by_name(line, kind, word):
    with pytest.raises(RewriteRejected, match=word) as caught:
        translated(line)
    assert caught.value.kind == kind


SIZES = {"s1": ast.Name("rows", ast.Load()), "s7": ast.parse("2 * cols", mode="eval").body}


def translated_with_sizes(*lines):
    body = forward_body(call(*lines), ("x", "rows"), KERNELS, "x.device", SIZES)
    return [ast.unparse(statement) for statement in body.statements]


def test_sizes_are_read_once_and_written_where_they_are_used():
    assert translated_with_sizes(
        "s1 = arg1_1",
        "arg0_1_size = arg0_1.size()",
        "s7 = arg0_1_size[0]",
        "buf0 = empty_strided_cuda((s1*s7, 8), (8, 1), torch.float32)",
        "buf1 = reinterpret_tensor(buf0, (s1, ((-1) + s7), 8), (8*s7, 8, 1), 8*s1)",
        "ps0 = 8*s1",
        "triton_poi_0_xnumel = ps0*s7",
        "triton_poi_0.run(arg0_1, buf1, s1, ps0, triton_poi_0_xnumel, (63 + s7) // 64, stream=s0)",
    ) == [
        "buf0 = torch.empty((rows * (2 * cols), 8), dtype=torch.float32, device=x.device)",
        "buf1 = torch.as_strided(buf0, (rows, -1 + 2 * cols, 8), (8 * (2 * cols), 8, 1), 8 * rows)",
        "launch_add(x, buf1, 8 * rows, 8 * rows * (2 * cols), triton.cdiv(2 * cols, 64))",
    ]


def test_an_unknown_size_is_rejected_by_name():
    with pytest.raises(RewriteRejected, match="s9"):
        translated_with_sizes("buf0 = empty_strided_cuda((s1*s9, 8), (8, 1), torch.float32)")
    with pytest.raises(RewriteRejected, match=r"math\.trunc"):
        translated_with_sizes("triton_poi_0_xnumel = math.trunc(s1 / s7)")
