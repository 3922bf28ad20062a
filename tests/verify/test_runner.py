"""Running either module on one input set, and the Triton text's own errors."""

import pytest
import torch
from torch import nn

from builder.errors import ProgramRejected, VerificationRejected
from builder.programs.load import load_program
from builder.verify.modules import anonymous, imported_text, original_module, triton_module
from builder.verify.reruns import other_answers
from builder.verify.runner import Case, held_tensors, run_original, run_triton
from tests.verify.data import counter, loss


def case_of(text, name, seed=0):
    program = load_program(text, name)
    return program, Case(original_module(program, seed), program.make_inputs(seed), seed)


def test_operation_of_a_library_is_taken_apart_for_its_reference():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTM(6, 5)

        def forward(self, x):
            return self.cell(x)[0]

    torch.manual_seed(0)
    module = Recurrent()
    x = torch.randn(3, 2, 6)
    original = run_original(Case(module, [x], 0))
    with torch.no_grad():
        expected = Recurrent().double()
        expected.load_state_dict(module.state_dict())
        exact = expected(x.double())
    torch.testing.assert_close(original.expected["output 0"].reference, exact, rtol=1e-12, atol=0)


def test_a_case_is_never_run_itself():
    _, case = case_of(counter.PYTHON, "Counter")
    before = [tensor.clone() for tensor in held_tensors(case.module, case.inputs).values()]
    run_original(case)
    after = held_tensors(case.module, case.inputs).values()
    assert all(map(torch.equal, before, after))


def test_inputs_and_state_are_held_by_name():
    _, case = case_of(counter.PYTHON, "Counter")
    assert list(held_tensors(case.module, case.inputs)) == ["input 0", "input 1", "buffer total"]


def test_other_answers_are_computed_once_and_as_needed(monkeypatch):
    _, case = case_of(loss.PYTHON, "Loss")
    calls = []

    def counted(case, plan):
        calls.append(plan)
        return run_original(case, plan)

    monkeypatch.setattr("builder.verify.reruns.run_original", counted)
    answers = other_answers(case)
    first = next(iter(answers))
    assert "output 0" in first
    assert len(calls) == 1
    assert next(iter(answers)) is first
    assert len(calls) == 1
    assert len(list(answers)) == len(calls) > 10


UNWRITTEN = {
    "empty_like": torch.empty_like,
    "view": lambda x: x.new_empty(8, 2).reshape(4, 4),
    "in a list": lambda x: [x + 1, torch.empty(3)],
}
WRITTEN = {
    "filled": lambda x: x.new_empty(3).fill_(2.0),
    "drawn": lambda x: torch.empty_like(x).uniform_(),
    "out": lambda x: torch.sin(x, out=torch.empty_like(x)),
    "part": lambda x: torch.cat([x.new_empty(0, 4), x]),
    "only its shape": lambda x: torch.zeros_like(torch.empty_like(x)) + x,
    "nothing": lambda x: [x, x.new_empty(0)],
}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", UNWRITTEN)
def test_memory_that_nothing_wrote_is_no_output(name):
    with pytest.raises(ProgramRejected, match="fill it") as caught:
        run_original(Case(Function(UNWRITTEN[name]), [torch.randn(4, 4)], 0))
    assert caught.value.kind == "undefined_output"


@pytest.mark.parametrize("name", WRITTEN)
def test_memory_that_was_written_is(name):
    assert run_original(Case(Function(WRITTEN[name]), [torch.randn(4, 4)], 0)).run.leaves


def test_triton_run_records_launches_and_leaves_the_case():
    program, case = case_of(counter.PYTHON, "Counter")
    with imported_text(counter.TRITON) as text:
        new = triton_module(program, text, case.module, 0)
        run = run_triton(case, new)
        assert [launch.kernel.__name__ for launch in run.launches] == ["counter_kernel"]
    assert not torch.equal(run.held["input 0"], case.inputs[0])
    assert run.shared == ("input 0 + 0", "own")


def test_error_names_the_line_of_the_text():
    with pytest.raises(VerificationRejected) as caught, imported_text("x = 1\ny = 1 / 0\n"):
        pass
    assert caught.value.kind == "triton_error"
    assert caught.value.message == "import at line 2: ZeroDivisionError: division by zero"


def test_exit_of_the_text_is_an_error():
    with pytest.raises(VerificationRejected), imported_text("raise SystemExit(0)"):
        pass


def test_messages_name_no_place_of_this_machine():
    message = anonymous("File '/tmp/verify-x1/triton_code.py', <object at 0x7f00aa>")
    assert message == "File 'triton_code.py', <object at 0x...>"
