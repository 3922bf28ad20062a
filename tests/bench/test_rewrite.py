"""Figures of texts, and the command that gives them."""

import json

from builder.bench.readability import code_lines, readability
from tests.cli.command import torch2triton

RAW = '''"""A module."""
import torch
from torch._inductor.runtime import triton_helpers

# a comment
def kernel(in_ptr0, xnumel):
    """Doc
    string."""
    tmp0 = in_ptr0 + 1

    return (tmp0,
            xnumel)
'''


def test_a_compilers_text_is_told_from_a_persons():
    found = readability(RAW)
    assert not found.standalone
    assert found.leftover == ("in_ptr0", "tmp0")
    assert found.lines == 6
    plain = readability(RAW.replace("_inductor.runtime", "nn").replace("in_ptr0", "x_ptr"))
    assert plain.leftover == ("tmp0",)
    assert plain.counters == ("tmp0",)


def test_lines_of_code_are_those_with_code():
    assert code_lines("x = 1\n\n# no\ny = '''a\nb'''\n") == 3
    assert code_lines('def f():\n    """Doc."""\n    return 1\n') == 2


def test_the_command_measures_a_data_set_and_verifies_it_before_and_after(tmp_path):
    data = tmp_path / "pairs"
    built = torch2triton(
        "build", "--pairs", "2", "--out", str(data), "--families", "softmax,swiglu"
    )
    assert built.returncode == 0, built.stderr
    done = torch2triton("bench", "rewrite", str(data), "--format", "json", "--workers", "1")
    found = json.loads(done.stdout)
    assert (found["pairs"], found["standalone"]) == (2, 2)
    assert (found["verified_before"], found["verified_after"], found["broken"]) == (2, 2, [])
    assert found["leftover_identifiers"] == []
    assert 0.2 < found["line_ratio_median"] < 0.7
