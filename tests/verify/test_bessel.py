"""The reference's Bessel functions, against values of another kind."""

import math

import pytest
import torch
from torch import nn

from builder.verify import bessel
from builder.verify.runner import Case, run_original

NAMES = ("j0", "j1", "y0", "y1")
TABLE = {  # Abramowitz and Stegun, tables 9.1 and 9.2, at 1, 5 and 10
    "j0": (0.765197686557967, -0.177596771314338, -0.245935764451348),
    "j1": (0.440050585744934, -0.327579137591465, 0.043472746168861),
    "y0": (0.088256964215677, -0.308517625249034, 0.055671167283600),
    "y1": (-0.781212821300289, 0.147863143391227, 0.249015424206954),
}
PLACES = torch.tensor([1.0, 5.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_tabled_values(name):
    wanted = torch.tensor(TABLE[name], dtype=torch.float64)
    torch.testing.assert_close(getattr(bessel, name)(PLACES), wanted, rtol=0, atol=2e-15)


def test_both_kinds_agree_with_each_other():
    """Their Wronskian, Abramowitz and Stegun 9.1.16, also where PyTorch's own take over."""
    x = torch.logspace(-3, 3, 20011, dtype=torch.float64).reshape(-1, 1)
    wronskian = bessel.j1(x) * bessel.y0(x) - bessel.j0(x) * bessel.y1(x)
    torch.testing.assert_close(wronskian, 2.0 / (math.pi * x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_elsewhere_they_are_pytorchs(name):
    x = torch.tensor([0.0, -3.0, 30.0, math.inf, math.nan], dtype=torch.float64)
    theirs = getattr(torch.special, f"bessel_{name}")(x)
    torch.testing.assert_close(getattr(bessel, name)(x), theirs, equal_nan=True, rtol=0, atol=1e-8)
    assert getattr(bessel, name)(x[:0]).shape == (0,)


def test_the_reference_is_nearer_than_pytorchs_float64():
    class First(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j1(x)

    x = torch.tensor([5.1, -5.1])  # 9.1.41 again, by Bessel's integral
    angles = torch.arange(400, dtype=torch.float64) * (math.pi / 200)
    exact = torch.cos(angles - x.double()[:, None] * torch.sin(angles)).mean(-1)
    reference = run_original(Case(First(), [x], 0)).expected["output 0"].reference
    torch.testing.assert_close(reference, exact, rtol=1e-14, atol=0)
    assert (torch.special.bessel_j1(x.double()) - exact).abs().min() > 1e-7
