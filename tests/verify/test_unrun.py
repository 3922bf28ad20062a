"""Input sets too large to run: never run, compiled as launched there, and said so."""

import resource

import pytest

from builder.capture.targets import resolve_targets
from builder.errors import UsageError
from builder.verify import verify

HOPPER = resolve_targets(["cuda:90"])

PROGRAM = """
import torch
from torch import nn


class Swapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x, y):
        return x * self.scale + y.transpose(1, 2)


def make_inputs(b, n, m):
    return [torch.randn(b, n, m), torch.randn(b, m, n)]


def get_inputs():
    return make_inputs(3, 50000, 45000)


def get_shape_variants():
    return [lambda: make_inputs(2, 17, 5), lambda: make_inputs(4, 33, 7),
            lambda: make_inputs(3, 8, 31)]
"""

TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def swapped(x, y, scale, out, n: tl.int64, m: tl.int64, count: tl.int64, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    column = place % m
    row = place // m % n
    batch = place // (n * m)
    left = tl.load(x + place, mask)
    right = tl.load(y + (row + n * column + n * m * batch), mask)
    tl.store(out + place, left * tl.load(scale) + right, mask)


def launch_swapped(x, y, scale, out, n, m, count):
    grid = (triton.cdiv(count, 256),)
    swapped[grid](x, y, scale, out, n, m, count, BLOCK=256, num_warps=4)


class SwappedNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x, y):
        if y.shape != (x.shape[0], x.shape[2], x.shape[1]):
            raise ValueError("y is no transposed x")
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        launch_swapped(x, y, self.scale, out, x.shape[1], x.shape[2], x.numel())
        return out
"""

LARGE = ((3, 50000, 45000), (3, 45000, 50000))


def verdict_of(text=TRITON, program=PROGRAM, unrun=(None,), **options):
    settings = {"targets": HOPPER, "draws": 3, "generic": True} | options
    return verify(program, text, "Swapped", unrun=unrun, **settings)


def changed(text, old, new):
    assert old in text
    return text.replace(old, new)


def test_it_is_verified_on_the_variants_and_says_so():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdict = verdict_of()
    assert verdict.verified, verdict.reason
    assert verdict.unrun_shapes == (LARGE,)
    assert LARGE not in verdict.input_shapes
    assert verdict.input_shapes[0] == ((2, 17, 5), (2, 5, 17))  # instead of the declared one
    assert ((4, 33, 7), (4, 7, 33)) in verdict.input_shapes
    assert verdict.shape_generic
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 << 20  # KiB


def test_all_distributions_are_drawn_on_the_variant():
    # Wrong only for values that plain draws do not have.
    wrong = changed(TRITON, "left * tl", "tl.minimum(left, 8.0) * tl")
    assert verdict_of(draws=1).verified
    assert not verdict_of(wrong, draws=6).verified


SMALL = PROGRAM.replace("50000, 45000", "50, 45")


def test_a_variant_that_is_too_large_is_not_run_either():
    program = changed(SMALL, "(3, 8, 31)", "(9, 40000, 30000)")
    verdict = verdict_of(program=program, unrun=(2,))
    assert verdict.verified, verdict.reason
    assert verdict.input_shapes[0] == ((3, 50, 45), (3, 45, 50))
    assert verdict.unrun_shapes == (((9, 40000, 30000), (9, 30000, 40000)),)


FAULTS = {
    "it refuses the size": (
        (
            "        out = torch",
            "        if x.shape[1] == 50000:\n            raise ValueError\n        out = torch",
        ),
        "triton_error",
    ),
    "it does not compile as launched": (
        ("n: tl.int64", "n"),
        ("    grid = (", "    if count > 1 << 32:\n        n = 3.5\n    grid = ("),
        "compile",
    ),
    "a product of sizes overflows": (("n: tl.int64, m: tl.int64", "n, m"), "overflow"),
    "no GPU launches the grid": (
        ("BLOCK=256", "BLOCK=2"),
        ("cdiv(count, 256)", "cdiv(count, 2)"),
        "grid",
    ),
    "it computes with torch there": (
        ("return out", "return out if x.numel() < 1 << 32 else out + 1"),
        "host_compute",
    ),
    "it returns something else there": (
        ("return out", "return out if x.numel() < 1 << 32 else out[1:]"),
        "structure",
    ),
    "it launches nothing there": (
        ("        launch_swapped(", "        if x.numel() < 1 << 32:\n            launch_swapped("),
        "no_launch",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_at_the_size_that_is_not_run(fault):
    *changes, kind = FAULTS[fault]
    text = TRITON
    for old, new in changes:
        text = changed(text, old, new)
    assert verdict_of(text, SMALL, unrun=()).verified
    verdict = verdict_of(text)
    assert verdict.kind == kind, verdict.reason


def test_too_few_shapes_are_no_proof():
    few = changed(
        PROGRAM, "lambda: make_inputs(4, 33, 7),\n            lambda: make_inputs(3, 8, 31)", ""
    )
    even = few.replace("(2, 17, 5)", "(2, 16, 4)")
    assert verdict_of(program=even).kind == "too_large"
    assert verdict_of(unrun=(None, 0, 1, 2)).kind == "too_large"


def test_only_pairs_of_any_size_may_leave_the_declared_inputs_out():
    with pytest.raises(UsageError, match="any size"):
        verdict_of(generic=False)


BODY = TRITON[TRITON.index("    place = ") : TRITON.index("def launch_swapped")]
LOOPED = changed(
    changed(
        TRITON,
        BODY,
        """    row = tl.program_id(0).to(tl.int64)
    for start in tl.range(0, m, BLOCK):
        column = start + tl.arange(0, BLOCK)
        mask = column < m
        left = tl.load(x + (row * m + column), mask)
        right = tl.load(y + (row % n + n * column + n * m * (row // n)), mask)
        tl.store(out + (row * m + column), left * tl.load(scale) + right, mask)


""",
    ),
    "triton.cdiv(count, 256)",
    "count // m",
)


def test_a_loop_that_goes_round_again_there_has_to_be_run():
    verdict = verdict_of(LOOPED)
    assert verdict.kind == "too_large"
    assert "the loop in line 11, of swapped, goes round again" in verdict.reason
    longer = changed(PROGRAM, "make_inputs(3, 8, 31)", "make_inputs(3, 8, 257)")
    assert verdict_of(LOOPED, longer).verified
    assert not verdict_of(
        changed(
            LOOPED,
            "tl.store(out + (row * m + column)",
            "tl.store(out + (row * m + column - start // 2)",
        ),
        longer,
    ).verified
    assert verdict_of(LOOPED, SMALL, unrun=()).verified
