"""A Triton text cannot reach, nor change, what judges it."""

import pytest

from builder.capture.targets import resolve_targets
from builder.errors import VerificationRejected
from builder.verify import verify
from builder.verify.static import check_static
from tests.verify.data import loss

MATCH = 'torch.sys.modules["builder.verify.trial"].Trial._match'


def rejected(text: str) -> str:
    with pytest.raises(VerificationRejected) as caught:
        check_static(text, "Loss")
    assert caught.value.message.startswith("line ")
    return caught.value.kind


def test_text_that_replaces_the_comparison_is_not_verified():
    wrong = loss.TRITON.replace("1 + tl.abs", "2 + tl.abs")
    text = f"{wrong}\n{MATCH} = lambda *given: None\n"
    verdict = verify(loss.PYTHON, text, "Loss", targets=resolve_targets(["cuda:90"]))
    assert not verdict.verified
    assert verdict.kind == "static_forbidden_name"


@pytest.mark.parametrize(
    "code",
    [
        "print('imported')",
        "LossNew.forward = None",
        "found = {}\nfound['a'] = 1",
        "for i in range(3):\n    found = i",
        "while False:\n    pass",
        "with open_file:\n    pass",
        "try:\n    found = 1\nexcept Exception:\n    pass",
        "if __name__ == '__main__':\n    found = 1",
        "found = 1\ndel found",
        "found = 1\nfound += 1",
        "found, LossNew.forward = 1, 2",
        "assert True",
        "'a string that is no docstring'",
        "torch.manual_seed(1)",
        "torch.set_default_dtype(torch.float64)",
    ],
)
def test_nothing_runs_at_module_level(code):
    assert rejected(f"{loss.TRITON}\n{code}\n") == "static_module_level_code"


@pytest.mark.parametrize(
    "code",
    [
        "import math\nROOT = math.sqrt(2)",
        "TABLE = torch.tensor([1.0, 2.0])",
        "A, (B, C) = 1, (2, 3)",
        "WIDTH: int = 4",
        "DTYPE = torch.float32",
        "from torch.nn import functional as F\nACTIVATION = F.relu",
        "from triton.language.extra import libdevice\nEXP = libdevice.exp",
        "from typing import Any\nValue = Any",
        "class Other(torch.nn.Module):\n    '''Doc.'''\n    scale = 2.0",
        "def name_of(x):\n    return x.__class__.__name__",
    ],
)
def test_constants_and_definitions_are_allowed(code):
    check_static(f"{loss.TRITON}\n{code}\n", "Loss")


@pytest.mark.parametrize(
    "code",
    [
        f"found = {MATCH}",
        "found = torch.os",
        "found = triton.os",
        "found = torch.nn.modules.module.inspect",
        "found = torch.nn.functional.importlib",
        "found = torch.nn.modules.module.itertools",
        "from torch import sys",
        "from torch.utils import cpp_extension",
        "found = torch.hub.load('a', 'b')",
        "found = torch.load('x')",
        "found = torch.nn.modules.module._global_forward_hooks",
        "found = torch.nn.modules.module.register_module_forward_hook(print)",
        "from torch import sys as s",
        "from torch.nn.modules.module import itertools",
        "from torch import *",
        "import typing\nfound = typing.sys",
        "t = torch",
        "t = torch.nn\nfound = t",
        "def f(t=torch):\n    return t",
        "found = [torch][0].sys",
        "found = (lambda: 1)().sys",
        "found = getattr(torch, 'sys')",
        "found = getattr(torch.nn.modules, 'module')",
        "found = vars(torch)",
        "found = vars()",
        "found = setattr(torch.Tensor, 'equal', None)",
        "found = torch.__dict__['sys']",
        "found = print.__self__",
        "found = LossNew.__mro__",
        "found = object.__subclasses__()",
        "found = launch_loss.__globals__",
        "found = launch_loss.__code__",
        "found = torch.__getattribute__('sys')",
        "found = torch.__spec__",
        "def f():\n    torch.equal = None",
        "def f():\n    torch.Tensor.equal = None",
        "def f():\n    del torch.equal",
        "def f():\n    for torch.equal in [1]:\n        pass",
        "class Found:\n    torch.backends.flags[0] = 1",
        "@torch.sys.settrace\ndef f():\n    pass",
        "def f(x=torch.sys):\n    pass",
    ],
)
def test_no_expression_leads_out(code):
    assert rejected(f"{loss.TRITON}\n{code}\n") in ("static_forbidden_name", "static_import")
