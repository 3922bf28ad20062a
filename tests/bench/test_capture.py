"""The operator database as programs, and what ``bench capture`` says of them."""

from __future__ import annotations

import pytest
import torch

from builder.bench import capture_steps, operators
from builder.bench.backward_steps import examine_backward
from builder.bench.capture import CaptureBench, chosen, keys, measure, report
from builder.bench.capture_steps import examine
from builder.capture.targets import TARGETS
from builder.errors import OperationFailed, UsageError, VerificationRejected
from builder.programs.load import load_program


def loaded(name, **options):
    text, entry_point = operators.program(name, **options)
    return load_program(text, entry_point, f"{entry_point}.py")


def examined(name, **options):
    return examine({"name": name, "scaled": False, "target": "cuda:90", "draws": 2} | options)


def test_the_database_is_all_there():
    entries = operators.listed()
    assert len({entry.name for entry in entries}) == len(entries) >= 600
    assert sum(entry.has_gradient for entry in entries) > 400
    assert chosen(["mm", "abs"]) == ["abs", "mm"]
    with pytest.raises(UsageError, match="no such entry: nothing"):
        chosen(["nothing", "abs"])


@pytest.mark.parametrize("name", ["addcmul", "nn.functional.conv2d", "sum", "var_mean", "gather"])
def test_an_entry_is_a_program(name):
    program = loaded(name)
    module, inputs = program.make_module(), program.make_inputs(0)
    again = program.make_inputs(0)
    other = program.make_inputs(1)
    for one, two, three in zip(inputs[0], again[0], other[0], strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, three)
        assert not one.requires_grad
    program.run(module, inputs)
    tensors = loaded(name, needs_grad=True).make_inputs(0)[0]
    assert all(tensor.requires_grad == tensor.is_floating_point() for tensor in tensors)
    assert all(tensor.is_leaf for tensor in tensors)


def test_constants_are_the_same_whenever_the_program_is_loaded():
    name = "nn.functional.huber_loss"
    one, other = (loaded(name).namespace["ENTRY"] for _ in range(2))
    assert [c for c in one._constants if isinstance(c, float)]
    pairs = zip(one._constants, other._constants, strict=True)
    assert all(a == b for a, b in pairs if isinstance(a, float))


def test_the_largest_sample_is_taken_and_may_be_scaled():
    sizes = [
        sum(t.numel() for t in loaded("mm", scaled=s).make_inputs(0)[0]) for s in (False, True)
    ]
    assert sizes[0] >= 100
    assert sizes[1] >= 4096
    for name in ("mm", "addcmul", "nn.functional.relu"):
        program = loaded(name, scaled=True)
        inputs = program.make_inputs(0)
        assert max(tensor.numel() for tensor in inputs[0]) < 4096 * 2**4
        program.run(program.make_module(), inputs)


def test_a_fresh_sample_has_the_form_of_the_first():
    """Those of its samples stay whose indices are unique: each time another number."""
    entry = operators.Entry("nn.functional.max_unpool2d:grad", scaled=False, needs_grad=False)
    shapes = set()
    for seed in range(8):
        torch.manual_seed(seed)
        shapes.add(tuple(tensor.shape for tensor in entry.tensors()))
    assert len(shapes) == 1


def test_a_sample_that_is_never_drawn_again_is_an_error(monkeypatch):
    entry = operators.Entry("abs", scaled=False, needs_grad=False)
    monkeypatch.setattr(entry, "_form", "another")
    with pytest.raises(OperationFailed, match="leave it out"):
        entry.tensors()


def test_an_entry_comes_all_the_way():
    found = examined("cummax")
    assert found["verified"]
    assert found["compiled_all_targets"]
    assert found["stage"] == found["reason"] == ""
    assert found["capture_core_s"] > 0


@pytest.mark.parametrize("small", ["hip:gfx942", "cuda:90"])
def test_a_device_that_kernels_are_too_large_for_has_kernels_of_its_own(small, monkeypatch):
    tried = []

    def compile_launches(launches, targets):
        (target,) = targets
        tried.append(target.name)
        if target.name == small and tried.count(small) == 1:
            raise VerificationRejected("shared_memory", "too much")

    monkeypatch.setattr(capture_steps, "compile_launches", compile_launches)
    found = examined("abs", draws=1)
    if small == "cuda:90":  # what was captured for it
        assert (found["stage"], found["reason"]) == ("compile", "shared_memory: too much")
    else:
        assert found["verified"]
        assert set(tried) == set(TARGETS)
        assert tried.count(small) == 2
    assert found["compiled_all_targets"] is found["verified"]


