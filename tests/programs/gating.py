"""Small programs, passed or rejected by the gates."""

import pytest

from builder.errors import ProgramRejected
from builder.programs.gates import check
from builder.programs.load import load_program


def program(
    forward,
    inputs="return [torch.randn(4, 3)]",
    init="pass",
    arguments="x",
    extra="",
):
    return f"""
import torch
from torch import nn
import torch.nn.functional as F

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, {arguments}):
        {forward}

def get_inputs():
    {inputs}

{extra}
"""


def rejection(*args, limits=None, **kwargs):
    with pytest.raises(ProgramRejected) as caught:
        check(load_program(program(*args, **kwargs)), limits)
    return caught.value


def passed(*args, **kwargs):
    return check(load_program(program(*args, **kwargs)))
