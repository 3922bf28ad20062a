import pytest

from builder.rewrite.size_names import size_names


def named(make_inputs, get_inputs="return make_inputs(4, 128)", inputs=("x", "y")):
    body = make_inputs.replace("\n", "\n    ")
    code = f"def make_inputs(N, seq):\n    {body}\n\ndef get_inputs():\n    {get_inputs}\n"
    return size_names(code, inputs)


def test_names_are_those_of_the_function_that_makes_the_inputs():
    assert named("return [torch.randn(N, seq, 64), torch.randint(0, 9, (seq,))]") == {
        ("x", 0): "n",
        ("x", 1): "seq",
        ("y", 0): "seq",
    }
    assert named("mask = torch.rand(N, 8) < 0.5\nreturn [mask, 2 * torch.randn(3, seq) + 1]") == {
        ("x", 0): "n",
        ("y", 1): "seq",
    }


@pytest.mark.parametrize(
    ("make_inputs", "get_inputs"),
    [
        ("return [torch.randn(2 * N, 8)]", "return make_inputs(4, 128)"),
        ("return [torch.randn(8, 9)]", "return make_inputs(4, 128)"),
        ("return list(draw(N))", "return make_inputs(4, 128)"),
        ("return [torch.randn(N, seq)]", "return [torch.randn(4, 128)]"),
        ("return [torch.randn(N, seq)]", "return other(4, 128)"),
    ],
)
def test_other_ways_have_no_names(make_inputs, get_inputs):
    assert named(make_inputs, get_inputs) == {}
