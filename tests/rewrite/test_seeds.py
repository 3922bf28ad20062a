"""Random modules: kernels take integers for seeds, forward takes the caller's."""

import ast

import pytest
import torch

from builder.errors import RewriteRejected
from builder.execute import launches_on_cpu
from builder.rewrite.seeds import random_seeds, seed_buffer, seed_buffers, take_seeds
from builder.verify.static import check_static
from tests.rewrite.test_module import rewritten

DROPS = """
import torch
import torch.nn.functional as F
from torch import nn

class Drops(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.2) + F.dropout(x.sin(), 0.4)

def get_inputs():
    return [torch.randn(16, 60)]
"""


def test_seeds_are_the_published_generators():
    """SplitMix64 from state 1234567 (Vigna's splitmix64.c), halved to 63 bits."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert random_seeds(1234567, 3) == [n >> 1 for n in published]


def test_no_seed_stands_for_torchs():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2**63 + 5)
        assert random_seeds(None, 2) == random_seeds(2**63 + 5, 2)
        torch.manual_seed(6)
        assert random_seeds(None, 2) == random_seeds(6, 2) != random_seeds(7, 2)


def test_seeds_stay_within_63_bits():
    seeds = [s for start in (0, -1, 2**64 - 1, 2**70) for s in random_seeds(start, 50)]
    assert all(0 <= s < 2**63 for s in seeds)


def kernel(body, parameters="in_ptr0, load_seed_offset, load_seed_offset1, XBLOCK"):
    text = f"def kernel({parameters}):\n    " + "\n    ".join(body)
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    return function


def test_a_kernel_takes_its_seeds():
    function = kernel(
        [
            "tmp0 = tl.load(in_ptr0 + load_seed_offset)",
            "tmp1 = tl.rand(tmp0, offset)",
            "tmp2 = tl.randn(tl.load(in_ptr0 + load_seed_offset1), offset)",
        ]
    )
    seeds = take_seeds(function)
    assert ast.unparse(function) == (
        "def kernel(seed, seed_1, XBLOCK):\n"
        "    tmp1 = tl.rand(seed, offset)\n"
        "    tmp2 = tl.randn(seed_1, offset)"
    )
    assert (seeds.pointers, seeds.numbers) == ({0}, {1, 2})
    assert seeds.names == ("seed", "seed_1")


def test_four_numbers_at_once_become_one():
    """An element's number must not depend on the shape of the kernel."""
    function = kernel(
        [
            "tmp0 = tl.load(in_ptr0 + load_seed_offset)",
            "tmp1 = triton_helpers.rand4x(tmp0, x0.to(tl.uint32), XBLOCK)",
            "tmp2 = triton_helpers.randn4x(tmp0, x0.to(tl.uint32), XBLOCK)",
        ],
        "in_ptr0, load_seed_offset, XBLOCK",
    )
    take_seeds(function)
    assert ast.unparse(function).splitlines()[1:] == [
        "    tmp1 = tl.rand(seed, x0.to(tl.uint32))",
        "    tmp2 = tl.randn(seed, x0.to(tl.uint32))",
    ]


def test_other_kernels_are_left_alone():
    function = kernel(["tmp0 = tl.load(in_ptr0 + x0)", "tmp1 = tmp0"], "in_ptr0, XBLOCK")
    before = ast.unparse(function)
    assert take_seeds(function).names == ()
    assert ast.unparse(function) == before


def test_a_tensor_in_the_memory_of_the_seeds_is_still_written():
    function = kernel(
        ["tmp0 = tl.load(in_ptr0 + load_seed_offset)", "tl.store(in_ptr0 + x0, tl.rand(tmp0, x0))"],
        "in_ptr0, load_seed_offset, XBLOCK",
    )
    assert take_seeds(function).pointers == set()
    assert ast.unparse(function) == (
        "def kernel(in_ptr0, seed, XBLOCK):\n    tl.store(in_ptr0 + x0, tl.rand(seed, x0))"
    )


