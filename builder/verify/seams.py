"""Every private part of torch and triton that verification leans on.

Checked with torch 2.13 and triton 3.7; ``tests/verify/test_seams.py`` fails if one of them moves.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from triton import knobs
from triton.compiler import ASTSource
from triton.compiler import compile as compile_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ASTSource",
    "TorchDispatchMode",
    "captured_diagnostics",
    "compile_source",
    "decomposition",
    "fresh_compilation",
    "negated_view",
    "outside_dispatch_modes",
    "overload_name",
    "packet_name",
    "schema_arguments",
    "tree_flatten",
    "tree_map",
    "tree_unflatten",
    "without_mkldnn",
]


def decomposition(func: Any) -> Callable[..., Any] | None:
    """The form that torch gives an ATen overload in simpler operations; None if it has none."""
    from torch._decomp import decomposition_table  # noqa: PLC0415 - slow, and rarely needed

    found: Callable[..., Any] | None = decomposition_table.get(func)
    return found


def negated_view(tensor: torch.Tensor) -> torch.Tensor:
    """A view whose values are the negated ones, as ``imag`` of a conjugate gives."""
    return torch._neg_view(tensor)  # noqa: SLF001


def schema_arguments(func: Any) -> list[Any]:
    """The formal arguments of an ATen overload: ``name`` and ``alias_info`` (``is_write``)."""
    return list(func._schema.arguments)  # noqa: SLF001


def packet_name(func: Any) -> str:
    """``add_`` for ``aten.add_.Tensor``."""
    return str(func.overloadpacket.__name__)


def overload_name(func: Any) -> str:
    """``Tensor`` for ``aten.add_.Tensor``, ``default`` where there is none."""
    return str(func._overloadname)  # noqa: SLF001


def outside_dispatch_modes() -> contextlib.AbstractContextManager[Any]:
    """Runs what it encloses under no dispatch mode."""
    return _disable_current_modes()


@contextlib.contextmanager
def without_mkldnn() -> Iterator[None]:
    """Runs what it encloses without oneDNN, whose fused operations have no float64 form.

    Switching it warns of Intel GPUs, whether or not anybody has one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextlib.contextmanager
def captured_diagnostics() -> Iterator[list[str]]:
    """Keeps what native code writes to standard error; a line each, filled in on leaving.

    MLIR says there what is wrong with a kernel; the exception only says that something is.
    """
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


@contextlib.contextmanager
def fresh_compilation() -> Iterator[io.StringIO]:
    """Compiles into a throw-away cache; yields what the assembler reports.

    triton runs ``ptxas -v`` and prints its report, registers and spills, only on request and to
    standard output; nothing else has these figures without a device.
    """
    report = io.StringIO()
    with (
        tempfile.TemporaryDirectory(prefix="triton-") as folder,
        knobs.cache.scope(),
        knobs.nvidia.scope(),
        contextlib.redirect_stdout(report),
    ):
        knobs.cache.dir = folder
        knobs.nvidia.dump_ptxas_log = True
        yield report
