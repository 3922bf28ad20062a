"""Programs that call higher-order operators themselves: verified pairs, and wrong ones found."""

import functools

import pytest

from builder.capture.targets import TARGETS
from builder.capture.variants import DEFAULT
from builder.pipeline.making import Maker
from builder.programs.gates import check
from builder.programs.load import load_program
from builder.verify import judge, prepare

H100 = TARGETS["cuda:90"]


def program(arguments, forward, inputs):
    return f"""
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

def state(left, right):
    return left[0] * right[0], left[1] * right[0] + right[1]

def largest(left, right):
    return torch.maximum(left[0], right[0]), torch.where(left[0] >= right[0], left[1], right[1])

def cell(carry, x):
    carry = torch.tanh(carry * 0.5 + x)
    return carry, carry * x

def near(batch, head, query, key):
    return (query - key).abs() < 50

class P(nn.Module):
    def forward(self, {arguments}):
        {forward}

def get_inputs():
    return [{inputs}]
"""


WINDOW = (
    "mask = create_block_mask(near, None, None, q.shape[2], k.shape[2], device=q.device); "
    "return flex_attention(q, k, v, score_mod=lambda score, b, h, i, j: "
    "20 * torch.tanh(score / 20) + bias[h, j], block_mask=mask, enable_gqa=True)"
)
PROGRAMS = {
    "relative": program(
        "q, k, v",
        "return flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + (i - j) * 0.1)",
        "torch.randn(1, 2, 70, 16), torch.randn(1, 2, 50, 16), torch.randn(1, 2, 50, 24)",
    ),
    "relative_bfloat16": program(
        "q, k",
        "return flex_attention(q, k, k, score_mod=lambda s, b, h, i, j: s * 0.7 + b)",
        "torch.randn(2, 2, 70, 32).bfloat16(), torch.randn(2, 2, 70, 32).bfloat16()",
    ),
    "window": program(
        "q, k, v, bias",
        WINDOW,
        "torch.randn(2, 4, 140, 16).half(), torch.randn(2, 2, 140, 16).half(), "
        "torch.randn(2, 2, 140, 16).half(), torch.randn(4, 140)",
    ),
    "state": program(
        "a, b",
        "return associative_scan(state, (a.sigmoid(), b), dim=1)",
        "torch.randn(3, 100, 8), torch.randn(3, 100, 8)",
    ),
    "state_bfloat16": program(
        "a, b",
        "return associative_scan(state, (a.sigmoid(), b), dim=0, reverse=True)[1]",
        "torch.randn(60, 9).bfloat16(), torch.randn(60, 9).bfloat16()",
    ),
    "largest": program(
        "x",
        "return associative_scan(largest, (x, torch.arange(150, device=x.device)[:, None]"
        ".expand(150, 5).contiguous()), dim=0)",
        "torch.randn(150, 5)",
    ),
    "cell": program(
        "x, h", "return scan(cell, h, x, dim=0)", "torch.randn(8, 4, 5), torch.randn(4, 5)"
    ),
    "loop": program(
        "x",
        "return while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2 + i), (0, x))[1]",
        "torch.randn(8, 9)",
    ),
    "branch": program(
        "x",
        "return torch.cond(x.sum() > 0, lambda y: y.sin() + 1, lambda y: y.cos() * 2, (x,))",
        "torch.randn(8, 9)",
    ),
}


@functools.cache
def made(name):
    loaded = load_program(PROGRAMS[name])
    check(loaded)
    captured, triton = Maker(loaded, H100, 0)(DEFAULT)
    assert captured.fallback_ops == ()
    return triton.text, prepare(PROGRAMS[name], "P", draws=5 if name == "branch" else 2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_becomes_a_verified_pair(name):
    text, prepared = made(name)
    found = judge(prepared, text, targets=[H100])
    assert found.agrees, found.reason


FAULTS = {
    "scores as they are": ("relative", "tl.dot(", "0.5 * tl.dot("),
    "another head's bias": ("window", " + 140 * off_h", " + 0 * off_h"),
    "a wider window": ("window", "tl.full([1], 50,", "tl.full([1], 51,"),
    "blocks of the mask left out": ("window", "16384", "16"),
    "states combined the wrong way round": (
        "state", "left_index * right_value", "left_value * right_index",
    ),
    "nothing carried from block to block": ("state", "tl.where(col_start > 0,", "tl.where(False,"),
    "the last of equals": ("largest", "left_value >= right_value", "left_value < right_value"),
    "a step left out": ("cell", "x_ptr + (NUM_ELEMENTS + offsets)", "x_ptr + offsets"),
    "always the same branch": ("branch", "tl.where(x_or_zero_sum > 0.0,", "tl.where(True,"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    name, old, new = FAULTS[fault]
    text, prepared = made(name)
    assert old in text
    assert not judge(prepared, text.replace(old, new), targets=()).agrees


TRAINED = {
    "relative": ("dv += tl.dot(", "dv -= tl.dot("),
    "state": ("tl.sigmoid(", "tl.cos("),
}


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_are_verified_and_a_fault_is_found(name):
    code = PROGRAMS[name].replace("3, 100, 8", "3, 12, 8")
    head, _, inputs = code.rpartition("return [")
    code = f"{head}return [x.requires_grad_() for x in [{inputs.rstrip()}]\n"
    _, triton = Maker(load_program(code), H100, 0, differentiate=True)(DEFAULT)
    prepared = prepare(code, "P", mode="training", draws=1)
    found = judge(prepared, triton.text, targets=[])
    assert found.agrees, found.reason
    faulty = triton.text.replace(*TRAINED[name])
    assert faulty != triton.text
    assert not judge(prepared, faulty, targets=[]).agrees
