"""Large programs: declared sizes grow, everything else stays."""

from random import Random
from statistics import median

import pytest

from builder.programs import synthesise as module
from builder.programs.draft import Draft
from builder.programs.families import FAMILIES
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.render import render
from builder.programs.rng import item_rng
from builder.programs.synthesise import synthesise
from builder.programs.tiers import enlarge, input_bytes

NAMES = ("layer_norm", "causal_attention", "swiglu", "conv_activation", "padded_attention")


def large_drafts(name):
    for seed in range(12):
        draft = FAMILIES[name].draft(item_rng(7, seed, name))
        if draft.varied and enlarge(item_rng(8, seed, name), draft):
            yield draft


@pytest.mark.parametrize("name", NAMES)
def test_large_programs_are_beyond_what_is_run_and_their_variants_are_not(name):
    draft = next(large_drafts(name))
    assert input_bytes(draft) >= 320 << 20
    loaded = load_program(render(draft), draft.class_name)
    report = check(loaded)
    assert report.too_large == (None,)
    assert report.declared is not None
    assert report.declared.bytes > 256 << 20
    assert loaded.num_variants == 3


def test_the_median_large_input_has_millions_of_elements():
    counts = [input_bytes(draft) // 4 for name in NAMES for draft in large_drafts(name)]
    assert len(counts) > 20
    assert median(counts) > 2_000_000


def test_only_sizes_that_vary_grow_and_by_powers_of_two():
    for name in NAMES:
        for seed in range(12):
            draft = FAMILIES[name].draft(item_rng(7, seed, name))
            before, varied = dict(draft.values), dict(draft.varied)
            grown = bool(varied) and enlarge(item_rng(8, seed, name), draft)
            assert draft.varied == varied
            for role, value in draft.values.items():
                ratio = value / before[role] if isinstance(value, int) and before[role] else 1
                assert (
                    ratio in {2**k for k in range(21)} if grown and role in varied else ratio == 1
                )


def test_a_share_of_the_stream_is_large_and_the_rest_is_as_before(monkeypatch):
    monkeypatch.setattr(module, "LAYOUTS", 0.0)  # only programs that are not large have others
    texts = {index: synthesise(3, index, ("layer_norm",)).python_code for index in range(120)}
    monkeypatch.setattr(module, "LARGE_SHARE", 0.0)
    plain = {index: synthesise(3, index, ("layer_norm",)).python_code for index in range(120)}
    large = [index for index in texts if texts[index] != plain[index]]
    assert 2 <= len(large) <= 20
    for index in large:
        ours, theirs = texts[index].splitlines(), plain[index].splitlines()
        assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1  # get_inputs


def test_training_pairs_stay_small(monkeypatch):
    monkeypatch.setattr(module, "SURROUNDED", 0.0)
    for index in range(60):
        text = synthesise(3, index, ("layer_norm",), "training").python_code
        report = check(load_program(text))
        assert report.too_large == ()


def test_products_of_sizes_count():
    draft = Draft(Random(0))
    draft.size("rows", 24)
    draft.input("places", "torch.randperm($rows * 3) // 3", "int64")
    draft.input("codes", "torch.randint(0, 16, (2 * $rows, 5), dtype=torch.uint8)", "uint8")
    assert input_bytes(draft) == 24 * 3 * 8 + 2 * 24 * 5
