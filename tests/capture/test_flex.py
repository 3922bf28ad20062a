"""Attention by flex attention; fails clearly when its operator or template has moved."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builder.capture import flex
from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.capture.variants import VARIANTS

H100 = TARGETS["cuda:90"]


class Attention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value, mask=None):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, **self.options)


def tensors(query, key, dtype=torch.float32):
    return [torch.randn(query, dtype=dtype), *(torch.randn(key, dtype=dtype) for _ in range(2))]


def templates(module, inputs, target=H100):
    captured = capture(module, inputs, target, variant=VARIANTS["flex"])
    assert captured.fallback_ops == ()
    return [kernel for kernel in captured.kernels if "forward_inner" in kernel.source]


CASES = {
    "plain": (Attention(), tensors((2, 3, 100, 48), (2, 3, 77, 48))),
    "causal": (Attention(is_causal=True), tensors((1, 2, 300, 64), (1, 2, 150, 64))),
    "grouped": (Attention(enable_gqa=True), tensors((2, 8, 33, 64), (2, 2, 130, 64))),
    "no heads": (Attention(), tensors((3, 40, 32), (3, 50, 32))),
    "half": (Attention(scale=0.3), tensors((2, 4, 128, 128), (2, 4, 128, 128), torch.float16)),
    "mask": (
        Attention(),
        [*tensors((2, 4, 20, 64), (2, 4, 70, 64)), torch.rand(2, 1, 20, 70) > 0.3],
    ),
    "bias": (Attention(), [*tensors((2, 4, 20, 64), (2, 4, 70, 64)), torch.randn(4, 20, 1)]),
}


@pytest.mark.parametrize("name", CASES)
def test_attention_is_one_template(name):
    (kernel,) = templates(*CASES[name])
    assert kernel.kind == "template"
    assert kernel.grid_type == "FixedGrid"


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (Attention(), tensors((3, 2, 40, 8), (3, 2, 50, 8))),
        (Attention(), tensors((3, 40, 32), (3, 50, 32), torch.bfloat16)),
    ],
)
def test_what_the_template_cannot_stays_in_math_form(module, inputs):
    assert templates(module, inputs) == []


def test_a_causal_mask_leaves_blocks_out():
    query, key = torch.empty(1, 1, 300, 64), torch.empty(1, 1, 200, 64)
    blocks = flex._causal_blocks(query, key)
    assert blocks.kv_num_blocks.flatten().tolist() == [1, 1, 0]
    assert blocks.full_kv_num_blocks.flatten().tolist() == [0, 1, 2]
    dense = blocks.to_dense()[0, 0].bool()
    wanted = torch.ones(300, 200, dtype=torch.bool).tril()
    padded = F.pad(wanted, (0, 56, 0, 84)).view(3, 128, 2, 128)
    assert torch.equal(dense, padded.any(dim=3).any(dim=1))


def test_tiles_depend_on_the_target():
    module, inputs = CASES["half"]
    sources = {
        templates(module, inputs, TARGETS[name])[0].source for name in ("cuda:80", "cuda:90")
    }
    assert len(sources) == 2


def test_the_seams_exist_and_are_left_as_they_were():
    before = flex.operators._permute_strides
    templates(*CASES["plain"])
    assert flex.operators._permute_strides is before
    assert F.scaled_dot_product_attention is flex._ATTENTION
