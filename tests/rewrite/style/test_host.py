"""Words of the host's side, names of buffers, and grids."""

import ast

import pytest

from builder.capture.origins import Origins
from builder.rewrite.kernel import StandaloneKernel
from builder.rewrite.launcher import Launch
from builder.rewrite.style.host import (
    name_buffers,
    settle_grid,
    size_word,
    wanted_in_backward,
    words_of,
)

KERNEL = ast.parse("def product_kernel(a_ptr, b_ptr, m):\n    pass").body[0]


def expression(text):
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", ["x"]),
        ("self.norm.weight", ["weight", "norm_weight"]),
        ("pair[0]", ["first_pair"]),
        ("options['bias'][1]", ["second_bias", "options_second_bias"]),
        ("torch.as_strided(hidden, (4,), (1,))", ["hidden"]),
        ("semaphores.zero_()", ["semaphores"]),
        ("3", []),
    ],
)
def test_words_of_tensors(text, words):
    assert words_of(expression(text)) == words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("rows", "rows"),
        ("width // 2", "half_width"),
        ("a * b", "a_b"),
        ("64 * t", "all_t"),
        ("7", ""),
    ],
)
def test_words_of_sizes(text, word):
    assert size_word(expression(text)) == word


def test_buffers_are_called_after_the_programs_variables():
    text = """
def forward(self, hidden):
    buf0 = torch.empty((4,))
    launch_a(hidden, buf0)
    buf1 = torch.empty((4,))
    launch_b(buf0, buf1)
    buf2 = torch.empty((4,))
    launch_c(buf1, buf2)
    buf3 = torch.empty((4,))
    return (buf2, buf3)
"""
    method = ast.parse(text).body[0]
    origins = Origins({"buf0": "hidden_1", "buf2": "mul_3", "buf3": "sum_1"})
    name_buffers(method, origins, {"weights"})
    lines = ast.unparse(method).splitlines()
    assert lines[1] == "    hidden_b = torch.empty((4,))"
    assert lines[4] == "    launch_b(hidden_b, scratch)"
    assert lines[-1] == "    return (out, sum_out)"


def test_backward_calls_things_as_forward_does_and_gradients_after_arguments():
    tree = ast.parse(
        "def forward(ctx, x, weight):\n    ctx.save_for_backward(x, hidden)\n"
        "def backward(ctx, grad_output):\n    saved_primals_1, saved_buf0 = ctx.saved_tensors\n"
        "    return (buf4 if ctx.needs_input_grad[0] else None, None)\n"
    )
    assert wanted_in_backward(*tree.body) == {
        "saved_primals_1": "x",
        "saved_buf0": "hidden",
        "buf4": "grad_x",
    }


def kernel():
    launch = Launch(
        ("a_ptr", "b_ptr", "m"), (), {}, (), ("grid_x", "grid_y", "grid_z"), takes_grid=True,
        num_warps=4, num_stages=2, is_cooperative=False,
    )  # fmt: skip
    return StandaloneKernel(
        "product_kernel", "launch_product", KERNEL, (), launch, {}, frozenset(), frozenset()
    )


def test_a_launcher_computes_a_grid_of_what_it_is_given():
    call = expression("launch_product(x, y, rows, 4 * triton.cdiv(rows, 64), 1, 1)")
    settled = settle_grid(kernel(), [call])
    assert settled.launch.grid == ("4 * triton.cdiv(m, 64)",)
    assert not settled.launch.takes_grid
    assert ast.unparse(call) == "launch_product(x, y, rows)"


@pytest.mark.parametrize(
    "texts",
    [
        ["launch_product(x, y, rows, columns, 1, 1)"],  # not given
        ["launch_product(x, y, rows, 3, 1, 1)", "launch_product(x, y, rows, 5, 1, 1)"],
    ],
)
def test_a_grid_that_is_not_the_launchers_stays_with_the_caller(texts):
    calls = [expression(text) for text in texts]
    assert settle_grid(kernel(), calls).launch.takes_grid
    assert [ast.unparse(call) for call in calls] == texts
