"""The order in which addresses are written."""

import pytest

from builder.rewrite.style.addresses import order_addresses

from .text import body, parsed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("col + COLS * row", "row * COLS + col"),
        ("col + width * row", "row * width + col"),
        ("2 + 4 * row", "row * 4 + 2"),
        ("col + COLS * row + M * M * batch", "col + row * COLS + M * M * batch"),
        ("row - COLS * col", "row - col * COLS"),
        ("row * COLS + col", "row * COLS + col"),
        ("rows[:, None] + COLS * row", "row * COLS + rows[:, None]"),
        ("row + height * width", "height * width + row"),
    ],
)
def test_an_index_comes_before_its_stride(old, new):
    function = parsed(f"x = tl.load(x_ptr + ({old}))", "x_ptr, width, height")
    order_addresses(function)
    assert body(function) == [f"x = tl.load(x_ptr + ({new}))"]


def test_what_is_no_address_stays():
    text = "total = x + COLS * y\ntl.store(x_ptr + SIZE * 3, total)"
    function = parsed(text, "x_ptr, x, y")
    order_addresses(function)
    assert body(function) == text.splitlines()
