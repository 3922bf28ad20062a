import ast

import pytest
import torch

from builder.errors import RewriteRejected
from builder.rewrite.program_class import program_parts

PROGRAM = '''
from __future__ import annotations
import math
import torch
import torch.nn.functional as F
from torch import nn
from typing import Optional, Sequence

SCALE = math.sqrt(2)
UNUSED = 3


def initial(width):
    return SCALE / width


def only_in_forward(x):
    return F.relu(x)


class Base(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), initial(width)))

    def forward(self, x):
        return only_in_forward(x) * self.weight


class Helper(nn.Module):
    """Unused by the constructor."""

    def forward(self, x):
        return x


class Net(Base):
    """A net."""

    bias_default: float = 0.5

    def __init__(self, width, bias: Optional[float] = None):
        super(Net, self).__init__(width)
        self._add_bias(self.bias_default if bias is None else bias)

    def _add_bias(self, value):
        self.register_buffer("bias", torch.full((3,), value))

    def _used_in_forward(self, x):
        return x


def get_inputs():
    return [torch.randn(3)]
'''


def built(parts):
    namespace = {}
    text = "\n".join([*parts.imports, *parts.definitions, ast.unparse(parts.new_class)])
    exec(text, namespace)
    return namespace


def test_the_constructor_survives_and_forward_does_not():
    parts = program_parts(PROGRAM, "Net")
    namespace = built(parts)
    original = {}
    exec(PROGRAM, original)
    new, old = namespace["NetNew"](3), original["Net"](3)
    new.load_state_dict(old.state_dict())
    assert list(new.state_dict()) == ["weight", "bias"]
    torch.testing.assert_close(new.weight, old.weight)
    assert "forward" not in vars(namespace["NetNew"])
    assert "forward" not in vars(namespace["Base"])
    assert not hasattr(new, "_used_in_forward")


def test_only_what_the_constructor_needs_is_kept():
    namespace = built(program_parts(PROGRAM, "Net"))
    assert {"SCALE", "initial", "Base", "Optional"} <= set(namespace)
    assert not {"UNUSED", "Helper", "only_in_forward", "F", "Sequence", "get_inputs"} & set(
        namespace
    )


def test_an_inherited_forward_gives_its_signature():
    parts = program_parts(PROGRAM, "Net")
    assert ast.unparse(parts.forward_signature) == "self, x"


def test_a_forward_outside_the_file_is_rejected():
    text = "from torch import nn\n\nclass Net(nn.Linear):\n    pass\n"
    with pytest.raises(RewriteRejected) as caught:
        program_parts(text, "Net")
    assert caught.value.kind == "forward_not_found"


OVERRIDE = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.build()

    def build(self):
        raise NotImplementedError

class Net(Base):
    def build(self):
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.weight
"""


def test_an_override_that_a_base_constructor_calls_is_kept():
    new = built(program_parts(OVERRIDE, "Net"))["NetNew"]()
    assert list(new.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("EPS = 1.0\nEPS += 1.0\n", "EPS"),
        ("torch.set_default_dtype(torch.float64)\n", "set_default_dtype"),
        ("SCALE = 2\nSCALE = 3\n", "bound twice"),
        ("for name in range(3):\n    pass\n", "for name"),
    ],
)
def test_module_level_code_is_rejected(code, word):
    program = PROGRAM.replace("SCALE = math.sqrt(2)\n", f"SCALE = math.sqrt(2)\n{code}")
    with pytest.raises(RewriteRejected, match=word) as caught:
        program_parts(program, "Net")
    assert caught.value.kind == "module_level_code"


def test_a_main_guard_and_a_docstring_are_no_code():
    guarded = f'"""A file."""\n{OVERRIDE}\nif __name__ == "__main__":\n    print(Net())\n'
    assert "NetNew" in built(program_parts(guarded, "Net"))
