import os
import subprocess
import sys

import pytest

from builder.errors import UsageError
from builder.programs.families import FAMILIES
from builder.programs.synthesise import check_families, family_at, family_names, synthesise


def test_registry_is_sorted():
    names = family_names()
    assert list(names) == sorted(names)


SHARES = sorted(name for name, family in FAMILIES.items() for _ in range(family.share))


def test_each_round_has_each_family_as_often_as_its_share_says():
    for block in range(3):
        indices = range(block * len(SHARES), (block + 1) * len(SHARES))
        assert sorted(family_at(5, i) for i in indices) == SHARES


def test_rounds_differ_in_order():
    order = [family_at(5, i) for i in range(2 * len(SHARES))]
    assert order[: len(SHARES)] != order[len(SHARES) :]


def test_a_program_is_of_the_family_at_its_index():
    for index in range(8):
        assert synthesise(5, index).source == f"family:{family_at(5, index)}"


def test_named_families_only():
    chosen = ("softmax", "layer_norm")
    sources = {synthesise(0, i, chosen).source for i in range(4)}
    assert sources == {"family:softmax", "family:layer_norm"}


def test_an_unknown_family_is_a_usage_error_that_names_the_valid_ones():
    with pytest.raises(UsageError, match=r"did you mean 'layer_norm'.*softmax"):
        check_families(("layernorm",))


def test_the_seed_is_the_index():
    program = synthesise(3, 17)
    assert program.seed == 17
    assert program == synthesise(3, 17)
    assert program.python_code != synthesise(4, 17).python_code


def test_hash_seed_does_not_matter():
    script = (
        "import hashlib; from builder.programs.synthesise import synthesise\n"
        "texts = [repr(synthesise(9, i)) for i in range(50)]\n"
        "print(hashlib.sha256(''.join(texts).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(digests) == 1


def test_motifs_need_no_torch():
    script = (
        "import sys; from builder.programs import synthesise\n"
        "synthesise.SPLICED = 0.0  # whether two fit is seen in a run\n"
        "from builder.programs.synthesise import draw_program\n"
        "from builder.programs.families import FAMILIES\n"
        "[draw_program(name, 0, 0) for name, one in FAMILIES.items() if not one.is_steered]\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
