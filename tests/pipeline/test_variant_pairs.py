"""What the variants' new constructs become, verified: barriers, descriptors, shared launches."""

import functools

import pytest
import torch

from builder.capture.capture import capture
from builder.capture.targets import TARGETS
from builder.capture.variants import VARIANTS
from builder.pipeline.variants import kernels_and_launchers
from builder.programs.load import load_program
from builder.rewrite import triton_module
from builder.verify import verify

H100 = TARGETS["cuda:90"]


def program(arguments, forward, inputs):
    return f"""
import torch
import torch.nn.functional as F
from torch import nn

class P(nn.Module):
    def forward(self, {arguments}):
        {forward}

def get_inputs():
    return [{inputs}]
"""


PROGRAMS = {
    "norm": program("x", "return F.gelu(F.layer_norm(x, (260,)))", "torch.randn(3, 260)"),
    "softmax": program("x", "return F.softmax(x, -1)", "torch.randn(2, 3000)"),
    "extremes": program(
        "x", "return x.argmax(-1), x.half().sum(-1), x.amin()", "torch.randn(5, 999)"
    ),
    "columns": program("x", "return x.sum(0), x.mean()", "torch.randn(2100, 24)"),
    "transposed": program(
        "x, y", "return x.t() * y + 1", "torch.randn(72, 136), torch.randn(136, 72)"
    ),
    "odd": program("x, y", "return torch.relu(x) * y", "torch.randn(7, 33), torch.randn(33)"),
    "apart": program(
        "a, b, c",
        "return a.sin(), b.cos(), c.sum(-1), c.half().amax(-1)",
        "torch.randn(30, 20), torch.randn(41, 77), torch.randn(19, 50)",
    ),
    "planes": program(
        "x, y, z, w",
        "return x.t() + y, z.t() * w",
        "torch.randn(64, 96), torch.randn(96, 64), torch.randn(33, 70), torch.randn(70, 33)",
    ),
    "causal": program(
        "q, k, v",
        "return torch.tanh(F.scaled_dot_product_attention(q, k, v, is_causal=True))",
        "torch.randn(1, 2, 140, 16), torch.randn(1, 2, 40, 16), torch.randn(1, 2, 40, 24)",
    ),
    "grouped": program(
        "q, k, v, mask",
        "return F.scaled_dot_product_attention(q, k, v, mask, scale=0.5, enable_gqa=True)",
        "torch.randn(1, 4, 20, 16).half(), torch.randn(1, 2, 30, 16).half(), "
        "torch.randn(1, 2, 30, 16).half(), torch.rand(20, 30) > 0.4",
    ),
    "product": program(
        "x, y", "return torch.relu(x @ y)", "torch.randn(16, 512), torch.randn(512, 512)"
    ),
    "half_product": program(
        "x, y",
        "return torch.relu(x @ y)",
        "torch.randn(130, 72).half(), torch.randn(72, 136).half()",
    ),
    "running": program("x", "return torch.cumsum(x, -1)", "torch.randn(1, 9000)"),
    "running_integers": program(
        "x", "return torch.cumsum(x, -1)", "torch.randint(-9, 9, (2, 9000))"
    ),
}


@functools.cache
def made(name, variant):
    code = PROGRAMS[name]
    loaded = load_program(code)
    captured = capture(loaded.make_module(), loaded.make_inputs(0), H100, variant=VARIANTS[variant])
    return captured, triton_module(code, "P", captured).text


def verdict(name, text, precision="ieee"):
    return verify(PROGRAMS[name], text, "P", targets=[H100], draws=1, dot_precision=precision)


TILED_REDUCTIONS = pytest.mark.skipif(
    torch.__version__ < "2.12", reason="before torch 2.12 no part of a split sum has two tiles"
)
CASES = [
    ("norm", "cooperative", "grid_barrier("),
    ("softmax", "cooperative", "launch_cooperative_grid=True"),
    ("extremes", "cooperative", "grid_barrier("),
    ("norm", "descriptors", "prepare_descriptors("),
    pytest.param("columns", "tiled", "tl.program_id(1) * BLOCK_", marks=TILED_REDUCTIONS),
    ("transposed", "descriptors", "tl.make_tensor_descriptor("),
    ("columns", "unsplit", "launch_mean_sum"),
    ("transposed", "block_pointers", "tl.make_block_ptr("),
    ("odd", "block_pointers", "boundary_check="),
    ("columns", "block_pointers", "tl.make_block_ptr("),
    ("apart", "combo", "elif pid"),
    ("planes", "combo", "tl.program_id(1) * BLOCK_"),
    ("causal", "flex", "flex_attention_kernel"),
    ("grouped", "flex", "flex_attention_forward_inner"),
    ("half_product", "persistent", "tl.load_tensor_descriptor("),
    ("running", "default", "preceding_blocks("),
    ("running_integers", "default", "preceding_blocks_64("),
]


