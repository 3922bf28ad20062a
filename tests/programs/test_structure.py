"""What counts as another structure, and what does not."""

import pytest

from builder.errors import ProgramRejected
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.programs.structure import folded, structure_of

PROGRAM = """
import torch
from torch import nn


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x, y):
        BODY


def get_init_inputs():
    return []


def get_inputs():
    return [torch.randn(4, 8), torch.randn(4, 8)]
"""
BODY = """h = torch.tanh(x * 2.0) * self.scale
        return h - y.sum(-1, keepdim=True)"""


def structure(body=BODY, text=PROGRAM):
    return structure_of(load_program(text.replace("BODY", body), "Program", "program.py"))


def test_operators_and_the_pairs_that_they_form():
    found = structure()
    assert found.calls == ("mul", "tanh", "mul", "sum", "sub")
    assert found.pairs == (("mul", "sub"), ("mul", "tanh"), ("sum", "sub"), ("tanh", "mul"))
    assert len(found.fingerprint) == 16


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("h = ", "h = other = "),
        ("* 2.0", "* 3.5"),
        ("torch.tanh(x * 2.0)", "(x * 2.0).tanh()"),
        ("* self.scale", ".mul_(self.scale)"),
        ("randn(4, 8)", "randn(5, 8)"),
        ("torch.randn(4, 8), torch", "torch.randn(4, 8).half(), torch"),
    ],
)
def test_names_numbers_sizes_and_spellings_are_no_structure(old, new):
    text = PROGRAM.replace("BODY", BODY)
    assert old in text
    changed = text.replace("Program", "P").replace(old, new).replace("P(", "Program(")
    assert structure(text=changed).fingerprint == structure().fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.tanh", "torch.sin"),
        ("x * 2.0", "x + 2.0"),
        ("* self.scale", "* x"),
        ("h - y.sum(-1, keepdim=True)", "(h - y.sum(-1, keepdim=True), h)"),
        ("h - y.sum(-1, keepdim=True)", "y.sum(-1, keepdim=True) - h"),
    ],
)
def test_operators_operands_and_outputs_are(old, new):
    assert old in BODY
    assert structure(BODY.replace(old, new)).fingerprint != structure().fingerprint


def test_a_view_changes_with_what_it_shows():
    """Writing through one view is seen through another."""
    kept = "h = x.clone()\n        view = h[0]\n        h.add_(y)\n        return view * 2"
    lost = (
        "h = x.clone()\n        view = h[0]\n        g = h + y\n        return view * 2 + 0 * g[0]"
    )
    unread = "h = x.clone()\n        view = h[0]\n        return view * 2"
    found = {structure(body).fingerprint for body in (kept, lost, unread)}
    assert len(found) == 3


def test_in_place_operators_fold():
    assert [folded(name) for name in ("add_", "add", "__and__", "_softmax")] == [
        "add", "add", "__and__", "_softmax",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [BODY, "x.add_(1.0); return F.layer_norm(x, (8,)) @ y.mT", "return x.cumsum(0).relu() * y"],
)
def test_small_programs_run_on_real_tensors_and_large_ones_alike_on_fake_ones(body):
    text = PROGRAM.replace("import torch\n", "import torch\nimport torch.nn.functional as F\n", 1)
    large = text.replace("torch.randn(4, 8)", "torch.randn(1 << 20, 8)")
    assert structure(body, text) == structure(body, large)
    assert structure("return x * 2 if x.sum() > 1e9 else y", text).calls
    with pytest.raises(ProgramRejected):
        structure("return x * 2 if x.sum() > 1e9 else y", large)


def test_the_gates_tell_the_structure_of_what_they_run():
    loaded = load_program(PROGRAM.replace("BODY", BODY))
    assert check(loaded).structure == structure_of(loaded)
    large = PROGRAM.replace("torch.randn(4, 8)", "torch.randn(1 << 18, 8)").replace("BODY", BODY)
    assert check(load_program(large)).structure is None
