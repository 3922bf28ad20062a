from __future__ import annotations

import pytest

from builder.dataset.fingerprint import kernel_fingerprint, program_fingerprint
from builder.dataset.tokens import count_tokens
from tests.dataset.samples import PROGRAM, TRITON

BASE = """\
import torch
import torch.nn.functional as F

class Model(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        scaled = x * self.weight
        return F.relu(scaled + 1.5)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.5", "7.25"),
        ("scaled", "product"),
        ("weight", "gain"),
        ("class Model", "class Net"),
        ("width", "size"),
        ("        scaled =", "        # a comment\n\n        scaled ="),
        ("    def forward", '    """Says what it does."""\n\n    def forward'),
        ("as F", "as functional"),
    ],
)
def test_names_numbers_and_comments_do_not_matter(old, new):
    changed = BASE.replace(old, new)
    changed = changed.replace("F.relu", "functional.relu") if new == "as functional" else changed
    assert changed != BASE
    assert program_fingerprint(changed) == program_fingerprint(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("F.relu", "F.gelu"),
        ("x * self", "x - self"),
        ("1.5", "True"),
        ("1.5", "2"),
        ("x * self.weight", "self.weight * x"),
    ],
)
def test_structure_operations_and_kinds_of_constants_matter(old, new):
    assert program_fingerprint(BASE.replace(old, new)) != program_fingerprint(BASE)


def test_an_imported_function_keeps_its_name():
    base = "from torch import relu\ndef forward(x):\n    return relu(x)\n"
    assert program_fingerprint(base) != program_fingerprint(base.replace("relu", "tanh"))


def test_only_kernels_count_for_the_kernel_fingerprint():
    base = TRITON.format(number=1)
    assert kernel_fingerprint(base) == kernel_fingerprint(base.replace("ShiftNew", "MoveNew"))
    assert kernel_fingerprint(base) == kernel_fingerprint(base.replace("(1,)", "(2, 2)"))
    assert kernel_fingerprint(base) == kernel_fingerprint(TRITON.format(number=9))
    assert kernel_fingerprint(base) != kernel_fingerprint(base.replace("tl.load", "tl.exp"))


def test_the_fingerprint_is_the_same_on_every_python():
    assert program_fingerprint(PROGRAM.format(number=1)) == "6b3d81d94dd0974a"
    assert kernel_fingerprint(TRITON.format(number=1)) == "772071ef18a0f158"


@pytest.mark.parametrize("text", ["def", "x = (", "\x00"])
def test_what_is_no_python_is_an_error(text):
    with pytest.raises(ValueError, match="not Python"):
        program_fingerprint(text)
    with pytest.raises(ValueError, match="not Python"):
        kernel_fingerprint(text)


def test_a_deep_tree_is_an_error_and_no_crash():
    text = "x = " + "-" * 50_000 + "1"
    with pytest.raises(ValueError, match="not Python"):
        program_fingerprint(text)


@pytest.mark.parametrize(
    ("code", "tokens"),
    [
        ("", 0),
        ("# only a comment\n\n", 0),
        ("x = 1\n", 3),
        ("def f(x):\n    return x  # it\n", 8),
        ('x = f"{y + 1} {z!r:>{w}}"\n', 3),
        ('x = f"{f\'{y}\'}" "s"\n', 4),
    ],
)
def test_tokens_are_counted_without_comments_and_layout(code, tokens):
    assert count_tokens(code) == tokens


@pytest.mark.parametrize("code", ["x = (", "'''"])
def test_tokens_of_no_python_are_an_error(code):
    with pytest.raises(ValueError, match="not Python"):
        count_tokens(code)
