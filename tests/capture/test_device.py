"""Fails clearly when a private seam of torch or triton that the described GPU needs has moved."""

import torch
from torch._dynamo.device_interface import device_interfaces, get_interface_for_device
from torch._inductor.runtime.hints import DeviceProperties
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
