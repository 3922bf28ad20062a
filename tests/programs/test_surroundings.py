"""Operators before and after a motif."""

import re
from random import Random

import pytest

from builder.programs import synthesise as module
from builder.programs.draft import Draft
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.render import render
from builder.programs.structure import structure_of
from builder.programs.surroundings import surround
from builder.programs.synthesise import draw_program


def draft(*lines, seed=0, returns="torch.Tensor", dtype="float32"):
    made = Draft(Random(seed), (dtype,))
    made.title(("Motif",), "A motif.")
    made.size("rows", 12)
    made.normal(("x",), "rows 20")
    made.positive(("scale",), "rows 20")
    made.returns = returns
    made.forward(*lines)
    return made


@pytest.mark.parametrize("seed", range(40))
def test_what_is_put_around_runs_and_changes_the_graph(seed):
    plain, changed = (draft("y = x * scale", "return y.mean(-1)") for _ in range(2))
    assert surround(Random(seed), changed)
    assert changed.inputs == plain.inputs
    loaded = load_program(render(changed), "Motif")
    report = check(loaded)
    assert report.output_shapes == ((12,),)
    ours = structure_of(loaded).fingerprint
    assert ours != structure_of(load_program(render(plain), "Motif")).fingerprint


@pytest.mark.parametrize(
    "lines",
    [
        ("return x * scale, x",),
        ("return (x * scale).argmax(-1)",),
        ("y = (x * scale > 0).sum(-1)", "return y.to(torch.int32)"),
        ("if self.training:", "    return x", "return x * scale"),
    ],
)
def test_several_results_and_integers_are_left_alone(lines):
    for seed in range(20):
        made = draft(*lines)
        end = made.forward_lines[-1]
        surround(Random(seed), made)
        assert made.forward_lines[-1] == end


@pytest.mark.parametrize(
    "line", ["x = torch.round(x)", "best = x.argmax(-1)", "x.mul_(scale)", "keep = x > 0"]
)
def test_nothing_is_put_before_a_decision_or_a_write(line):
    for seed in range(20):
        made = draft(line, "return x * scale")
        surround(Random(seed), made)
        assert made.forward_lines[0] == line


def test_nothing_that_jumps_is_put_around():
    for seed in range(200):
        made = draft("return x * scale")
        surround(Random(seed), made)
        assert not re.search(r"threshold|hardshrink|round|floor", "".join(made.forward_lines))


def test_inputs_with_a_meaning_are_left_alone():
    for seed in range(40):
        made = draft("return x * scale")
        surround(Random(seed), made)
        assert not any(line.startswith("scale = ") for line in made.forward_lines)


def test_motifs_are_surrounded_and_random_graphs_are_not(monkeypatch):
    drawn = {
        name: [draw_program(name, 5, index).python_code for index in range(24)]
        for name in ("rms_norm", "row_graph")
    }
    monkeypatch.setattr(module, "SURROUNDED", 0.0)
    for name, texts in drawn.items():
        plain = [draw_program(name, 5, index).python_code for index in range(24)]
        differing = sum(one != other for one, other in zip(texts, plain, strict=True))
        assert 12 <= differing < 24 if name == "rms_norm" else differing == 0
