"""Lists of parameters and arguments that are long: several a line, and grouped."""

import ast

import pytest

from builder.rewrite.style.grouping import grouped
from builder.rewrite.style.layout import WIDTH, laid_out

SIGNATURE = """
@triton.jit
def scale_kernel(
    {pointers},
    num_rows,
    num_cols,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr = 64,
):
    pass
"""


def test_pointers_sizes_and_constants_have_lines_of_their_own():
    pointers = ",\n    ".join(f"activation{letter}_ptr" for letter in "abcdefg")
    text = SIGNATURE.format(pointers=pointers)
    assert grouped(text, 60).splitlines()[2:-1] == [
        "def scale_kernel(",
        "    activationa_ptr, activationb_ptr, activationc_ptr,",
        "    activationd_ptr, activatione_ptr, activationf_ptr,",
        "    activationg_ptr,",
        "    num_rows, num_cols,",
        "    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr = 64",
        "):",
    ]


def test_arguments_of_a_launch_come_before_its_options():
    text = "kernel[grid](\n    hidden_states,\n    self.weight,\n    2 * n,\n    num_warps=4,\n)\n"
    assert grouped(text, 60) == (
        "kernel[grid](\n    hidden_states, self.weight, 2 * n,\n    num_warps=4\n)\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "y = torch.empty_strided(\n    (n, 2),\n    (2, 1),\n    dtype=x.dtype,\n)\n",
        "kernel[grid](\n    x,  # read\n    y,\n)\n",
        "def f(\n    x: torch.Tensor,\n    y: torch.Tensor,\n):\n    pass\n",
        "y = tl.load(\n    x_ptr + (a * n + b), mask=mask, other=0.0\n)\n",
        "y = f(\n    g(x),\n    h,\n)\n",
    ],
)
def test_what_holds_more_than_names_and_numbers_stays(text):
    assert grouped(text, 60) == text


def test_inner_and_outer_lists_are_grouped_alike():
    inner = "    inner[grid](\n        a,\n        b,\n    ),\n"
    text = f"launch(\n    a,\n    b,\n)\nouter(\n{inner}    c,\n)\n"
    after = grouped(text, 60)
    assert ast.dump(ast.parse(after)) == ast.dump(ast.parse(text))
    assert "launch(\n    a, b\n)" in after
    assert "    inner[grid](\n        a, b\n    ),\n    c,\n" in after


def test_a_message_too_long_for_a_line_is_two_strings():
    names = ["batch_size", "sequence_length", "hidden_size"]
    test = "batch_size >= 1 and (sequence_length >= 1) and (hidden_size >= 1)"
    found = ", ".join(f"{{{name}=}}" for name in names)
    message = f"expected {test.replace('(', '').replace(')', '')}, got {found}"
    text = laid_out(
        f"def check({', '.join(names)}):\n    if not ({test}):\n"
        f'        raise ValueError(f"{message}")\n'
    )
    assert max(map(len, text.splitlines())) <= WIDTH
    scope: dict[str, object] = {}
    exec(text, scope)
    with pytest.raises(ValueError, match=r"hidden_size >= 1, got batch_size=2") as raised:
        scope["check"](2, 3, 0)
    assert str(raised.value).endswith("hidden_size=0")
    assert "if not (batch_size >= 1 and sequence_length >= 1 and hidden_size >= 1):" in text


def test_alternatives_keep_their_parentheses():
    text = laid_out(
        "def check(a, b, c):\n    if not (a >= 1 and (b >= 2) and (b == 4 or c == 3)):\n"
        "        raise ValueError\n"
    )
    assert "if not (a >= 1 and b >= 2 and (b == 4 or c == 3)):" in text
