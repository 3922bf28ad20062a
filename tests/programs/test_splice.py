"""Two motifs in one program."""

import ast
import subprocess
import sys
from random import Random

import pytest
import torch

from builder.programs import synthesise as module
from builder.programs.draft import Draft
from builder.programs.families import FAMILIES
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.render import render
from builder.programs.rng import item_rng
from builder.programs.splice import spliced
from builder.programs.synthesise import draw_program


def motif(name, dims, *lines, seed=0, dtype="float32", varied=()):
    draft = Draft(Random(seed), (dtype,))
    draft.title((name,), f"{name} of it.")
    for role, size in dims.items():
        draft.size(role, size)
    draft.normal(("x",), " ".join(dims))
    draft.vary(*varied, chance=1.0)
    draft.forward(*lines)
    return draft


def norm(**more):
    dims = {"rows": 12, "hidden": 20}
    return motif("Norm", dims, "return x - x.mean(-1, keepdim=True)", varied=("rows",), **more)


def gate(**more):
    draft = motif("Gate", {"batch": 3, "hidden": 7}, "return x * scale.exp()", **more)
    draft.positive(("scale",), "batch hidden")
    return draft


def test_the_second_takes_what_the_first_gives_and_its_sizes():
    joined = spliced(norm(), [gate()])
    loaded = load_program(render(joined), "Norm")
    assert [tuple(t.shape) for t in loaded.make_inputs(0)] == [(12, 20), (12, 20)]
    for variant in range(3):
        x, scale = loaded.make_inputs(0, variant)
        assert x.shape == scale.shape
        given = loaded.run(loaded.make_module(), [x, scale])
        torch.testing.assert_close(given, (x - x.mean(-1, keepdim=True)) * scale.exp())
    assert joined.level == 3
    assert check(loaded, strict=True).input_shapes[0][1] == 20


@pytest.mark.parametrize(
    "second",
    [
        gate(dtype="float16"),
        motif("Norm", {"rows": 3, "hidden": 7}, "return x * 2.0"),
        motif("Pool", {"batch": 2, "seq": 3, "hidden": 7}, "return x.amax(1)"),
        motif("Pair", {"rows": 3, "hidden": 7}, "return x, x"),
        motif("Fixed", {"rows": 3, "hidden": 7}, "return x @ torch.ones(7, 7)"),
    ],
    ids=["type", "name", "dimensions", "results", "size"],
)
def test_what_does_not_fit_is_given_up_for_the_next(second):
    assert spliced(norm(), [second]) is None
    assert spliced(norm(), [second, gate()]).class_name == "Norm"


def test_a_loss_is_followed_by_nothing_and_a_first_stays_as_it_is():
    loss = motif("Loss", {"rows": 12, "hidden": 20}, "return x.square().mean()")
    assert spliced(loss, [gate()]) is None
    first = norm()
    before = render(first)
    assert spliced(first, [gate()]) is not None
    assert render(first) == before


def test_drawn_motifs_are_spliced_and_pass_the_gates(monkeypatch):
    monkeypatch.setattr(module, "SPLICED", 1.0)
    names = [name for name, family in FAMILIES.items() if not family.is_steered][::4]
    texts = [draw_program(name, 6, 0).python_code for name in names]
    both = [text for text in texts if text.count("(nn.Module)") == 2]
    assert len(both) >= len(texts) // 5
    for text in both:
        first, second = (n.name for n in ast.parse(text).body if isinstance(n, ast.ClassDef))
        assert f"= {first}()" in text
        load_program(text, second).make_module()


def test_what_is_spliced_and_laid_out_otherwise_is_formatted(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SPLICED", 1.0)
    monkeypatch.setattr(module, "LAYOUTS", 1.0)
    for name in [name for name, family in FAMILIES.items() if not family.is_steered]:
        (tmp_path / f"{name}.py").write_text(draw_program(name, 3, 1).python_code)
    for command in (
        ["format", "--diff", "--isolated", "--line-length=100"],
        ["check", "--isolated", "--line-length=100", "--select=E,F,I,W,B,PIE"],
    ):
        ruff = [sys.executable, "-m", "ruff", *command, tmp_path]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_share_of_the_motifs_is_spliced():
    rngs = [item_rng(0, index, "splice:softmax").random() for index in range(400)]
    assert 0.05 < sum(value < module.SPLICED for value in rngs) / len(rngs) < 0.2
