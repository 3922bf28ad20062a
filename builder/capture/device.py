"""The described GPU: what torch and triton see while a program is captured for a target.

Everything in this module reaches into private parts.  Written against torch 2.11 to 2.13 and
triton 3.6 to 3.7; ``tests/capture/test_device.py`` fails if one of the seams moves:

1. Triton asks its driver which target to compile for   -> an inert driver answers.
2. Inductor asks a device interface for properties      -> a registered interface answers.
3. Code inside Inductor asks ``torch.cuda`` directly    -> patched while a graph is lowered.
4. Fake tensors ask cuDNN for a convolution's layout    -> cuDNN's rule answers.
5. They start the driver (2.11, if built for CUDA)      -> there is none to start.
"""

from __future__ import annotations

import contextlib
import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import torch.utils._triton as torch_triton
from torch._dynamo import device_interface
from torch._inductor.runtime.hints import DeviceProperties
from torch._prims_common import suggest_memory_format
from torch._subclasses import fake_tensor
from triton.backends.driver import DriverBase
from triton.runtime.driver import driver as triton_driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from triton.backends.compiler import GPUTarget

    from builder.capture.targets import Target

CUDA = torch.device("cuda:0")


def device_properties(target: Target) -> SimpleNamespace:
    """What ``torch.cuda.get_device_properties`` would answer on the target."""
    major, minor = target.capability
    return SimpleNamespace(
        name=target.board,
        major=major,
        minor=minor,
        multi_processor_count=target.multiprocessors,
        regs_per_multiprocessor=target.registers,
        max_threads_per_multi_processor=target.threads_per_multiprocessor,
        max_threads_per_block=target.max_threads_per_block,
        warp_size=target.warp_size,
        total_memory=target.memory,
        L2_cache_size=target.l2_cache,
        shared_memory_per_block=min(target.shared_memory, 48 << 10),
        shared_memory_per_block_optin=target.shared_memory,
        gcnArchName=target.arch if target.backend == "hip" else "",
        uuid="0",
    )


class DescribedDriver(DriverBase):
    """Answers what the code generator asks; cannot launch anything."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_current_target(self) -> GPUTarget:
        return self._target.gpu_target

    def get_current_device(self) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return CUDA

    def get_benchmarker(self) -> None:
        return None


def _answers(**values: Any) -> dict[str, Callable[..., Any]]:
    """Functions that answer with these values whatever they are asked."""
    return {name: functools.partial(_constant, value) for name, value in values.items()}


def _constant(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _described_interface(target: Target) -> type[device_interface.CudaInterface]:
    major, minor = target.capability
    worker = _answers(current_device=0, get_device_properties=device_properties(target))
    answers = worker | _answers(
        device_count=1,
        is_available=True,
        get_compute_capability=target.arch if target.backend == "hip" else major * 10 + minor,
        is_bf16_supported=True,
        is_triton_capable=True,
        raise_if_triton_unavailable=None,
        get_raw_stream=0,
        exchange_device=0,
        maybe_exchange_device=0,
        synchronize=None,
    )
    base = device_interface.CudaInterface
    described_worker = type("Worker", (base.Worker,), _static(worker))
    return type("DescribedInterface", (base,), _static(answers) | {"Worker": described_worker})


def _static(functions: dict[str, Callable[..., Any]]) -> dict[str, Any]:
    return {name: staticmethod(function) for name, function in functions.items()}


def _torch_cuda_answers(target: Target) -> dict[str, Callable[..., Any]]:
    return _answers(
        is_available=True,
        device_count=1,
        current_device=0,
        get_device_properties=device_properties(target),
        get_device_capability=target.capability,
        get_device_name=target.board,
        is_bf16_supported=True,
        is_tf32_supported=target.backend == "cuda",
        get_rng_state=torch.zeros(16, dtype=torch.uint8),
        set_rng_state=None,
        synchronize=None,
        _exchange_device=0,
        _maybe_exchange_device=0,
    )


@contextlib.contextmanager
def _registered_interface(target: Target) -> Iterator[None]:
    device_interface.get_interface_for_device("cpu")  # fills the registry before it is overridden
    interfaces = device_interface.device_interfaces
    described = _described_interface(target)
    with mock.patch.dict(interfaces, {"cuda": described, "cuda:0": described}):
        yield


@contextlib.contextmanager
def _active_driver(target: Target) -> Iterator[None]:
    before = triton_driver._active  # noqa: SLF001 - the public property would start a real driver
    triton_driver.set_active(DescribedDriver(target))
    try:
        yield
    finally:
        triton_driver._active = before  # noqa: SLF001


def _convolution_format(input_: torch.Tensor, weight: torch.Tensor, _: Any) -> torch.memory_format:
    """The layout a convolution answers in: channels last if either operand has them last.

    As ``cudnn_conv_suggest_memory_format`` in torch's ``aten/src/ATen/native/ConvUtils.h``, which
    answers "contiguous" where torch is built without cuDNN.
    """
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(weight.ndim)
    formats = (suggest_memory_format(input_), suggest_memory_format(weight))
    if last in formats and torch.float64 not in (input_.dtype, weight.dtype):
        return last
    return torch.contiguous_format


_FAKE_TENSORS_ASK: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (torch._C, "_conv_determine_backend_memory_format", _convolution_format),  # noqa: SLF001
    (fake_tensor, "init_gpu_context", functools.partial(_constant, None)),
)


@contextlib.contextmanager
def described_gpu(target: Target) -> Iterator[None]:
    """Makes ``target`` the machine's only GPU for everything that asks within this process."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_registered_interface(target))
        stack.enter_context(_active_driver(target))
        for owner, name, answer in _FAKE_TENSORS_ASK:
            stack.enter_context(mock.patch.object(owner, name, answer))
        for name, answer in _torch_cuda_answers(target).items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        if target.backend == "hip":
            stack.enter_context(mock.patch.object(torch.version, "hip", "7.0"))
        for cached in (torch_triton.has_triton, DeviceProperties.create):
            cached.cache_clear()
            stack.callback(cached.cache_clear)
        yield
