"""Steps that a constructor's argument chooses."""

import ast
from random import Random

import pytest
import torch

from builder.programs.configured import configure
from builder.programs.draft import Draft
from builder.programs.load import load_program
from builder.programs.render import render
from builder.programs.structure import structure_of
from builder.programs.synthesise import synthesise


def drafted(seed, line, arguments="positional"):
    draft = Draft(Random(seed), ("float32",))
    draft.style = draft.style.__class__(**{**vars(draft.style), "arguments": arguments})
    draft.title(("Step",), "One step.")
    draft.size("hidden", 16)
    draft.normal("tokens", "hidden hidden")
    name = draft.inputs[0].name
    draft.init("self.act = torch.nn.ReLU()")
    draft.forward(f"{name} = self.act({name})", line.replace("x", name), f"return {name} - 0.5")
    return draft


LINES = {
    "x = torch.tanh(x)": ast.If,
    "x = x * 0.5": ast.If,
    "x = 0.5 + x": ast.If,
    "x = F.leaky_relu(x, 0.1)": ast.If,
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("seed", range(6))
def test_the_program_computes_what_it_did(line, seed):
    draft = drafted(seed, line)
    before = load_program(render(draft))
    assert configure(Random(seed), draft)
    text = render(draft)
    after = load_program(text)
    assert any(isinstance(node, ast.If) for node in ast.walk(ast.parse(text)))
    assert structure_of(after) == structure_of(before)
    inputs = before.make_inputs(0)
    results = [one.run(one.make_module(), inputs) for one in (before, after)]
    assert torch.equal(*results)
    assert isinstance(after.make_module().act, torch.nn.ReLU), "no attribute is overwritten"


def test_each_branch_runs():
    draft = drafted(3, "x = torch.tanh(x)")
    seed = next(
        s
        for s in range(50)
        if configure(Random(s), drafted(3, "x = torch.tanh(x)")) and _choices(s)
    )
    configure(Random(seed), draft)
    program = load_program(render(draft))
    (name, value), *_ = program.constructor_arguments().items()
    assert value == "tanh"
    inputs = program.make_inputs(0)
    results = []
    for branch in ("tanh", "any other"):
        module = program.make_module()
        setattr(module, name, branch)
        results.append(program.run(module, inputs))
    assert not torch.equal(*results)


def _choices(seed):
    draft = drafted(3, "x = torch.tanh(x)")
    configure(Random(seed), draft)
    return any(line == "else:" for line in draft.forward_lines)


def test_what_cannot_be_chosen_is_left_alone():
    for draft in (drafted(0, "x = x @ x"), drafted(0, "x = x * 0.5", "hardcoded")):
        lines = list(draft.forward_lines)
        assert not configure(Random(0), draft)
        assert draft.forward_lines == lines


def test_some_programs_have_it():
    found = [synthesise(3, index).python_code for index in range(120)]
    assert 2 <= sum("        if self." in text for text in found) <= 20
