"""What a function gives does not depend on where in a tensor an element stands."""

import pytest
import torch

from builder.execute.functions import alike_everywhere
from builder.execute.libdevice import LIBDEVICE
from builder.execute.ops_math import _MATH

FLOATS = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cos", "cosh", "cospi", "erf",
    "erfc", "erfcinv", "erfinv", "exp", "exp10", "exp2", "expm1", "j0", "j1", "lgamma", "log",
    "log10", "log1p", "log2", "rsqrt", "sin", "sinh", "sinpi", "sqrt", "tan", "tanh", "tgamma",
    "y0", "y1",
)  # fmt: skip
PAIRS = ("atan2", "fmod", "hypot", "pow", "remainder")
ODD = 777


def values(name, dtype):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(ODD, dtype=dtype, generator=generator) * 0.9 + 0.05
    return x + 1 if name == "acosh" else x


def check(function, *operands):
    order = torch.randperm(ODD, generator=torch.Generator().manual_seed(4))
    whole = function(*operands)
    assert torch.equal(function(*(x[order] for x in operands)), whole[order])
    alone = torch.stack([function(*(x[i] for x in operands)) for i in range(40)])
    assert torch.equal(alone, whole[:40])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FLOATS)
def test_of_one_number(name, dtype):
    check((LIBDEVICE | _MATH)[name], values(name, dtype))


@pytest.mark.parametrize("name", PAIRS)
def test_of_two_numbers(name):
    x = values(name, torch.float32)
    check((LIBDEVICE | _MATH)[name], x * 3, x.flip(0))


def test_operands_are_broadcast():
    rows, columns = torch.rand(3, 1), torch.rand(7)
    found = alike_everywhere(torch.atan2)(rows, columns)
    assert found.shape == (3, 7)
    assert torch.equal(found[1], alike_everywhere(torch.atan2)(rows[1], columns))
