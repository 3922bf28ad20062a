"""64-bit sizes: declared as such, so that products of two of them do not overflow."""

import ast

from builder.rewrite.wide import declare_wide

KERNEL = """
@triton_heuristics.pointwise(
    size_hints={'y': 131072, 'x': 65536},
    triton_meta={'signature': {'in_ptr0': '*fp32', 'ks0': 'i64', 'n': 'i32', 'ynumel': 'i64',
                 'XBLOCK': 'constexpr'}, 'device': 0},
    inductor_meta={'kernel_name': 'i64'},
)
@triton.jit
def kernel(in_ptr0, ks0, n, ynumel, XBLOCK: tl.constexpr):
    pass
"""


def signature(text):
    function = ast.parse(text).body[0]
    declare_wide(function)
    return ast.unparse(function.args)


def test_sizes_that_inductor_declares_wide_are():
    declared = "in_ptr0, ks0: tl.int64, n, ynumel: tl.int64, XBLOCK: tl.constexpr"
    assert signature(KERNEL) == declared


def test_a_kernel_that_indexes_with_32_bits_is_left_alone():
    narrow = KERNEL.replace("'ynumel': 'i64'", "'ynumel': 'i32'")
    assert signature(narrow) == "in_ptr0, ks0, n, ynumel, XBLOCK: tl.constexpr"
    template = narrow.replace("pass", "INDEX_DTYPE: tl.constexpr = tl.int64")
    assert "ks0: tl.int64" in signature(template)
    assert "ks0: tl" not in signature(template.replace("tl.int64\n", "tl.int32\n"))