def test_the_memory_of_the_seeds_is_used_again(tmp_path):
    """Inductor puts an int64 scalar where its seed was."""
    drawn = DROPS.replace("F.dropout(x, 0.2) + F.dropout(x.sin(), 0.4)", "torch.randint(1, 9, ())")
    loaded, text, namespace = rewritten(drawn, tmp_path)
    assert "torch.empty((1,), dtype=torch.int64, device=x.device)" in text
    new, (x,) = namespace["DropsNew"](), loaded.make_inputs(0)
    with torch.no_grad(), launches_on_cpu():
        found = {new(x, seed=seed).item() for seed in range(40)}
    assert found <= set(range(1, 9))
    assert len(found) > 4


@pytest.mark.parametrize(
    "use", ["tmp1 = tl.load(in_ptr0 + x0)", "tl.store(out_ptr0, load_seed_offset)"]
)
def test_seeds_that_are_read_in_another_way_are_refused(use):
    function = kernel(["tmp0 = tl.load(in_ptr0 + load_seed_offset)", use])
    with pytest.raises(RewriteRejected) as caught:
        take_seeds(function)
    assert caught.value.kind == "unknown_construct"


MAKER = "aten.randint.low_out(-9223372036854775808, 9223372036854775807, [3], out=buf0)"


def test_the_call_that_makes_seeds():
    call = ast.parse(MAKER, mode="eval").body
    assert isinstance(call, ast.Call)
    assert seed_buffer(call) == ("buf0", 3)
    assert seed_buffers(ast.parse(f"with guard:\n    {MAKER}").body) == {"buf0": 3}


@pytest.mark.parametrize(
    "text",
    [
        MAKER.replace("-9223372036854775808", "0"),
        MAKER.replace("[3]", "[3, 2]"),
        MAKER.replace("randint.low_out", "random.from_out"),
        "kernel.run(buf0)",
    ],
)
def test_no_other_call_makes_seeds(text):
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert seed_buffer(call) is None


def test_a_module_draws_by_its_seed(tmp_path):
    loaded, text, namespace = rewritten(DROPS, tmp_path)
    check_static(text, "Drops")
    assert "def forward(self, x, *, seed=None):" in text
    assert "seeds = random_seeds(seed, 2)" in text
    assert "randint" not in text
    new, (x,) = namespace["DropsNew"](), loaded.make_inputs(0)
    with torch.no_grad(), launches_on_cpu(), torch.random.fork_rng(devices=[]):
        first, again, other = (new(x, seed=seed) for seed in (5, 5, 6))
        torch.manual_seed(5)
        implied = new(x)
    assert torch.equal(first, again)
    assert torch.equal(first, implied)
    assert not torch.equal(first, other)
    kept = (first != 0).float().mean()
    assert 0.84 < kept < 0.99  # one in twelve loses both


def test_other_modules_take_no_seed(tmp_path):
    _, text, _ = rewritten(DROPS.replace("0.2)", "0.0)").replace("0.4)", "0.0)"), tmp_path)
    assert "seed" not in text


@pytest.mark.parametrize("name", ["seed", "seeds"])
def test_a_programs_own_seed_is_refused(name, tmp_path):
    own = DROPS.replace("(self, x)", f"(self, x, {name})").replace(", 0.2)", f", 0.2) * {name}")
    own = own.replace("[torch.randn(16, 60)]", "[torch.randn(16, 60), torch.randn(60)]")
    with pytest.raises(RewriteRejected) as caught:
        rewritten(own, tmp_path)
    assert caught.value.kind == "name_clash"


def test_a_seed_of_a_program_without_random_numbers_is_its_own(tmp_path):
    own = DROPS.replace("(self, x)", "(self, x, seed)").replace("0.2)", "0.0) * seed")
    own = own.replace("0.4)", "0.0)")
    own = own.replace("[torch.randn(16, 60)]", "[torch.randn(16, 60), torch.randn(60)]")
    _, text, _ = rewritten(own, tmp_path)
    assert "def forward(self, x, seed):" in text


def test_forward_with_any_arguments_takes_a_seed(tmp_path):
    own = DROPS.replace("x.sin", "xs[0].sin").replace("(x,", "(xs[0],").replace(", x)", ", *xs)")
    _, text, _ = rewritten(own, tmp_path)
    assert "def forward(self, *xs, seed=None):" in text
