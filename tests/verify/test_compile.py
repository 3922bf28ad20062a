"""Compiling recorded launches for described devices, and their limits."""

import dataclasses

import pytest
import torch

from builder import execute
from builder.capture.targets import TARGETS
from builder.errors import VerificationRejected
from builder.verify.compile import (
    Resources,
    check_limits,
    compile_launches,
    distinct_launches,
)
from builder.verify.modules import imported_text
from tests.verify.data import loss, matmul

LARGE = {"m": 64, "n": 64, "k": 128, "warps": 4, "stages": 5}


def recorded(text, *calls):
    """The launches of some launcher calls, and the module while it is imported."""
    with imported_text(text) as module, execute.launches_on_cpu() as trace:
        for name, *args in calls:
            getattr(module, name)(*args)
        yield trace.launches


@pytest.fixture
def large_launches():
    x = torch.zeros(64, 64, dtype=torch.float16)
    call = ("launch_linear", x, x, x[0], x.clone())
    yield from recorded(matmul.triton("float16", **LARGE), call)


@pytest.fixture
def loss_launches():
    x = torch.zeros(16, 16)
    call = ("launch_loss", x, x.clone(), x.clone())
    yield from recorded(loss.TRITON, call, call)


def test_kernel_within_limits(large_launches):
    compiled = compile_launches(large_launches, [TARGETS["cuda:90"]])
    used = compiled.resources["cuda:90"]
    assert 99 << 10 < used["shared"] <= TARGETS["cuda:90"].shared_memory
    assert used["registers"] > 16
    assert "tt.dot" in compiled.ttir[0]


@pytest.mark.parametrize("name", ["cuda:86", "hip:gfx942"])
def test_kernel_that_compiles_but_does_not_fit(large_launches, name):
    with pytest.raises(VerificationRejected) as caught:
        compile_launches(large_launches, [TARGETS[name]])
    assert caught.value.kind == "shared_memory"
    assert name in caught.value.message


def test_every_target_reports_resources(loss_launches):
    compiled = compile_launches(loss_launches, list(TARGETS.values()))
    assert list(compiled.resources) == list(TARGETS)
    for used in compiled.resources.values():
        assert used["registers"] > 0
        assert used["spills"] == 0
    assert len(compiled.ttir) == 1


def test_identical_launches_are_compiled_once(loss_launches):
    first, second = loss_launches
    assert len(distinct_launches([first, second])) == 1
    other = dataclasses.replace(second, options={**second.options, "num_warps": 8})
    grid = dataclasses.replace(second, grid=(7, 1, 1))
    assert len(distinct_launches([first, other, grid])) == 2


def test_kernel_that_does_not_compile(loss_launches):
    broken = dataclasses.replace(loss_launches[0], options={"num_warps": 3})
    with pytest.raises(VerificationRejected) as caught:
        compile_launches([broken], [TARGETS["cuda:90"]])
    assert caught.value.kind == "compile_error"
    assert "loss_kernel does not compile for cuda:90" in caught.value.message


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, None),
        ({"registers": 128}, None),
        ({"registers": 129}, "registers"),
        ({"threads": 1056, "registers": 8}, "threads"),
        ({"shared": 232448}, None),
        ({"shared": 232449}, "shared_memory"),
        ({"tensor_memory": 1}, "tensor_memory"),
    ],
)
def test_limits(change, kind):
    used = dataclasses.replace(Resources(32, 0, 0, 512, 0), **change)
    if kind is None:
        check_limits("kernel", used, TARGETS["cuda:90"])
        return
    with pytest.raises(VerificationRejected) as caught:
        check_limits("kernel", used, TARGETS["cuda:90"])
    assert caught.value.kind == kind


def test_users_cache_is_left_alone(loss_launches, monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_HOME", str(tmp_path))
    compile_launches(loss_launches, [TARGETS["cuda:90"]])
    assert not list(tmp_path.iterdir())


ASSEMBLY = """
import torch
import triton
import triton.language as tl


@triton.jit
def negate_kernel(x_ptr, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + place)
    y = tl.inline_asm_elementwise("neg.f32 $0, $1;", "=f, f", [x], tl.float32, True, 1)
    tl.store(x_ptr + place, y)


def launch_negate(x):
    negate_kernel[(1,)](x, BLOCK=32)
"""


def test_assembly_is_for_one_vendor():
    [[launch]] = list(recorded(ASSEMBLY, ("launch_negate", torch.ones(32))))
    assert "cuda:90" in compile_launches([launch], [TARGETS["cuda:90"]]).resources
    with pytest.raises(VerificationRejected, match="inline assembly") as caught:
        compile_launches([launch], [TARGETS["hip:gfx942"]])
    assert caught.value.kind == "compile_error"
