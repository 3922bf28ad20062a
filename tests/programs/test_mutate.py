"""Mutants: programs read as graphs, edited, and still saying something."""

import ast
import re
from pathlib import Path
from random import Random

import pytest
import torch

from builder.errors import ProgramRejected
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.mutate.edits import KINDS, Edit, grouped
from builder.programs.mutate.mutator import mutate, without_comments
from builder.programs.mutate.sites import bound_name, read_graph
from builder.programs.mutate.unread import unread_names

SEEDS = sorted((Path(__file__).parents[2] / "data" / "seeds").glob("*.py"))

GATE = '''
"""Not true of a mutant."""
import torch
import torch.nn.functional as F
from torch import nn


class Gate(nn.Module):
    """Höhe × Breite: text that takes more bytes than characters."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(12, 12)  # hidden
        self.act = nn.SiLU()

    def forward(self, x, y):
        hidden = self.act(self.proj(x))  # ü
        for _ in range(2):
            hidden = hidden + 0.25 * torch.tanh(y)
        scores = torch.softmax(hidden, dim=-1)
        "ß"; kept = torch.where(y > 0, scores, hidden)
        return kept.sum(dim=-1), scores


def make_inputs(n):
    return [torch.randn(n, 12), torch.randn(n, 12)]


def get_inputs():
    return make_inputs(64)


def get_shape_variants():
    return [lambda: make_inputs(8), lambda: make_inputs(7), lambda: make_inputs(3)]
'''


def test_there_are_seeds_enough():
    assert len(SEEDS) >= 40


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_every_seed_is_a_program_and_a_graph(path):
    text = path.read_text(encoding="utf-8")
    assert "SPDX-License-Identifier: Apache-2.0" in text.splitlines()[0]
    report = check(load_program(text, None, path.name))
    assert not report.too_large
    assert read_graph(text, None, path.name).loaded.num_variants >= 3


def test_values_of_expressions_are_noted():
    graph = read_graph(GATE)
    found = {graph.source(site.node): site for site in graph.sites}
    assert found["self.act(self.proj(x))"].fact.shape == (8, 12)  # of the first variant
    assert found["kept.sum(dim=-1)"].fact.shape == (8,)
    assert found["y > 0"].fact.dtype == torch.bool
    assert bound_name(found["torch.softmax(hidden, dim=-1)"]) == "scores"
    assert "self" not in found


def test_variables_are_seen_where_they_hold():
    graph = read_graph(GATE)
    by_source = {graph.source(site.node): site for site in graph.sites}
    assert set(graph.visible(by_source["self.act(self.proj(x))"])) == {"x"}
    last = graph.visible(by_source["kept.sum(dim=-1)"])
    assert {"hidden", "kept", "scores", "x"} <= set(last)
    assert graph.visible(by_source["torch.tanh(y)"]) == {}  # within a loop


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("scores = torch", "if y.sum() > 0:\n            y = -y\n        scores = torch",
         "not_a_graph", r"gate\.py, line 20: `if y.sum\(\) > 0:` decides by the value of a tensor"),
        ("return kept.sum(dim=-1), scores", "return kept.sum(dim=-1) if y[0, 0] > 0 else scores",
         "not_a_graph", r"gate\.py, line 22: .* decides"),
        ("hidden = self.act", "hidden = self.missing", "forward_error", r"gate\.py, line 17"),
        ("forward(self, x, y):", "forward(self, x, y:", "syntax_error", r"gate\.py, line 16"),
    ],
)  # fmt: skip
def test_what_is_no_graph_is_named(old, new, kind, message):
    assert old in GATE
    with pytest.raises(ProgramRejected, match=message) as caught:
        mutate(GATE.replace(old, new), None, "gate.py", Random(0))
    assert caught.value.kind == kind


def test_a_program_without_operations_is_no_graph():
    text = (
        "from torch import nn\nimport torch\n\n\nclass A(nn.Module):\n    def forward(self, x):\n"
    )
    text += "        return x\n\n\ndef get_inputs():\n    return [torch.randn(3)]\n"
    with pytest.raises(ProgramRejected, match=r"a\.py: forward computes no tensor"):
        mutate(text, None, "a.py", Random(0))


