"""How kernels are run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutionOptions:
    """Options of the executor.

    Attributes:
        check_memory: find out-of-bounds accesses (these always), uninitialised reads and races.
        permute_seed: run the program instances in a random order of this seed; None keeps theirs.
        instruction_budget: operations a launch may take, larger blocks counting for one more every
            4096 elements.
        chunk_elements: program instances run together until their largest block has this many
            elements.
        left_out: names of kernels whose launches are noted and do nothing, to see what they matter.
    """

    check_memory: bool = True
    permute_seed: int | None = None
    instruction_budget: int = 1 << 22
    chunk_elements: int = 1 << 18
    left_out: frozenset[str] = frozenset()
