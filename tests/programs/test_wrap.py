"""Long statements are broken as Black does."""

from builder.programs.wrap import wrap


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


def test_signatures_break_at_their_parameters_and_keep_no_body():
    line = "    def forward(self, x: T, y: T) -> tuple[T, T]:"
    assert wrap(line, limit=44) == [
        "    def forward(",
        "        self, x: T, y: T",
        "    ) -> tuple[T, T]:",
    ]


def test_lines_without_a_place_to_break_stay():
    assert wrap("x = aaaaaaa", limit=8) == ["x = aaaaaaa"]
