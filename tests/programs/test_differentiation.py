import pytest
import torch

from builder.errors import ProgramRejected
from builder.programs.differentiation import check_gradients
from builder.programs.load import load_program
from builder.programs.synthesise import draw_program, family_names
from tests.programs.gating import program

INPUTS = "return [torch.rand(4, 3).requires_grad_()]"


def kind_of(*args, **kwargs):
    with pytest.raises(ProgramRejected) as error:
        check_gradients(load_program(program(*args, **kwargs)))
    return error.value.kind, error.value.message


def test_parameters_and_inputs_are_differentiated():
    check_gradients(load_program(program("return torch.sin(x)", INPUTS)))
    check_gradients(
        load_program(program("return x * self.w", init="self.w = nn.Parameter(torch.ones(3))"))
    )


@pytest.mark.parametrize(
    ("forward", "inputs", "kind", "words"),
    [
        ("return torch.sin(x)", "return [torch.rand(4, 3)]", "nothing_differentiable", "require"),
        ("return x.argmax(-1)", INPUTS, "nothing_differentiable", "input[0]"),
        ("return x.to_sparse()", INPUTS, "sparse_tensor", "torch.sparse_coo"),
        ("return torch.sqrt(x * 0)", INPUTS, "gradient_not_finite", "input[0]"),
        ("return x.mul_(2)", INPUTS, "gradient_error", "x.mul_(2)"),
    ],
)
def test_what_has_no_gradients_is_refused(forward, inputs, kind, words):
    found, message = kind_of(forward, inputs)
    assert found == kind
    assert words in message


@pytest.mark.parametrize("name", family_names())
def test_floating_inputs_of_generated_programs_require_gradients(name):
    plain, trained = (draw_program(name, 0, 0, mode) for mode in ("forward", "training"))
    assert plain.python_code == draw_program(name, 0, 0).python_code
    assert plain.python_code.replace("requires_grad_", "") == plain.python_code
    inputs = load_program(trained.python_code, trained.entry_point).make_inputs(0)
    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    assert all(value.requires_grad == value.is_floating_point() for value in tensors)
