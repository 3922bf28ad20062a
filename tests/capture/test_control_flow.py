"""Operators with graphs of their own: written out, lowered, or refused by name."""

import pytest
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as map_over
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from builder.capture import control_flow
from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.errors import CaptureRejected

H100 = TARGETS["cuda:90"]


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def captured(function, *inputs, **options):
    found = capture(Calls(function), list(inputs), H100, **options)
    assert found.fallback_ops == ()
    return found


def branch(x, flag):
    return torch.cond(flag, lambda y: y.sin() + 1, lambda y: y.cos() * 2, (x,))


def counted(x, start):
    return while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2), (start, x))[1]


def steps(x, start):
    return scan(lambda carry, y: (carry + y, carry * y), start, x, dim=0)


def test_branches_and_loops_are_written_out():
    flag, x = torch.ones((), dtype=torch.bool), torch.randn(8, 9)
    (both,) = captured(branch, x, flag).kernels
    assert "tl_math.sin(" in both.source
    assert "tl_math.cos(" in both.source
    (kernel,) = captured(lambda y: counted(y, 0), x).kernels
    assert kernel.kind == "pointwise"
    assert all(kernel.kind == "pointwise" for kernel in captured(steps, x, x[0].clone()).kernels)
    assert captured(lambda y: map_over(lambda row: row.sum(-1), y), x).kernels


@pytest.mark.parametrize(
    ("function", "inputs", "name", "instead"),
    [
        (counted, [torch.randn(8, 9), torch.tensor(0)], "while_loop", "counted by a Python"),
        (
            lambda x: while_loop(lambda i, _: i < 99, lambda i, y: (i + 1, y * 2), (0, x)),
            [torch.randn(8)],
            "while_loop",
            "more than 32 steps",
        ),
        (steps, [torch.randn(33, 9), torch.randn(9)], "scan", "33 steps.*associative_scan"),
        (
            lambda x: map_over(lambda row: row * 2, x),
            [torch.randn(40, 9)],
            "map_impl",
            "whole batch at once",
        ),
    ],
)
def test_what_has_no_fixed_number_of_steps_is_refused(function, inputs, name, instead):
    with pytest.raises(CaptureRejected, match=f"operator {name}, .*{instead}") as caught:
        captured(function, *inputs)
    assert caught.value.kind == "control_flow"


def test_gradients_of_a_branch_are_refused():
    x, flag = torch.randn(8, 9, requires_grad=True), torch.ones((), dtype=torch.bool)
    with pytest.raises(CaptureRejected, match="operator cond, whose other branch") as caught:
        captured(branch, x, flag, differentiate=True)
    assert caught.value.kind == "control_flow"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_an_associative_scan_is_one_kernel(dtype):
    x = torch.ones(3, 100, 8, dtype=dtype)
    (kernel,) = captured(lambda a: associative_scan(torch.maximum, a, dim=1), x).kernels
    assert kernel.kind == "scan"
    assert "tl.associative_scan((" in kernel.source


def test_flex_attention_takes_its_template_whatever_the_cpu_takes():
    def attention(x):
        mask = create_block_mask(
            lambda b, h, i, j: i >= j, None, None, x.shape[2], x.shape[2], device=x.device
        )
        options = {"BLOCK_M": 64, "BLOCK_N": 32}
        return flex_attention(
            x, x, x, score_mod=lambda s, b, h, i, j: s + i, block_mask=mask, kernel_options=options
        )

    kernels = captured(attention, torch.randn(1, 2, 140, 16)).kernels
    (template,) = (kernel for kernel in kernels if kernel.kind == "template")
    assert "BLOCK_M : tl.constexpr = 64" in template.source
    assert "BLOCK_N : tl.constexpr = 32" in template.source
    assert [kernel.kind for kernel in kernels].count("sort") == 1


@pytest.mark.parametrize("steps_taken", [0, 1, 5])
def test_a_loop_ends_where_its_condition_says(steps_taken):
    found = control_flow.while_loop(
        lambda i, _: i < steps_taken, lambda i, x: (i + 1, x * 2), (0, torch.ones(3))
    )
    assert found[0] == steps_taken
    assert found[1].tolist() == [2.0**steps_taken] * 3


def test_branches_that_differ_in_kind_are_refused():
    flag = torch.ones((), dtype=torch.bool)
    pairs = [((torch.ones(3),), (torch.ones(4),)), ((1,), (2,))]
    for taken, other in pairs:
        with torch.no_grad(), pytest.raises(CaptureRejected, match="whose branches give different"):
            control_flow.cond(flag, lambda t=taken: t, lambda o=other: o)
