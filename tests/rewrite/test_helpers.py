"""Functions beside a kernel: their names, which stay, and which of their parameters."""

import ast

from builder.capture.kernels import Kernel
from builder.rewrite.helpers import drop_unread_parameters, helper_functions, reachable
from builder.rewrite.kernel import standalone_kernel

SOURCE = """
@triton.jit
def idle(x):
    return x

@triton.jit
def inner(arg_A, arg_B, x, EXACT, unread=3, SCALE=2):
    FACTOR: tl.constexpr = 5
    UNUSED: tl.constexpr = 6
    if EXACT:
        x = x * FACTOR
    return x * SCALE + triton_helpers.maximum(tl.load(arg_B), x)

@triton.jit
def outer(arg_A, arg_B, x, desc):
    return inner(arg_A, arg_B, x, EXACT=True, unread=desc, SCALE=4)

@triton.jit
def triton_tem_fused_thing_0(arg_A, arg_B, arg_C, out_ptr0):
    desc = None
    x = tl.load(arg_A, tl.arange(0, 4) < 3)
    tl.store(out_ptr0, outer(arg_A, arg_B, x, desc))
"""


def kernel(kind="template", source=SOURCE):
    return Kernel("triton_tem_fused_thing_0", kind, source, {}, 4, 1, "FixedGrid")


def test_parts_of_a_template_keep_their_names_behind_the_kernels():
    functions, names = helper_functions(kernel(), "thing_kernel")
    assert [function.name for function in functions] == ["idle", "inner", "outer"]
    assert names == {"idle": "thing_idle", "inner": "thing_inner", "outer": "thing_outer"}
    _, names = helper_functions(kernel("scan"), "thing_kernel")
    assert list(names.values()) == ["thing_combine", "thing_combine1", "thing_combine2"]


def test_what_nothing_reads_is_left_out_all_the_way():
    made = standalone_kernel(kernel(), set())
    assert made.dropped == {2}
    assert made.functions == {"maximum"}
    assert "def thing_kernel(arg_A, arg_B, out_ptr0):" in made.text
    assert "def thing_outer(arg_B, x):" in made.text
    assert "def thing_inner(arg_B, x, EXACT, SCALE=2):" in made.text
    assert "thing_inner(arg_B, x, EXACT=True, SCALE=4)" in made.text
    assert "tl.load(arg_A, tl.arange(0, 4) < 3, other=0)" in made.text
    for gone in ("idle", "UNUSED", "desc", "arg_C"):
        assert gone not in made.text
    ast.parse(made.text)


def functions_of(text):
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def test_a_function_that_is_handed_on_keeps_its_parameters():
    text = "def f(a, b):\n    return a\n\ndef k(x):\n    return tl.reduce(x, 0, f)\n"
    helper, function = functions_of(text)
    assert reachable(function, [helper]) == [helper]
    drop_unread_parameters(function, [helper], lambda _: None)
    assert [item.arg for item in helper.args.args] == ["a", "b"]