@pytest.mark.parametrize(
    ("name", "captured", "stage", "reason"),
    [
        ("linalg.qr", True, "capture", "library_call"),
        ("expand", True, "capture", "no_kernel"),
        ("nonzero", False, "capture", "needs_values|compiler_error"),
        ("equal", False, "capture", "graph_break"),
    ],
)
def test_where_an_entry_ends_is_told(name, captured, stage, reason):
    found = examined(name)
    assert found["captured"] is captured
    assert not found["triton_only"]
    assert found["stage"] == stage
    assert found["reason"].partition(":")[0] in reason.split("|")


def test_what_keeps_its_library_calls_is_verified_apart():
    found = examined("stft")
    assert found["with_triton"]
    assert not found["triton_only"]
    assert not found["verified"]
    assert found["library_verified"], found["reason"]
    assert found["reason"].startswith("library_call: aten._fft_r2c.default")


def test_a_random_operation_is_triton_alone():
    found = examined("randn")
    assert found["with_triton"]
    assert found["triton_only"]


def test_figures_add_up():
    def row(name, **given):
        names = "captured with_triton triton_only compiled_all_targets verified library_verified"
        flags = dict.fromkeys(names.split(), False)
        plain = {"valid": True, "stage": "", "reason": "", "capture_core_s": 1.0, **flags}
        return {"entry": name, **plain, **given}

    rows = [
        row("a", captured=True, with_triton=True, triton_only=True, verified=True),
        row(
            "b",
            captured=True,
            library_verified=True,
            capture_core_s=3.0,
            stage="capture",
            reason="library_call: x",
        ),
        row("c", stage="worker", reason="deadline: it did not end"),
        row("d", valid=False),
    ]
    found = report(rows)
    assert (found["entries"], found["captured"], found["with_triton"]) == (3, 2, 1)
    assert (found["verified"], found["library_verified"]) == (1, 1)
    assert found["left_out"] == ["d"]
    assert found["core_seconds"] == 2.0
    assert [one["entry"] for one in found["failures"]] == ["b", "c"]
    assert found["failures_by"] == {"capture: library_call": 1, "worker: deadline": 1}


def test_workers_measure_what_was_asked():
    done = []
    bench = CaptureBench(("abs", "linalg.qr", "argmax"), workers=1, draws=1)
    assert keys(bench) == ["abs", "argmax", "linalg.qr", "backward abs", "backward linalg.qr"]
    found = measure(bench, lambda: done.append(1))
    assert len(done) == 5
    assert found["entries"] == found["captured"] == 3
    assert found["verified"] == 2
    assert found["backward_entries"] == 2
    assert found["backward_captured"] == found["backward_verified"] == 1
    assert [(one["entry"], one["stage"]) for one in found["failures"]] == [
        ("linalg.qr", "capture"),
        ("linalg.qr", "backward capture"),
    ]


def test_parts_can_be_left_out():
    assert keys(CaptureBench(("abs", "argmax"), backward=False)) == ["abs", "argmax"]
    assert keys(CaptureBench(("abs", "argmax"), forward=False)) == ["backward abs"]
    with pytest.raises(UsageError, match="autograd supports none"):
        keys(CaptureBench(("argmax",), forward=False))


@pytest.mark.parametrize(
    ("name", "stage", "reason"),
    [
        ("nn.functional.layer_norm", "", ""),
        ("expand", "backward capture", "no_kernel"),
        ("nn.functional.cosine_embedding_loss", "", ""),
        ("sgn", "", ""),  # its gradient is zero
        ("flip", "", ""),  # it only moves data, as the forward line counts it, too
    ],
)
def test_a_training_pair_of_an_entry(name, stage, reason):
    found = examine_backward({"name": name, "scaled": False, "target": "cuda:90", "draws": 2})
    assert (found["stage"], found["reason"].partition(":")[0]) == (stage, reason)
    assert found["verified"] is (stage == "")


def test_a_scaled_sample_that_eager_refuses_is_left_out():
    found = examined("linalg.cholesky", scaled=True)
    assert not found["valid"]
    assert not found["captured"]


def test_constant_results_are_compared_too():
    assert examined("zeros_like")["verified"]


def test_of_dropouts_one_is_taken_that_drops_something():
    entry = operators.Entry("nn.functional.dropout2d", scaled=False, needs_grad=False)
    torch.manual_seed(0)
    (x,) = entry.tensors()
    assert x.dim() == 4
    assert 0 < (entry([x]) == 0).sum() < x.numel()
