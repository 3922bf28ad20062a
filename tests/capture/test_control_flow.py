"""Operators with graphs of their own: each that cannot become a pair is refused by name."""

import pytest
import torch
from torch import nn
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import flex_attention

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected


class Branch(nn.Module):
    def forward(self, x, flag):
        return torch.cond(flag, lambda y: y.sin() + 1, lambda y: y.cos() * 2, (x,))


class Loop(nn.Module):
    def forward(self, x, count):
        return while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2), (count, x))


class Steps(nn.Module):
    def forward(self, x, start):
        return scan(lambda carry, y: (carry + y, carry * y), start, x, dim=0)


class Attention(nn.Module):
    def forward(self, x):
        return flex_attention(x, x, x, score_mod=lambda score, b, h, q, k: score + q - k)


@pytest.mark.parametrize(
    ("module", "inputs", "name", "instead"),
    [
        (Branch(), [torch.randn(8, 9), torch.ones((), dtype=torch.bool)], "cond", "torch.where"),
        (Loop(), [torch.randn(8, 9), torch.tensor(0)], "while_loop", "fixed number of steps"),
        (Steps(), [torch.randn(8, 9), torch.randn(9)], "scan", "torch.cumsum"),
        (Attention(), [torch.randn(1, 2, 40, 16)], "flex_attention", "variant flex"),
    ],
)
def test_an_operator_is_refused_with_the_way_round_it(module, inputs, name, instead):
    with pytest.raises(CaptureRejected, match=f"operator {name}, .*{instead}") as caught:
        capture(module, inputs, TARGETS["cuda:90"])
    assert caught.value.kind == "control_flow"
