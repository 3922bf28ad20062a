"""64-bit sizes: declared as such, so that products of two of them do not overflow."""

import ast

from builder.rewrite.wide import declare_wide

KERNEL = """
@triton_heuristics.pointwise(
    size_hints={'y': 131072, 'x': 65536},
    triton_meta={'signature': {'in_ptr0': '*fp32', 'ks0': 'i64', 'n': 'i32', 'XBLOCK': 'constexpr'},
                 'device': 0},
    inductor_meta={'kernel_name': 'i64'},
)
@triton.jit
def kernel(in_ptr0, ks0, n, XBLOCK: tl.constexpr):
    pass
"""


def signature(text):
    function = ast.parse(text).body[0]
    declare_wide(function)
    return ast.unparse(function.args)


def test_only_what_inductor_declares_wide_is():
    assert signature(KERNEL) == "in_ptr0, ks0: tl.int64, n, XBLOCK: tl.constexpr"
    assert signature(KERNEL.replace("'i64', 'n'", "'i32', 'n'")).startswith("in_ptr0, ks0, n")
