import pytest

from builder.programs.wrap import split_items, wrap


def test_short_lines_stay():
    assert wrap("x = f(a, b)", limit=11) == ["x = f(a, b)"]


def test_the_last_bracket_pair_is_broken():
    assert wrap("    y = g(h)(first, second)", limit=24) == [
        "    y = g(h)(",
        "        first, second",
        "    )",
    ]


def test_items_that_do_not_fit_get_a_line_each():
    assert wrap("x = call(first[0, 1], second, third)", limit=22) == [
        "x = call(",
        "    first[0, 1],",
        "    second,",
        "    third,",
        ")",
    ]


def test_lists_have_an_item_a_line():
    assert wrap("return [first, second]", limit=20) == [
        "return [",
        "    first,",
        "    second,",
        "]",
    ]


def test_signatures_break_at_their_parameters():
    line = "def forward(self, x: T, y: T) -> tuple[T, T]:"
    assert wrap(line, limit=40) == [
        "def forward(",
        "    self, x: T, y: T",
        ") -> tuple[T, T]:",
    ]


@pytest.mark.parametrize("line", ["x = a + b + c", "x = f()"])
def test_lines_without_a_place_to_break_stay(line):
    assert wrap(line, limit=5) == [line]


def test_items_are_split_at_outer_commas():
    assert split_items("a, f(b, c), [d, {e: (f, g)}],") == ["a", "f(b, c)", "[d, {e: (f, g)}]"]
