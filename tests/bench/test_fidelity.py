"""Described and real GPU compared, as far as that can be tested without one."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from builder.bench import fidelity
from builder.bench.fidelity import FidelityBench, first_difference, measure, real_target
from builder.capture.inductor import compile_for
from builder.capture.targets import TARGETS
from builder.cli import group
from builder.errors import OperationFailed, VerificationRejected

H100 = TARGETS["cuda:90"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_compared():
    with pytest.raises(OperationFailed, match="sees no GPU"):
        real_target()


def test_a_real_device_is_asked_itself(monkeypatch):
    """On the CPU, where the compiler then writes C++."""
    monkeypatch.setattr("builder.capture.inductor.described_gpu", None)
    _, record = compile_for(nn.GELU(), [torch.randn(48, 64)], H100, 0, described=False)
    assert "cpp_fused_gelu" in record.sources[0]
    assert "triton" not in record.sources[0].partition("def call(")[2]


def test_what_differs_is_counted_and_told(monkeypatch):
    texts = {"one": "a\nb", "two": "c\nd"}

    def kernels(program, target, bench, *, described):
        if program.entry_point == programs[1]:
            raise VerificationRejected("kind", "refused")
        return texts if described else texts | {"two": "c\ne", "three": "f"}

    monkeypatch.setattr(fidelity, "kernels", kernels)
    monkeypatch.setattr(fidelity, "real_target", lambda: H100)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    programs = [fidelity.synthesise(3, index).entry_point for index in range(3)]
    steps = []
    found = measure(FidelityBench(2, 3), lambda: steps.append(1))
    assert len(steps) == found["programs"] == 2
    assert (found["kernels"], found["identical"], found["share"]) == (3, 1, 1 / 3)
    assert [one["kernel"] for one in found["differences"]] == ["three", "two"]
    assert found["differences"][1]["where"] == "-d\n+e"
    assert found["failures"] == [{"program": 1, "reason": "VerificationRejected: refused"}]


def test_the_described_capture_is_the_same_each_time():
    program = fidelity.load_program(fidelity.synthesise(0, 1).python_code)
    first = fidelity.kernels(program, H100, FidelityBench(), described=True)
    assert first
    assert fidelity.kernels(program, H100, FidelityBench(), described=True) == first
    assert first_difference("a", "a") == ""


def test_backward_and_variants_are_compared_too():
    program = fidelity.load_program(fidelity.synthesise(0, 1).python_code)
    forward = fidelity.kernels(program, H100, FidelityBench(), described=True)
    training = fidelity.kernels(program, H100, FidelityBench(mode="training"), described=True)
    assert any(name.startswith("backward ") for name in training)
    unfused = fidelity.kernels(program, H100, FidelityBench(variant="unfused"), described=True)
    assert len(unfused) > len(forward)


def test_kernels_of_any_size_are_compared_too():
    program = fidelity.load_program(fidelity.synthesise(0, 1).python_code)
    fixed = fidelity.kernels(program, H100, FidelityBench(), described=True)
    any_size = fidelity.kernels(program, H100, FidelityBench(any_size=True), described=True)
    assert any_size
    assert any(fixed.get(name) != text for name, text in any_size.items())


def test_gradients_of_any_size_are_refused():
    words = ["bench", "fidelity", "--any-size", "--mode", "training"]
    refused = CliRunner().invoke(group, words)
    assert refused.exit_code == 2
    assert "leave --any-size or --mode out" in refused.stderr


def test_inputs_keep_their_strides_on_the_way_to_the_gpu():
    part = torch.randn(6, 8, requires_grad=True)[:, ::2]
    moved = fidelity.as_laid_out(part, device="cpu")
    assert moved.stride() == (8, 2)
    assert torch.equal(moved, part)
    assert moved.requires_grad
