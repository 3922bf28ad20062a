"""What an output should be, and how it compares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from builder.verify.drift import roundings
from builder.verify.norm import Errors, Yardstick

if TYPE_CHECKING:
    from builder.verify.floors import History
    from builder.verify.reference import Ties

Tensor = torch.Tensor

EAGER_FACTOR = 2.0
VISIBLE = 2.0**-8
"""An error, in the norm of ``norm``, that no rounding to float32 explains."""


@dataclass(frozen=True)
class Expected:
    """What one output should be.

    Attributes:
        eager: the program's own result.
        reference: the same in float64 (integers as eager has them).
        history: operations and types behind it.
        ties: set for indices whose order among ties is open.
        moved: the largest epsilon by which an input of this run was moved, 0 if none was.
        as_written: casts round in the reference.
        is_blurred: each result of the run, narrow ones too, was moved by an ulp: it says what an
            element may be off by, and nothing of how good eager is.
    """

    eager: Tensor
    reference: Tensor
    history: History
    ties: Ties | None = None
    moved: float = 0.0
    as_written: bool = True
    is_blurred: bool = False

    @cached_property
    def yardstick(self) -> Yardstick:
        """The reference, to measure results by."""
        return Yardstick(self.reference)

    @cached_property
    def eager_errors(self) -> Errors:
        """How far eager is from the reference."""
        return self.yardstick.errors(self.eager)

    def share_apart(self, other: Expected) -> float:
        """The share of elements in which another answer is quite another."""
        if other.eager.shape != self.eager.shape or not self.eager.numel():
            return 0.0
        if not is_float(self.eager.dtype):
            return float((other.eager != self.eager).float().mean())
        allowed = max(EAGER_FACTOR * self.eager_errors.worst, VISIBLE)
        away = self.yardstick.errors(other.reference).values
        return float((away > allowed).float().mean())

    def roundings(self, actual: Tensor) -> dict[str, float]:
        """How a result's elements are rounded, see ``drift``."""
        return roundings(actual, self.reference, self.yardstick.scale)

    @cached_property
    def eager_roundings(self) -> dict[str, float]:
        """How eager's elements are rounded, few as they may be, see ``drift``."""
        return roundings(self.eager, self.reference, self.yardstick.scale, distinct=1)


@dataclass(frozen=True)
class Outcome:
    """How one output compares.

    Attributes:
        kind: None if it passes, else why not.
        message: the worst element, for people.
        error: the error of the Triton module, 0 for discrete outputs.
        tolerance: what it was allowed.
        floor: the part of it that the table gives.
        unexplained: mask of elements that no answer allows; None if it passes.
        is_beyond: whether an element is more than twice as far off as eager's worst in its first
            run; None where that says little.
        ratio: of the root mean square of the errors to that of eager's first run; None likewise.
        rough_ratio: the same where elements are too few for ``ratio``; None elsewhere.
        open_ratio: the same where operands may have been rounded, which ``ratio`` does not tell.
    """

    kind: str | None
    message: str
    error: float
    tolerance: float
    floor: float
    unexplained: Tensor | None = None
    is_beyond: bool | None = None
    ratio: float | None = None
    rough_ratio: float | None = None
    open_ratio: float = 0.0


def is_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex
