"""Fails clearly when a private seam of torch or triton that the described GPU needs has moved."""

import pytest
import torch
from torch._dynamo.device_interface import device_interfaces, get_interface_for_device
from torch._inductor.runtime.hints import DeviceProperties
from torch._subclasses import FakeTensorMode
from triton.runtime.driver import driver

from builder.capture.device import described_gpu
from builder.capture.targets import TARGETS


def test_everything_that_asks_sees_the_target():
    target = TARGETS["cuda:89"]
    with described_gpu(target):
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_capability() == (8, 9)
        assert driver.active.get_current_target().arch == 89
        interface = get_interface_for_device("cuda")
        assert interface.get_device_properties(0).multi_processor_count == target.multiprocessors
        assert DeviceProperties.create(torch.device("cuda:0")).cc == 89


def test_nothing_is_left_behind():
    before = dict(device_interfaces), driver._active, torch.cuda.is_available
    with described_gpu(TARGETS["cuda:90"]):
        pass
    assert (dict(device_interfaces), driver._active, torch.cuda.is_available) == before


def test_two_targets_in_one_process_do_not_mix():
    for name, count in (("cuda:90", 132), ("cuda:80", 108)):
        with described_gpu(TARGETS[name]):
            properties = DeviceProperties.create(torch.device("cuda:0"))
            assert properties.multi_processor_count == count


LAST, PLAIN = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("of_input", "of_weight", "dtype", "wanted"),
    [
        (LAST, PLAIN, torch.float32, LAST),
        (PLAIN, LAST, torch.bfloat16, LAST),
        (PLAIN, PLAIN, torch.float32, PLAIN),
        (LAST, LAST, torch.float64, PLAIN),
    ],
)
def test_convolutions_keep_channels_last(of_input, of_weight, dtype, wanted):
    with FakeTensorMode(), described_gpu(TARGETS["cuda:90"]):
        x = torch.empty(2, 16, 9, 9, dtype=dtype, device="cuda").to(memory_format=of_input)
        weight = torch.empty(24, 16, 3, 3, dtype=dtype, device="cuda").to(memory_format=of_weight)
        result = torch.conv2d(x, weight)
    assert result.is_contiguous(memory_format=wanted)
