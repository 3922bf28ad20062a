import ast

from builder.rewrite.unread import sort_values_only

SORT = """
def kernel(x, out, places, width):
    value = tl.load(x)
    index = tl.arange(0, 8)
    sorted_value, sorted_index = sort_with_index(value, index, width, 1, descending=True)
    tl.store(out, sorted_value)
"""


def rewritten(text: str) -> str:
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    sort_values_only(function)
    return ast.unparse(function)


def test_a_sort_for_its_values_takes_no_index_along():
    text = rewritten(SORT)
    assert "sorted_value = sort_values(value, width, 1, descending=True)" in text
    assert "sort_with_index" not in text


def test_an_index_that_is_read_stays():
    text = SORT + "    tl.store(places, sorted_index)\n"
    assert "sort_with_index(value, index, width" in rewritten(text)