@pytest.mark.parametrize("seed", range(30))
def test_mutants_pass_the_gates_and_differ(seed):
    mutant = mutate(GATE, None, "gate.py", Random(seed))
    assert mutant.edits
    assert mutant.python_code != without_comments(GATE)
    assert ast.get_docstring(ast.parse(mutant.python_code)) is None
    assert "#" not in mutant.python_code
    assert max(map(len, mutant.python_code.splitlines())) <= 100
    check(load_program(mutant.python_code, mutant.entry_point))


def test_a_mutant_is_a_function_of_its_generator():
    first, again, other = (mutate(GATE, None, "gate.py", Random(n)) for n in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_edit_works_out_on_some_seed(name):
    rng = Random(name)
    for path in rng.sample(SEEDS, len(SEEDS)):
        graph = read_graph(without_comments(path.read_text(encoding="utf-8")))
        edits = list(KINDS[name][0](graph))
        for edit in rng.sample(edits, min(len(edits), 4)):
            text = edit.applied(graph.text)
            assert text != graph.text
            ast.parse(text)  # whatever comes of it, it is Python
            try:
                check(load_program(text))
            except ProgramRejected:
                continue
            return
    pytest.fail(f"no edit of the kind {name} gives a program")


def named_edit(graph, pattern):
    """The first edit whose note says so."""
    for function, _ in KINDS.values():
        for edit in function(graph):
            if re.search(pattern, edit.note):
                return edit
    raise AssertionError(pattern)


def test_a_layout_is_changed_in_every_input_set():
    graph = read_graph(GATE)
    after = read_graph(named_edit(graph, "input 1 is transposed").applied(graph.text))
    for variant in (None, 0, 1, 2):
        x, y = after.loaded.make_inputs(0, variant)
        assert x.stride() == (12, 1)
        assert y.stride() == (1, len(y))


def test_a_type_is_changed_throughout():
    graph = read_graph(GATE)
    after = read_graph(named_edit(graph, "become torch.bfloat16").applied(graph.text))
    assert {t.dtype for t in after.loaded.make_inputs(0)} == {torch.bfloat16}
    assert {p.dtype for p in after.loaded.make_module().parameters()} == {torch.bfloat16}


def test_a_motif_stands_behind_its_assignment():
    graph = read_graph(GATE)
    text = named_edit(graph, "standardisation after scores").applied(graph.text)
    lines = [line.strip() for line in text.splitlines()]
    place = lines.index("scores = torch.softmax(hidden, dim=-1)")
    assert lines[place + 1].startswith("centred = scores - scores.mean")
    assert lines[place + 2].startswith("scores = centred / ")


def test_what_stands_in_parentheses_gets_no_others():
    old = "kept = torch.where(y > 0, scores, hidden)"
    graph = read_graph(GATE.replace(old, "kept = (scores + hidden) * torch.tanh(hidden - scores)"))
    found = {graph.source(site.node): site for site in graph.sites}
    for text, wanted in {
        "scores + hidden": "a + b",
        "hidden - scores": "a + b",
        "torch.tanh(hidden - scores)": "(a + b)",
        "torch.tanh(y)": "(a + b)",
    }.items():
        assert grouped(graph, found[text], "a + b") == wanted


def test_edits_count_bytes():
    assert Edit("", ((4, 5, "b"),)).applied("äöa") == "äöb"
    assert Edit("", ((0, 1, "xy"), (2, 3, ""))).applied("abc") == "xyb"


def test_comments_and_docstrings_go():
    bare = without_comments(GATE)
    assert "#" not in bare
    assert "Höhe" not in bare
    assert '"ß"; kept' in bare  # a string that is no docstring stays
    assert ast.dump(ast.parse(bare).body[-1]) == ast.dump(ast.parse(GATE).body[-1])


def test_names_that_nothing_reads_are_found():
    tree = ast.parse(
        "import math\nimport torch\n\n\nclass A:\n    def __init__(self):\n        self.act = 1\n"
        "        self.size = 2\n\n    def forward(self, x):\n        low, high = x\n"
        "        gone = torch.sin(low)\n        return self.size\n"
    )
    assert unread_names(tree) == {"import math", "self.act", "forward.high", "forward.gone"}
