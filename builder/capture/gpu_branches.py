"""The branches that PyTorch takes for a GPU, taken while a graph is traced on the CPU.

Before a graph is moved to the described GPU it has been traced, taken apart and simplified on the
CPU, and some of the functions that do so ask where a tensor lies: a root mean square norm is one
operation on a GPU and seven elsewhere, a group norm folds its weights on the CPU only, a product of
a batch of one becomes a plain product on a GPU only.  Inside ``gpu_branches`` they answer as they
would for a GPU.  (Found by comparing captures for a described and through a real H200.)

Left as they are: ``_addmm_activation``, whose GELU is another function on a GPU, and the layouts
that resizing and reflection give their results, for a program is compared with what it returns on
the CPU.

Everything in this module reaches into private parts of torch 2.11 to 2.13;
``tests/capture/test_gpu_branches.py`` fails if one of the seams moves.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import _refs
from torch._decomp import decompositions
from torch._inductor import decomposition
from torch._inductor.fx_passes import joint_graph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FunctionType

ASKING: tuple[tuple[Any, str], ...] = (
    (_refs, "native_group_norm"),
    (_refs, "native_layer_norm"),
    (decompositions, "native_batch_norm_helper"),
    (decompositions, "log_sigmoid_forward"),
    (decompositions, "_upsample_get_cubic_coefficients"),
    (decomposition, "addmm"),
    (decomposition, "bmm"),
    (decomposition, "convolution_backward"),
    (decomposition, "grid_sampler_2d"),
    (decomposition, "mm"),
)
"""Functions that ask a tensor for its device, and what they ask for decides nothing else."""

_SWAPPED = {"cpu": "cuda", "cuda": "cpu"}
_NAMES = {"is_cuda": "is_cpu", "is_gpu": "bool"}
"""Asked of a tensor, or of the type of a device: a type is a text that is not empty."""


def asking(owner: Any, name: str) -> FunctionType:
    """The function of that name beneath its decorators."""
    found: FunctionType = inspect.unwrap(getattr(owner, name))
    return found


def with_devices_swapped(code: CodeType) -> CodeType:
    """A function's code in which CPU and GPU have each other's names."""
    constants = tuple(map(_swapped, code.co_consts))
    names = tuple(_NAMES.get(name, name) for name in code.co_names)
    return code.replace(co_consts=constants, co_names=names)


def _swapped(constant: Any) -> Any:
    if isinstance(constant, tuple):
        return tuple(map(_swapped, constant))
    return _SWAPPED.get(constant, constant) if isinstance(constant, str) else constant


@contextlib.contextmanager
def gpu_branches() -> Iterator[None]:
    """What is traced on the CPU inside is taken apart as it would be on a GPU."""
    with contextlib.ExitStack() as stack:
        for owner, name in ASKING:
            stack.enter_context(_devices_swapped(asking(owner, name)))
        # Tells which device's products of a batch of one become plain ones.
        stack.enter_context(mock.patch.object(joint_graph, "get_gpu_type", return_value="cpu"))
        stack.enter_context(_whole_rms_norm())
        yield


@contextlib.contextmanager
def _devices_swapped(function: FunctionType) -> Iterator[None]:
    before = function.__code__
    function.__code__ = with_devices_swapped(before)
    try:
        yield
    finally:
        function.__code__ = before


@contextlib.contextmanager
def _whole_rms_norm() -> Iterator[None]:
    """Keeps a root mean square norm whole until Inductor takes it apart.

    ``aten/src/ATen/native/native_functions.yaml`` has a kernel of ``_fused_rms_norm`` for GPUs, and
    takes it apart for devices without one.
    """
    library = torch.library.Library("aten", "IMPL")
    library.impl("_fused_rms_norm", _never_run, "CPU")
    try:
        yield
    finally:
        library._destroy()  # noqa: SLF001


def _never_run(*_: Any) -> Any:
    raise NotImplementedError("a described GPU computes nothing; trace on fake tensors")
