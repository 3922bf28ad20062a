"""Graphs of operators avoid what earlier ones of a block have used."""

from collections import Counter

import pytest

from builder.programs import synthesise as module
from builder.programs.compose.steering import KERNEL, LEAST, OPERATOR, PAIR, Steering, uses_of
from builder.programs.operators import OPERATORS
from builder.programs.synthesise import BLOCK, RUN, draw_program, family_at, synthesise

LINEAR, RELU, SUM, ERF = (OPERATORS[name] for name in ("linear", "relu", "sum", "erf"))
PRIOR = [80.0, 9.0, 10.0, 1.0]


def steering(used, dtype="float32"):
    return Steering((LINEAR, RELU, SUM, ERF), PRIOR, dtype, used)


def test_what_was_used_more_than_its_share_weighs_less():
    assert steering({}).weights == PRIOR
    few = steering({(OPERATOR, "linear", "float32"): 16, (OPERATOR, "relu", "float16"): 2}).weights
    assert 0.7 * PRIOR[0] < few[0] < PRIOR[0]
    assert few[3] == PRIOR[3]
    linear, relu, _, erf = steering({(OPERATOR, "erf", "float32"): 9}).weights
    assert (linear, relu) == (80.0, 9.0)
    assert erf < 0.05
    half = steering({(OPERATOR, "erf", "float32"): 9}, "float16").weights
    assert 0.05 < half[3] < 1.0, "another type counts, and counts less"


def test_pairs_that_are_many_are_taken_less_often():
    used = {(PAIR, "relu", "erf"): 3, (PAIR, "linear", "relu"): 3}
    assert steering(used).chance((None, None, ERF)) == 1.0
    assert steering(used).chance((None, RELU, SUM)) == 1.0
    often = steering(used).chance((None, RELU, ERF))
    assert LEAST <= often < 0.3
    assert often < steering(used).chance((None, LINEAR, RELU)) < 1.0, "it is to be expected"
    assert steering({(PAIR, "relu", "erf"): 900}).chance((None, RELU, ERF)) == LEAST


def test_kernels_of_one_build_are_taken_less_often():
    used = {
        (KERNEL, "reduction", "pointwise", "pointwise"): 5,
        (KERNEL, "input", "product", "sort"): 1,
    }
    found = steering(used)
    assert found.chance((SUM, RELU, ERF)) < 0.5
    assert found.chance((SUM, ERF, RELU)) == found.chance((SUM, RELU, ERF)), "names do not matter"
    assert found.chance((LINEAR, RELU, ERF)) == 1.0


def test_what_a_program_uses():
    found = uses_of([(SUM, RELU, ERF), (None, None, ERF), (None, LINEAR, ERF)], "float16")
    assert found == [
        (OPERATOR, "erf", "float16"),
        (PAIR, "relu", "erf"),
        (KERNEL, "reduction", "pointwise", "pointwise"),
        (PAIR, "linear", "erf"),
        (KERNEL, "input", "product", "pointwise"),
    ]


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


@pytest.mark.parametrize("word", [OPERATOR, PAIR])
@pytest.mark.parametrize("name", ["token_graph", "elementwise_graph", "product_graph"])
def test_runs_use_more_than_without(name, word, monkeypatch):
    drafts = []
    draft = module._draft

    def distinct():
        drafts.clear()
        module._KNOWN.clear()
        for index in range(5 * RUN):
            synthesise(5, index, (name,))
        total = 0.0
        for start in range(0, 5 * RUN, RUN):
            uses = [
                use[1:3]
                for item in drafts[start : start + RUN]
                for use in item.uses
                if use[0] == word
            ]
            total += len(set(uses)) / len(uses)
        return total

    monkeypatch.setattr(module, "_draft", lambda *given: drafts.append(draft(*given)) or drafts[-1])
    ours = distinct()
    assert len(drafts) == 5 * RUN
    monkeypatch.setattr(module, "_used", lambda *_: Counter())
    assert ours > distinct()
