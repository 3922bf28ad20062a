"""The target table: described GPUs.

A target is named ``backend:architecture`` (``cuda:90``, ``hip:gfx942``).  Figures come from the
vendors' published specifications: NVIDIA's CUDA programming guide, "Technical specifications per
compute capability" (threads, registers and shared memory per block), the data sheets of the named
boards (multiprocessors, L2, memory), and AMD's CDNA 3 and CDNA 4 architecture guides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from triton.backends.compiler import GPUTarget


@dataclass(frozen=True)
class Target:
    """A described GPU.

    Attributes:
        name: ``backend:architecture``.
        board: the board the figures belong to.
        multiprocessors: streaming multiprocessors or compute units.
        shared_memory: bytes of shared memory (LDS) one block may use, opted in.
        registers: 32-bit registers of one multiprocessor, the most one block can hold.
        threads_per_multiprocessor: resident threads.
        l2_cache: bytes.
        memory: bytes.
    """

    name: str
    board: str
    multiprocessors: int
    shared_memory: int
    registers: int
    threads_per_multiprocessor: int
    l2_cache: int
    memory: int
    max_threads_per_block: int = 1024
    tensor_memory_columns: int = 0

    @property
    def backend(self) -> str:
        return self.name.partition(":")[0]

    @property
    def arch(self) -> str:
        return self.name.partition(":")[2]

    @property
    def warp_size(self) -> int:
        return 64 if self.backend == "hip" else 32

    @property
    def capability(self) -> tuple[int, int]:
        """CUDA compute capability; for AMD the pair that PyTorch derives from ``gfx9xx``."""
        if self.backend == "cuda":
            return divmod(int(self.arch), 10)
        return 9, int(self.arch.removeprefix("gfx9")[:1])

    @property
    def gpu_target(self) -> GPUTarget:
        from triton.backends.compiler import GPUTarget  # noqa: PLC0415 - the table needs no triton

        arch = int(self.arch) if self.backend == "cuda" else self.arch
        return GPUTarget(self.backend, arch, self.warp_size)


_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("cuda:80", "A100 SXM 80GB", 108, 163 * _KB, 65536, 2048, 40 * _MB, 80 * _GB),
        Target("cuda:86", "A10", 72, 99 * _KB, 65536, 1536, 6 * _MB, 24 * _GB),
        Target("cuda:89", "L40S", 142, 99 * _KB, 65536, 1536, 96 * _MB, 48 * _GB),
        Target("cuda:90", "H100 SXM", 132, 227 * _KB, 65536, 2048, 50 * _MB, 80 * _GB),
        Target(
            "cuda:100", "B200", 148, 227 * _KB, 65536, 2048, 126 * _MB, 180 * _GB,
            tensor_memory_columns=512,
        ),
        Target("cuda:120", "RTX 5090", 170, 99 * _KB, 65536, 1536, 96 * _MB, 32 * _GB),
        Target("hip:gfx942", "MI300X", 304, 64 * _KB, 131072, 2048, 4 * _MB, 192 * _GB),
        Target("hip:gfx950", "MI355X", 256, 160 * _KB, 131072, 2048, 4 * _MB, 288 * _GB),
    )
}  # fmt: skip


def resolve_targets(names: Iterable[str]) -> tuple[Target, ...]:
    """The targets of those names, in the order given, duplicates dropped.

    Raises:
        UsageError: a name is not in the table.
    """
    unknown = sorted(set(names) - set(TARGETS))
    if unknown:
        raise UsageError(
            f"unknown target {', '.join(unknown)}; choose from {', '.join(sorted(TARGETS))}"
        )
    return tuple(TARGETS[name] for name in dict.fromkeys(names))
