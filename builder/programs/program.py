"""The unit that flows through the builder: one PyTorch program file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """One program file and where it came from.

    Attributes:
        python_code: the program file, by the program contract.
        entry_point: name of its ``nn.Module`` class.
        source: ``family:<name>`` or ``file:<name>``.
        seed: index in the root seed's stream; ``None`` for a user's file.
        license: SPDX name.
        level: 1 one operator, 2 a fusion, 3 a block, 4 a small network.
        dtypes: names of the tensor types of its inputs and parameters, sorted.
        parent: of a mutant, the file that it was, ``name@`` and 16 digits of its SHA-256.
        edits: of a mutant, what was done, in order.
    """

    python_code: str
    entry_point: str
    source: str
    seed: int | None
    license: str = "Apache-2.0"
    level: int = 2
    dtypes: tuple[str, ...] = ()
    parent: str | None = None
    edits: tuple[str, ...] = ()
