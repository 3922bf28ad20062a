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