@pytest.mark.parametrize(("name", "variant", "construct"), CASES)
def test_what_a_variant_brings_is_verified(name, variant, construct):
    _, text = made(name, variant)
    assert construct in text or construct.startswith("launch_")
    for gone in ("triton_helpers", "_inductor", "RSPLIT_IS_POWER_OF_2", "cuda"):
        assert gone not in text
    found = verdict(name, text)
    assert found.verified, found.reason


def test_a_described_target_decides_how_many_blocks_cooperate():
    _, text = made("softmax", "cooperative")
    assert "grid = (64, 2)" in text
    assert "RSPLIT: tl.constexpr = 64" in text


FAULTS = {
    "no barrier": (
        "softmax", "cooperative", "    grid_barrier(semaphores_ptr + tl.program_id(1))\n", "",
    ),
    "barrier of another row": (
        "softmax", "cooperative", "grid_barrier(semaphores_ptr + tl.program_id(1))",
        "grid_barrier(semaphores_ptr + tl.program_id(0))",
    ),
    "semaphore not cleared": ("softmax", "cooperative", "        semaphores.zero_()\n", ""),
    "relaxed arrival": ("softmax", "cooperative", 'sem="release"', 'sem="relaxed"'),
    "workspace too small": (
        "softmax", "cooperative", "workspace = torch.empty((2048,)",
        "workspace = torch.empty((256,)",
    ),
    "no allocator": ("transposed", "descriptors", "    triton.set_allocator(scratch)\n", ""),
    "descriptor of another shape": (
        "transposed", "descriptors", "shape=[72, 136]", "shape=[71, 136]",
    ),
    "block pointer unchecked": ("odd", "block_pointers", "boundary_check=[0]", "boundary_check=[]"),
    "one kernel of several is off": ("apart", "combo", "tl.cos(", "tl.sin("),
    "attention looks ahead": (
        "causal", "flex", "mask_mod_output = m >= n", "mask_mod_output = (m >= n) | True",
    ),
    "keys left out": (
        "causal", "flex", "kv_num_blocks * SPARSE_KV_MULTIPLE, tl",
        "kv_num_blocks * SPARSE_KV_MULTIPLE - 2, tl",
    ),
    "another head's keys": (
        "grouped", "flex", "key_head = query_head // GQA_SHARED_HEADS", "key_head = query_head % 2",
    ),
    "grid one block short": (
        "running", "default", "grid = (triton.cdiv(9000, BLOCK_COLS)",
        "grid = (triton.cdiv(9000, BLOCK_COLS) - 1",
    ),
    "the last tile left out": (
        "half_product", "persistent", "(start_pid, num_tiles,", "(start_pid, num_tiles - 1,",
    ),
    "scratch not cleared": ("running", "default", "        workspace.zero_()\n", ""),
    "published before it is there": (
        "running_integers", "default", 'tl.full((), 1, tl.uint64), sem="release"',
        'tl.full((), 1, tl.uint64), sem="relaxed"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    name, variant, old, new = FAULTS[fault]
    _, text = made(name, variant)
    assert old in text
    assert not verdict(name, text.replace(old, new)).verified


@pytest.mark.parametrize(("name", "count"), [("transposed", 5), ("running", 3)])
def test_how_many_variants_differ(name, count):
    texts = [made(name, variant)[1] for variant in VARIANTS]
    assert len({kernels_and_launchers(text) for text in texts}) == count


def test_tf32_is_held_to_its_own_floor_and_a_fault_is_found():
    _, text = made("product", "tf32")
    assert verdict("product", text, "tf32").verified
    assert not verdict("product", text).verified
    faulty = text.replace("range(0, tl.cdiv(K, BLOCK_K))", "range(1, tl.cdiv(K, BLOCK_K))")
    assert faulty != text
    assert not verdict("product", faulty, "tf32").verified
