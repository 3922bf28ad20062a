import ast

import pytest
import torch

from builder.capture.sizes import Size, Sizes
from builder.rewrite.sizes import SizeNames, are_equal, contiguous_strides, is_size, simplified


def parsed(text):
    return ast.parse(text, mode="eval").body


SIZES = Sizes(
    free=(Size("_size_0", "x", 2, 0), Size("_size_1", "options['bias'][0]", 1, 0)),
    spelled=(("s1", "_size_0"), ("s7", "2*_size_1")),
    guards=("_size_0 >= 2", "_size_0*_size_1 <= 2147483647"),
)


def test_sizes_have_names_of_their_own():
    names = SizeNames(SIZES, {"x", "x_size0"})
    assert names.reads() == [
        "if x.dim() != 2:\n    raise ValueError('x: expected 2 dimensions')",
        (
            "if options['bias'][0].dim() != 1:\n"
            "    raise ValueError(\"options['bias'][0]: expected 1 dimension\")"
        ),
        "x_size0_ = x.shape[0]",
        "options_bias_0_size0 = options['bias'][0].shape[0]",
    ]
    assert names.text((3, "_size_0")) == "(3, x_size0_)"
    assert names.text(("_size_0 // 2",)) == "(x_size0_ // 2,)"
    assert ast.unparse(names.spelled()["s7"]) == "2 * options_bias_0_size0"


def test_the_programs_own_names_are_taken_where_they_are_free():
    names = SizeNames(SIZES, {"x"}, {("x", 0): "rows"})
    assert names.reads()[2] == "rows = x.shape[0]"
    names = SizeNames(SIZES, {"rows"}, {("x", 0): "rows"})
    assert names.reads()[2] == "rows_ = x.shape[0]"


@pytest.mark.parametrize(
    ("guards", "refused", "taken"),
    [
        (("_size_0 == 4 or _size_1 == 3",), (5, 2), (5, 3)),
        (("_size_0 == 4 or _size_1 == 3", "_size_0 >= 2"), (1, 3), (5, 3)),
        (("_size_0 >= 2", "_size_1 >= 2", "_size_0 == 4 or _size_1 == 3"), (1, 3), (4, 2)),
    ],
)
def test_alternatives_are_one_condition(guards, refused, taken):
    sizes = Sizes(free=(Size("_size_0", "x", 2, 0), Size("_size_1", "x", 2, 1)), guards=guards)
    code = "\n".join(SizeNames(sizes, ()).checks())
    exec(code, dict(zip(("x_size0", "x_size1"), taken, strict=True)))
    with pytest.raises(ValueError, match="expected"):
        exec(code, dict(zip(("x_size0", "x_size1"), refused, strict=True)))


def test_each_guard_is_a_check_that_says_what_it_found():
    code = "\n".join(SizeNames(SIZES, ()).checks())
    exec(code, {"x_size0": 2, "options_bias_0_size0": 7})
    for rows, bias, found in (
        (1, 7, "x_size0 >= 2, got x_size0=1"),
        (1 << 20, 1 << 20, "< 2"),
    ):
        with pytest.raises(ValueError, match=found):
            exec(code, {"x_size0": rows, "options_bias_0_size0": bias})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("(31 + a*b) // 32", "triton.cdiv(a * b, 32)"),
        ("(a + 7) // 8 * 2", "triton.cdiv(a, 8) * 2"),
        ("(a + 7) // 16", "(a + 7) // 16"),
        ("(a - 7) // 8", "(a - 7) // 8"),
    ],
)
def test_quotients_rounded_up_are_written_so(written, meant):
    assert ast.unparse(simplified(parsed(written))) == meant


@pytest.mark.parametrize("size", [(), (4,), (2, 3, 4), (2, 1, 4)])
def test_contiguous_strides_are_torchs(size):
    strides = contiguous_strides([ast.Constant(extent) for extent in size])
    values = tuple(eval(ast.unparse(stride)) for stride in strides)
    assert values == torch.empty(size).stride()


def test_strides_are_compared_for_all_sizes():
    size = [parsed(text) for text in ("a", "b", "3")]
    assert are_equal(contiguous_strides(size), [parsed(text) for text in ("3*b", "3", "1")])
    assert not are_equal(contiguous_strides(size), [parsed(text) for text in ("3*a", "3", "1")])
    assert not are_equal(size, size[:2])


@pytest.mark.parametrize("text", ["a", "3", "-a + 2*b // 3", "min(a, b) % 2", "max(1, a - b)"])
def test_arithmetic_over_known_sizes(text):
    assert is_size(parsed(text), {"a", "b"})


@pytest.mark.parametrize(
    "text", ["c", "a / 2", "a.size()", "abs(a)", "a if b else 1", "True", "a ** b"]
)
def test_anything_else_is_no_size(text):
    assert not is_size(parsed(text), {"a", "b"})
