"""The launch grid of a kernel as expressions of sizes and block sizes.

The rules are those of ``GridExpr`` and the classes derived from it in torch's
``_inductor/runtime/triton_heuristics.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from builder.errors import RewriteRejected
from builder.rewrite.cooperative import SPLIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.capture.kernels import Kernel

_PLAIN = {
    "Grid1D": (("x", "XBLOCK"),),
    "Grid2D": (("x", "XBLOCK"), ("y", "YBLOCK")),
    "Grid2DWithYZOverflow": (("x", "XBLOCK"), ("y", "YBLOCK")),
    "Grid3D": (("x", "XBLOCK"), ("y", "YBLOCK"), ("z", "ZBLOCK")),
    "BatchMatmulGrid3D": (("z", "ZBLOCK"), ("y", "YBLOCK"), ("x", "XBLOCK")),
    "MixOrderReductionGrid": (("x", "RSPLIT_SIZE"),),
    "SplitScanGrid": (("r0_", "R0_BLOCK"), ("x", "")),
}
_MAX_GRID_Y = 65535  # CUDA programming guide, "Technical specifications per compute capability"


def grid_of(kernel: Kernel, sizes: Mapping[str, int]) -> list[str]:
    """One expression an axis of the grid.

    Args:
        kernel: as captured.
        sizes: the kernel's parameters that are known numbers (``xnumel``); others are named.

    Raises:
        RewriteRejected: ``unknown_grid``.
    """
    if kernel.grid_type == "FixedGrid":
        return ["grid_x", "grid_y", "grid_z"]
    if kernel.grid_type == "CooperativeReductionGrid":
        return [str(kernel.constants[SPLIT]), _blocks(kernel, sizes, "x", "XBLOCK")]
    if kernel.grid_type in _COMBO:
        return _combo_grid(kernel)
    axes = _PLAIN.get(kernel.grid_type)
    if axes is None:
        raise RewriteRejected(
            "unknown_grid", f"kernel {kernel.name}: no launcher for {kernel.grid_type}"
        )
    grid = [_blocks(kernel, sizes, axis, block) for axis, block in axes]
    if kernel.grid_type != "Grid2DWithYZOverflow":
        return grid
    if "ynumel" in sizes:
        return _split_y(grid, math.ceil(sizes["ynumel"] / kernel.constants["YBLOCK"]))
    splits = f"max(1, triton.cdiv({grid[1]}, {_MAX_GRID_Y}))"
    return [grid[0], f"triton.cdiv({grid[1]}, {splits})", splits]


def block_sizes(kernel: Kernel) -> dict[str, int]:
    """Block sizes that the grid needs and the kernel holds as constants of its own."""
    return dict(kernel.combo.get("default_config") or {})


def _blocks(kernel: Kernel, sizes: Mapping[str, int], axis: str, block: str) -> str:
    """How many blocks there are along an axis."""
    return _cdiv(sizes.get(f"{axis}numel", f"{axis}numel"), block, kernel.constants.get(block))


def _cdiv(numel: int | str, block: str, size: int | None) -> str:
    return str(numel) if size in (None, 1) else f"triton.cdiv({numel}, {block})"


def _split_y(grid: list[str], blocks: int) -> list[str]:
    """Moves blocks along y that a launch cannot hold to z; the kernel counts over both."""
    splits = math.ceil(blocks / _MAX_GRID_Y)
    if splits == 1:
        return grid
    return [grid[0], f"triton.cdiv({grid[1]}, {splits})", str(splits)]


def _combo_grid(kernel: Kernel) -> list[str]:
    """The grid of several kernels in one; each instance finds out which it belongs to."""
    parts = [_Part(kernel, number) for number in range(kernel.combo["num_kernels"])]
    grid = [_COMBO[kernel.grid_type](parts)]
    if kernel.combo["min_blocks"]:
        grid[0] = f"max({grid[0]}, {kernel.combo['min_blocks']})"
    if kernel.grid_type == _FLATTENED or not any(part.has_y for part in parts):
        return grid
    grid.append(_largest([part.y_blocks() for part in parts if part.has_y]))
    most = max(part.most_y_blocks() for part in parts if part.has_y)
    return _split_y(grid, most)


class _Part:
    """One of several kernels that share a launch."""

    def __init__(self, kernel: Kernel, number: int) -> None:
        self._known: dict[str, Any] = block_sizes(kernel) | dict(kernel.constants)
        self._combo = kernel.combo
        self._number = number
        # Blocks of its own where the kernels were given some, or those of all.
        self._suffix = f"_{number}" if kernel.grid_type == _FLATTENED else ""
        self.has_y = f"ynumel_{number}" in kernel.combo

    def x_blocks(self) -> str:
        block = f"XBLOCK{self._suffix}"
        has_none = self._combo[f"no_x_dim_{self._number}"]
        return _cdiv(self._size("x"), block, None if has_none else self._known.get(block))

    def y_blocks(self) -> str:
        block = f"YBLOCK{self._suffix}"
        return _cdiv(self._size("y"), block, self._known.get(block))

    def most_y_blocks(self) -> int:
        size = self._size("y")
        return 1 if isinstance(size, str) else math.ceil(size / self._known.get("YBLOCK", 1))

    def all_blocks(self) -> str:
        return f"{self.x_blocks()} * {self.y_blocks()}" if self.has_y else self.x_blocks()

    def _size(self, axis: str) -> int | str:
        name = f"{axis}numel_{self._number}"
        size: int | None = self._combo[name]
        return size if size is not None else name


def _largest(sizes: list[str]) -> str:
    different = list(dict.fromkeys(sizes))
    return different[0] if len(different) == 1 else f"max({', '.join(different)})"


def _in_turn(parts: list[_Part]) -> str:
    return f"{_largest([part.x_blocks() for part in parts])} * {len(parts)}"


def _one_after_another(parts: list[_Part]) -> str:
    return " + ".join(part.x_blocks() for part in parts)


def _flattened(parts: list[_Part]) -> str:
    return " + ".join(part.all_blocks() for part in parts)


_FLATTENED = "SequentialFlattenComboKernelGrid"
_COMBO: dict[str, Callable[[list[_Part]], str]] = {
    "RoundRobinComboKernelGrid": _in_turn,
    "SequentialComboKernelGrid": _one_after_another,
    _FLATTENED: _flattened,
}
