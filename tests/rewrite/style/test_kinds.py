"""Types and shapes of values, as Triton gives them."""

import ast

import pytest

from builder.rewrite.style.kinds import (
    Kind,
    broadcast,
    kind_of,
    note,
    promoted,
    signature_kinds,
)

KINDS = signature_kinds(
    {"p": "*fp32", "h": "*bf16", "n": "i32", "XBLOCK": "constexpr", "flag": "*i1"}
)
STATEMENTS = """
row = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:, None]
col = tl.arange(0, 64)[None, :]
x = tl.load(p + (col + 64 * row), mask=row < n)
b = tl.load(h + col)
m = tl.sum(x, 1)[:, None]
acc = tl.zeros([XBLOCK, 64], dtype=tl.float32)
"""


@pytest.fixture
def kinds():
    known = dict(KINDS)
    for statement in ast.parse(STATEMENTS).body:
        note(statement, known)
    return known


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("row", "i32", ("XBLOCK", "1")),
        ("row < n", "i1", ("XBLOCK", "1")),
        ("x", "fp32", ("XBLOCK", "64")),
        ("b", "bf16", ("1", "64")),
        ("b / b", "fp32", ("1", "64")),
        ("b * 2.0", "bf16", ("1", "64")),
        ("x + b", "fp32", ("XBLOCK", "64")),
        ("b.to(tl.float32)", "fp32", ("1", "64")),
        ("m", "fp32", ("XBLOCK", "1")),
        ("tl.where(row < n, x, 0.0)", "fp32", ("XBLOCK", "64")),
        ("libdevice.exp(x - m)", "fp32", ("XBLOCK", "64")),
        ("acc", "fp32", ("XBLOCK", "64")),
        ("tl.broadcast_to(m, [XBLOCK, 64])", "fp32", ("XBLOCK", "64")),
        ("row // 2", "i32", ("XBLOCK", "1")),
        ("row / 2", None, ("XBLOCK", "1")),
        ("sort_values(x, None, 1)", "fp32", ("XBLOCK", "64")),
        ("tl.associative_scan(x, 1, add)", None, None),
        ("tl.load(flag + row)", "i8", ("XBLOCK", "1")),
        ("-x", "fp32", ("XBLOCK", "64")),
    ],
)
def test_kind(kinds, text, dtype, shape):
    found = kind_of(ast.parse(text, mode="eval").body, kinds)
    assert (found.dtype, found.shape) == (dtype, shape)


def test_promotion_follows_triton():
    assert promoted("i32", "i64") == "i64"
    assert promoted("i64", "fp16") == "fp16"
    assert promoted("fp16", "bf16") == "fp32"
    assert promoted("int", "fp16") == "fp16"
    assert promoted("float", "i32") is None
    assert promoted("fp16", "fp16", divides=True) == "fp32"
    assert promoted(None, "fp32") is None
    assert promoted("u32", "i32") is None


def test_shapes_are_brought_together():
    assert broadcast(("A", "1"), ("1", "B")) == ("A", "B")
    assert broadcast((), ("B",)) == ("B",)
    assert broadcast(("A",), ("B",)) is None
    assert broadcast(None, ("B",)) is None
    assert Kind() == Kind(None, None, None)
