"""Words of the host's side, names of buffers, and grids."""

import ast
from dataclasses import replace

import pytest

from builder.capture.origins import Origins
from builder.rewrite.kernel import StandaloneKernel
from builder.rewrite.launcher import Launch
from builder.rewrite.style.buffers import name_buffers
from builder.rewrite.style.host import (
    settle_grid,
    size_word,
    wanted_in_backward,
    words_of,
)
from builder.rewrite.style.kernel_names import name_kernels_apart

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
        ("a * b", "ab"),
        ("height * width", "height_width"),
        ("64 * t", "t_all"),
        ("64 * rows", "all_rows"),
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
    assert lines[4] == "    launch_b(hidden_b, scratch)"  # no kernel says more
    assert lines[-1] == "    return (out, sum_out)"


COPY = """
def copy_for_conv_kernel(in_ptr0, out_ptr0):
    tl.store(out_ptr0, tl.load(in_ptr0))
"""
EXTREMES = """
def logsumexp_kernel(in_ptr0, out_ptr0, out_ptr1):
    tmp1 = reduce_max(tl.load(in_ptr0), 1)[:, None]
    tmp2 = tl.sum(tl.load(in_ptr0) - tmp1, 1)[:, None]
    tl.store(out_ptr0, tmp1)
    tl.store(out_ptr1, tmp2)
"""


def standalone(text):
    function = ast.parse(text).body[0]
    parameters = tuple(item.arg for item in function.args.args)
    launch = replace(kernel().launch, parameters=parameters)
    launcher = f"launch_{function.name.removesuffix('_kernel')}"
    return replace(
        kernel(), name=function.name, launcher=launcher, function=function, launch=launch
    )


def buffers(text, kernels, origins=None):
    method = ast.parse(text).body[0]
    name_buffers(method, Origins(origins or {}), set(), None, kernels)
    return [line.strip() for line in ast.unparse(method).splitlines()[1:]]


def test_a_buffer_that_the_program_does_not_name_is_called_after_what_is_written_there():
    text = """
def forward(self, image, logits):
    buf0 = torch.empty((4,))
    launch_copy_for_conv(image, buf0)
    buf1 = torch.empty((4,))
    buf2 = torch.empty((4,))
    launch_logsumexp(logits, buf1, buf2)
    return (buf0, logits)
"""
    kernels = [standalone(COPY), standalone(EXTREMES)]
    lines = buffers(text, kernels, {"buf1": "logsumexp", "buf2": "logsumexp"})
    assert lines[1] == "launch_copy_for_conv(image, out)"
    assert lines[4] == "launch_logsumexp(logits, logsumexp, logsumexp_sum)"
    lines = buffers(text.replace("return (buf0,", "return ("), kernels)
    assert lines[1] == "launch_copy_for_conv(image, image_copy)"
    assert lines[4] == "launch_logsumexp(logits, logits_max, logits_sum)"


def test_no_buffer_is_called_like_a_keyword_or_a_builtin():
    text = """
def forward(self, x):
    buf0 = torch.empty((4,))
    launch_a(x, buf0)
    buf1 = torch.empty((4,))
    launch_b(buf0, buf1)
    return (buf1, buf0)
"""
    lines = buffers(text, [], {"buf0": "or_1", "buf1": "max_1"})
    assert lines[-1] == "return (max_out, or_out)"


def test_a_buffer_that_takes_anothers_memory_is_the_same_tensor():
    text = """
def forward(self, image):
    buf0 = torch.empty((4,))
    launch_copy_for_conv(image, buf0)
    buf1 = buf0
    launch_copy_for_conv(image, buf1)
    buf2 = buf1
    return buf2
"""
    lines = buffers(text, [standalone(COPY)], {"buf0": "hidden", "buf2": "gelu"})
    call = "launch_copy_for_conv(image, gelu)"
    assert lines == ["gelu = torch.empty((4,))", call, call, "return gelu"]
    again = text.replace("buf2 = buf1", "buf2 = buf1\n    buf1 = torch.empty((4,))")
    assert "= hidden" in " ".join(buffers(again, [standalone(COPY)], {"buf0": "hidden"}))


def test_kernels_of_the_same_operations_are_told_apart_by_what_they_are_handed():
    first = standalone(COPY)
    second = replace(first, name="copy_for_conv_2_kernel", launcher="launch_copy_for_conv_2")
    calls = {
        "launch_copy_for_conv": [expression("launch_copy_for_conv(x, x_copy)")],
        "launch_copy_for_conv_2": [expression("launch_copy_for_conv_2(self.weight, x_copy)")],
    }
    taken = {first.name, second.name}
    renamed = name_kernels_apart([first, second], calls, taken)[1]
    assert renamed.name == renamed.function.name == "copy_for_conv_weight_kernel"
    assert renamed.launcher == "launch_copy_for_conv_weight"
    found = ast.unparse(calls["launch_copy_for_conv_2"][0])
    assert found == "launch_copy_for_conv_weight(self.weight, x_copy)"
    assert {renamed.name, renamed.launcher} <= taken


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
