import ast

import pytest

from builder.rewrite.fold import fold

TEMPLATE = """
def kernel(A, B, pid, n):
    M = {m}
    N: tl.constexpr = 128
    BLOCK_M: tl.constexpr = 64
    changing = 1
    if M * N == 0:
        return
    if (M == 1 and N == 3) or (M >= BLOCK_M and not N < 2):
        rows = tl.max_contiguous(tl.multiple_of(pid % M, BLOCK_M), BLOCK_M)
    else:
        rows = pid % M
    if n > 3:
        changing = 2
    if changing == 1:
        rows = rows + 1
    cols = tl.multiple_of(pid * 16, 16)
"""


def folded(m):
    function = ast.parse(TEMPLATE.format(m=m)).body[0]
    fold(function)
    return [ast.unparse(statement) for statement in function.body]


def test_branches_on_constants_are_taken_and_others_stay():
    lines = folded(640)
    assert "if M * N == 0:\n    return" not in lines
    assert "rows = tl.max_contiguous(tl.multiple_of(pid % M, BLOCK_M), BLOCK_M)" in lines
    assert "if n > 3:\n    changing = 2" in lines
    assert "if changing == 1:\n    rows = rows + 1" in lines


@pytest.mark.parametrize("m", [641, 100, 64 * 7 + 32])
def test_a_hint_that_the_last_block_breaks_is_dropped(m):
    assert "rows = pid % M" in folded(m)


def test_a_hint_about_something_else_stays():
    assert "cols = tl.multiple_of(pid * 16, 16)" in folded(641)
