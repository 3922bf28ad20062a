"""Makes every launch of the executor's tests on a GPU as well, and says where the two differ.

A plugin of pytest, for a machine with an NVIDIA GPU and a PyTorch that sees it::

    python -m pytest -p tests.on_gpu tests/execute -n 8

A difference fails no test: sums round in another order, and what the executor does not model the
README says ("Held against a real GPU").  The table at the end is there to be read.

It goes into ``builder.execute.api._launch``; beyond it, known to hold for triton 3.6 and 3.7:
``JITFunction.run``, ``CudaDriver`` and ``DriverConfig._active``.
"""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
import torch
import triton
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from builder.execute import api, seams

PROPERTY = "differs on the GPU"
_run_on_device = JITFunction.run
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass
class Copies:
    """A launch's arguments on another device, alike in memory: views stay views of one storage."""

    device: str
    tensors: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    _storages: dict[int, torch.Tensor] = field(default_factory=dict)

    def of(self, argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return self._of_tensor(argument) if argument.is_cpu else argument
        if isinstance(argument, tuple):
            parts = map(self.of, argument)
            is_named = hasattr(argument, "_fields")
            return type(argument)(*parts) if is_named else type(argument)(parts)
        if isinstance(getattr(argument, "base", None), torch.Tensor):  # a tensor descriptor
            twin = copy.copy(argument)
            twin.base = self.of(argument.base)
            return twin
        return argument

    def _of_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        key = seams.storage_key(storage)
        if key not in self._storages:
            size = storage.nbytes()
            raw = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (size,), (1,))
            self._storages[key] = raw.clone().to(self.device)
        twin = torch.empty(0, dtype=tensor.dtype, device=self.device)
        memory = self._storages[key].untyped_storage()
        twin.set_(memory, tensor.storage_offset(), tensor.shape, tensor.stride())
        self.tensors.append((tensor, twin))
        return twin


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> str | None:
    """How many elements differ, and by how many units in the last place; one NaN is any other."""
    a, b = ours.detach().reshape(-1), theirs.detach().cpu().reshape(-1)
    bits = _BITS[a.element_size()]
    differs = a.view(bits) != b.view(bits)
    if a.dtype.is_floating_point:
        differs &= ~(a.double().isnan() & b.double().isnan())
    if not differs.any():
        return None
    found = f"{int(differs.sum())} of {a.numel()} of {a.dtype}"
    if a.dtype.is_floating_point:
        places = (_in_order(a.view(bits)) - _in_order(b.view(bits))).abs()
        found += f", up to {int(places[differs].max())} units in the last place"
    first = int(differs.nonzero()[0])
    return f"{found}; at {first} {a[first].item()!r} here, {b[first].item()!r} there"


def _in_order(bits: torch.Tensor) -> torch.Tensor:
    """Integers in the order of the floats that have these bits."""
    lowest = torch.iinfo(bits.dtype).min
    wide = bits.to(torch.int64)
    return torch.where(wide < 0, lowest - wide, wide)


@contextlib.contextmanager
def _on_device() -> Any:
    from triton.backends.nvidia.driver import CudaDriver

    triton.set_allocator(lambda size, *_: torch.empty(size, dtype=torch.int8, device="cuda"))
    before = driver._active
    driver.set_active(CudaDriver())
    try:
        with mock.patch.object(JITFunction, "run", _run_on_device):
            yield
    finally:
        driver.set_active(before)


def _launched_there(kernel: Any, grid: Any, args: Any, kwargs: Any, launch: Any) -> list[str]:
    """Launches on both; what differs."""
    with seams.without_modes(), torch.no_grad():
        copies = Copies("cuda")
        theirs = [copies.of(argument) for argument in args]
        named = {name: copies.of(argument) for name, argument in kwargs.items()}
        sizes = api._grid_sizes(grid, seams.bind(kernel, args, kwargs).arguments)
    launch(kernel, grid, args, kwargs)
    if 0 in sizes:
        return []
    with seams.without_modes(), torch.no_grad():
        try:
            with _on_device():
                _run_on_device(kernel, *theirs, grid=sizes, warmup=False, **named)
                torch.cuda.synchronize()
        except Exception as error:  # noqa: BLE001  (what this GPU or its compiler does not do)
            return [f"{kernel.__name__}: {type(error).__name__}: {str(error)[-200:]}"]
        found = [difference(ours, other) for ours, other in copies.tensors]
    return [f"{kernel.__name__}: {one}" for one in found if one is not None]


@pytest.fixture(autouse=True)
def _launches_on_both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = api._launch

    def both(kernel: Any, grid: Any, args: Any, kwargs: Any) -> None:
        found = _launched_there(kernel, grid, args, kwargs, launch)
        request.node.user_properties.extend((PROPERTY, one) for one in found)

    monkeypatch.setattr(api, "_launch", both)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Each test that differs, with its launches that do."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, text in report.user_properties:
                if name == PROPERTY:
                    terminalreporter.write_line(f"{report.nodeid}: {text}")
