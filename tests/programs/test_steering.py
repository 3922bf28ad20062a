"""Graphs of operators avoid what earlier ones of a block have used."""

from collections import Counter

import pytest

from builder.programs import synthesise as module
from builder.programs.compose.steering import steered
from builder.programs.synthesise import BLOCK, RUN, draw_program, family_at, synthesise

NAMES = ["linear", "relu", "erf"]


def test_what_was_used_more_than_its_share_weighs_less():
    prior = [90.0, 9.0, 1.0]
    assert steered(prior, NAMES, "float32", {}) == prior
    few = steered(prior, NAMES, "float32", {("linear", "float32"): 18, ("relu", "float16"): 2})
    assert 0.9 * prior[0] < few[0] <= prior[0]
    assert few[2] == prior[2]
    linear, relu, erf = steered(prior, NAMES, "float32", {("erf", "float32"): 9})
    assert (linear, relu) == (90.0, 9.0)
    assert erf < 0.05
    half = steered(prior, NAMES, "float16", {("erf", "float32"): 9})
    assert 0.05 < half[2] < 1.0, "another type counts, and counts less"


def test_a_program_is_the_same_whoever_drew_those_before_it():
    index = next(i for i in range(BLOCK - 1, 0, -1) if family_at(2, i) == "token_graph")
    module._KNOWN.clear()
    alone = synthesise(2, index).python_code
    for earlier in range(index):
        synthesise(2, earlier)
    assert synthesise(2, index).python_code == alone
    assert draw_program("token_graph", 2, index).python_code != alone, "nothing was used before"


def test_counts_restart_with_each_run(monkeypatch):
    seen = []
    draw = module.draw_program
    monkeypatch.setattr(
        module, "draw_program", lambda *given: seen.append(given[-1]) or draw(*given)
    )
    for index in range(2 * RUN + 3):
        synthesise(3, index, ("operator",))
    assert [len(earlier) for earlier in seen] == [*range(RUN), *range(RUN), 0, 1, 2]
    synthesise(3, BLOCK, ("operator",))
    assert seen[-1] == ()


@pytest.mark.parametrize("name", ["token_graph", "elementwise_graph", "product_graph"])
def test_runs_use_more_operators_than_without(name, monkeypatch):
    def distinct():
        module._KNOWN.clear()
        for index in range(5 * RUN):
            synthesise(5, index, (name,))
        runs = [uses for (*_, indices), uses in module._KNOWN.items() if len(indices) == RUN]
        assert len(runs) == 5
        return sum(len({operator for operator, _ in uses}) / sum(uses.values()) for uses in runs)

    ours = distinct()
    monkeypatch.setattr(module, "_used", lambda *_: Counter())
    drafts = []
    draft = module._draft
    monkeypatch.setattr(module, "_draft", lambda *given: drafts.append(draft(*given)) or drafts[-1])
    for index in range(5 * RUN):
        synthesise(5, index, (name,))
    theirs = 0.0
    for start in range(0, 5 * RUN, RUN):
        operators = [op for item in drafts[start : start + RUN] for op in item.operators]
        theirs += len(set(operators)) / len(operators)
    assert ours > theirs
