"""The private parts of triton and torch that the executor leans on are where they were."""

import inspect

import pytest
import torch
import triton
import triton.language as tl
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from builder.execute import launches_on_cpu, run, seams
from builder.execute.parse import parse_ttir

HELP = "a private part of triton or torch moved: adapt builder/execute/seams.py"


@triton.jit
def kernel(x, n, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.device_assert(index < n, "too small")
    tl.device_print("n", n)
    tl.store(x + index, index)


def test_launch_function_takes_grid_and_warmup():
    parameters = inspect.signature(JITFunction.run).parameters
    assert {"grid", "warmup"} <= set(parameters), HELP


def test_driver_can_be_put_back():
    assert hasattr(driver, "_active"), HELP
    assert callable(driver.set_active), HELP


def test_binding():
    binding = seams.bind(kernel, (torch.zeros(32), 32), {"BLOCK": 32, "num_warps": 2})
    assert binding.signature == {"x": "*fp32", "n": "i32", "BLOCK": "constexpr"}, HELP
    assert binding.constants == {(2,): 32}, HELP
    assert binding.options == {"num_warps": 2}, HELP


def test_options_of_other_backends_are_accepted():
    binding = seams.bind(kernel, (torch.zeros(32), 32), {"BLOCK": 32, "waves_per_eu": 2})
    assert binding.options == {"waves_per_eu": 2}


def test_unknown_options_are_not():
    with pytest.raises(KeyError, match="wraps"):
        seams.bind(kernel, (torch.zeros(32), 32), {"BLOCK": 32, "wraps": 2})


def test_ttir_has_assertions_and_locations():
    text = seams.lower(kernel, seams.bind(kernel, (torch.zeros(32), 32), {"BLOCK": 32}))
    module = parse_ttir(text, seams.source_file(kernel))
    lines = {op.name: op.line for op in module.entry.body.walk()}
    first = kernel.starting_line_number
    assert lines["tt.assert"] == first + 3, HELP
    assert lines["tt.print"] == first + 4, HELP
    assert lines["tt.store"] == first + 5, HELP


def test_tracking_sees_allocations_and_writes():
    with launches_on_cpu():
        assert torch.empty(3).isnan().all(), HELP
        assert torch.empty(3).zero_().tolist() == [0, 0, 0]


def test_inert_driver_answers_what_launchers_ask():
    with launches_on_cpu():
        active = triton.runtime.driver.active
        assert active.get_current_target().backend == "cuda"
        assert active.get_active_torch_device() == torch.device("cpu")
        device = active.get_current_device()
        assert active.utils.get_device_properties(device)["multiprocessor_count"] > 0


def test_prints_are_passed_over():
    x = torch.zeros(32)
    run(kernel, (1,), x, 32, BLOCK=32)
    assert torch.equal(x, torch.arange(32.0))


@triton.jit
def custom_cast(x):
    tl.store(x, tl.load(x).to(tl.float8e4b15, fp_downcast_rounding="rtne").to(tl.float32))


def test_custom_conversions_are_one_word():
    text = seams.lower(custom_cast, seams.bind(custom_cast, (torch.zeros(1),), {}))
    assert seams.FROM_E4M3B15 in text, HELP
    assert seams.TO_E4M3B15 in text, HELP
