"""The kernels of an Inductor module, with the launch configuration its heuristics choose.

``triton_heuristics`` and the layout of a generated module are private to Inductor; written against
torch 2.11 to 2.13, held by ``tests/capture/test_kernels.py``.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

from torch._inductor.runtime import triton_helpers

from builder.capture.device import described_gpu
from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.capture.targets import Target

_KINDS = {
    "poi": "pointwise",
    "red": "reduction",
    "per": "persistent_reduction",
    "spl": "scan",
    "tem": "template",
    "for": "foreach",
    "mix": "mixed_reduction",
}
_SCANS = ("tl.associative_scan", "tl.cumsum", "tl.cumprod")
_SORTS = ("sort_with_index", "tl.sort")


@dataclass(frozen=True)
class Kernel:
    """One kernel of an Inductor module.

    Attributes:
        name: Inductor's name.
        kind: pointwise, reduction, persistent_reduction, cooperative_reduction, mixed_reduction,
            scan, sort, template, foreach.
        source: text of the decorated function's module, as Inductor wrote it.
        constants: launch constants of the chosen configuration (``XBLOCK`` and the like).
        num_warps: warps a program instance.
        num_stages: software-pipelining stages.
        grid_type: Inductor's name of the rule that turns sizes into a grid.
        combo: what that rule knows of a kernel made of several: their sizes and blocks.
    """

    name: str
    kind: str
    source: str
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int
    grid_type: str
    combo: Mapping[str, Any] = field(default_factory=dict)


def kernel_kind(name: str, source: str) -> str:
    """The kernel kind: Inductor's name says it, except for scans and sorts inside reductions."""
    if any(call in source for call in _SORTS):
        return "sort"
    if any(call in source for call in _SCANS):
        return "scan"
    if "@triton_heuristics.cooperative_reduction(" in source:
        return "cooperative_reduction"
    match = re.match(r"triton_([a-z]+)_", name)
    kind = _KINDS.get(match.group(1)) if match else None
    if kind is None:
        raise CaptureRejected("unknown_kernel_kind", f"Inductor named a kernel {name}")
    return kind


def kernel_sources(module: str) -> dict[str, str]:
    """Name and text of each ``async_compile.triton`` call of an Inductor module."""
    sources = {}
    for statement in ast.parse(module).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
            continue
        call = statement.value
        if ast.unparse(call.func) == "async_compile.triton":
            name, text = (ast.literal_eval(argument) for argument in call.args[:2])
            sources[name] = text
    return sources


def _autotuner(name: str, source: str, target: Target) -> Any:
    """Executes a kernel's text, which gives Inductor's autotuner object for it."""
    module = types.ModuleType(f"inductor_kernel_{name}")
    module.__file__ = f"{name}.py"
    with (
        described_gpu(target),
        mock.patch.object(triton_helpers, "set_driver_to_gpu"),
        mock.patch.dict(sys.modules, {module.__name__: module}),
        mock.patch("inspect.getsourcelines", return_value=(source.splitlines(keepends=True), 1)),
    ):
        exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module.__dict__[name]


def _choose(configs: list[Any], name: str, seed: int) -> Any:
    """Inductor would time its candidates; the seed picks one instead."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return configs[digest[0] % len(configs)]


def read_kernel(name: str, source: str, target: Target, seed: int) -> Kernel:
    """One kernel with its chosen launch configuration."""
    tuner = _autotuner(name, source, target)
    config = _choose(list(tuner.configs), name, seed)
    meta = tuner.inductor_meta
    return Kernel(
        name=name,
        kind="foreach" if "combo_grid_meta" in meta else kernel_kind(name, source),
        source=source,
        constants=dict(config.kwargs),
        num_warps=config.num_warps,
        num_stages=config.num_stages,
        grid_type=meta.get("grid_type", ""),
        combo=meta.get("combo_grid_meta", {}),
    )
