"""What a verification costs, in core-seconds, apart from what it finds.

A verdict is a function of texts and seed; time is not, so it is never in a verdict nor in the data.
Who wants to know hands a ``Costs`` to ``verify``, ``prepare`` or ``judge``.
"""

from __future__ import annotations

import contextlib
import resource
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Costs:
    """Core-seconds of this process and of the children it waited for, by what they went to.

    Attributes:
        reference: the program in eager and in float64, other answers included.
        executor: the Triton module on the CPU executor.
        comparison: of values, bits, layouts and aliasing.
        compilation: the compiles for targets.
        rest: loading, static checks, input sets.
    """

    reference: float = 0.0
    executor: float = 0.0
    comparison: float = 0.0
    compilation: float = 0.0
    rest: float = 0.0
    _section: str | None = field(default=None, repr=False)
    _mark: float = field(default=0.0, repr=False)

    @property
    def verification(self) -> float:
        """Executor and comparison; what else there is, is counted apart."""
        return self.executor + self.comparison

    @property
    def total(self) -> float:
        return self.verification + self.rest + self.reference + self.compilation

    @contextlib.contextmanager
    def of(self, section: str) -> Iterator[None]:
        """Counts what it encloses as ``section``; an inner section is not counted twice."""
        before = self._section
        self._switch(section)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, section: str | None) -> None:
        now = core_seconds()
        if self._section is not None:
            spent = getattr(self, self._section) + now - self._mark
            setattr(self, self._section, spent)
        self._section, self._mark = section, now


def core_seconds() -> float:
    """Processor time of this process and of its finished children (the assembler is one)."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
