"""The plain function that launches a kernel."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.rewrite.cooperative import SPLIT, is_cooperative
from builder.rewrite.descriptors import PREPARE
from builder.rewrite.grids import block_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.capture.kernels import Kernel
    from builder.rewrite.kernel import StandaloneKernel


@dataclass(frozen=True)
class Launch:
    """How a kernel is launched.

    Attributes:
        parameters: of the launcher, handed on to the kernel, which then takes ``constants``.
        constants: launch constants, by their names.
        settings: what the launcher calls by name, in order: block sizes.
        described: parameters that the kernel makes tensor descriptors of.
        grid: an expression an axis.
        takes_grid: the caller computes the grid.
        num_warps: warps a program instance.
        num_stages: software-pipelining stages.
        is_cooperative: all instances must run at once.
    """

    parameters: tuple[str, ...]
    constants: tuple[str, ...]
    settings: Mapping[str, Any]
    described: tuple[str, ...]
    grid: tuple[str, ...]
    takes_grid: bool
    num_warps: int
    num_stages: int
    is_cooperative: bool


def launcher_text(kernel: StandaloneKernel) -> str:
    """The function that launches a kernel."""
    launch = kernel.launch
    tensors = _tensor_names(launch.parameters)
    signature = [*tensors.values(), *(("grid_x", "grid_y", "grid_z") * launch.takes_grid)]
    lines = [f"def {kernel.launcher}({', '.join(signature)}):"]
    lines.append(f'    """Launch ``{kernel.name}``."""')
    grid = ", ".join(launch.grid)
    named = {key for key in launch.settings if re.search(rf"\b{key}\b", grid)}
    lines += [f"    {key} = {value!r}" for key, value in launch.settings.items() if key in named]
    described = [tensors[item] for item in launch.described]
    lines += [f"    {PREPARE}({', '.join(described)})"] if described else []
    lines.append(f"    grid = ({grid}{',' if len(launch.grid) == 1 else ''})")
    values = {key: key if key in named else repr(launch.settings[key]) for key in launch.constants}
    arguments = [*tensors.values(), *(f"{key}={value}" for key, value in values.items())]
    arguments.append(f"num_warps={launch.num_warps}")
    if any(isinstance(node, ast.For) for node in ast.walk(kernel.function)):
        arguments.append(f"num_stages={launch.num_stages}")  # of loops
    if launch.is_cooperative:
        # All blocks must run at once, or those that do would wait for ever.
        arguments.append("launch_cooperative_grid=True")
    lines.append(f"    {kernel.name}[grid]({', '.join(arguments)})")
    return "\n".join(lines)


def _tensor_names(parameters: Sequence[str]) -> dict[str, str]:
    """What a launcher calls the kernel's parameters: ``x`` for ``x_ptr``."""
    stripped = [item.removesuffix("_ptr") for item in parameters]
    return {
        old: new if stripped.count(new) == 1 else old
        for old, new in zip(parameters, stripped, strict=True)
    }


def launch_of(
    kernel: Kernel, parameters: Sequence[str], described: Sequence[str], grid: Sequence[str]
) -> Launch:
    """How a captured kernel is launched.

    Args:
        kernel: as captured.
        parameters: that its launcher hands on.
        described: those of which it makes tensor descriptors.
        grid: an expression an axis.
    """
    constants = dict(sorted(kernel.constants.items()))
    constants.pop(SPLIT, None)
    return Launch(
        parameters=tuple(parameters),
        constants=tuple(constants),
        settings=dict(sorted((block_sizes(kernel) | constants).items())),
        described=tuple(described),
        grid=tuple(grid),
        takes_grid=kernel.grid_type == "FixedGrid",
        num_warps=kernel.num_warps,
        num_stages=kernel.num_stages,
        is_cooperative=is_cooperative(kernel),
    )
