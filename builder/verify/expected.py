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
    """

    eager: Tensor
    reference: Tensor
    history: History
    ties: Ties | None = None
    moved: float = 0.0
    as_written: bool = True

    @cached_property
    def yardstick(self) -> Yardstick:
        """The reference, to measure results by."""
        return Yardstick(self.reference)

    @cached_property
    def eager_errors(self) -> Errors:
        """How far eager is from the reference."""
        return self.yardstick.errors(self.eager)

    def roundings(self, actual: Tensor) -> dict[str, float]:
        """How a result's elements are rounded, see ``drift``."""
        return roundings(actual, self.reference, self.yardstick.scale)

    @cached_property
    def eager_roundings(self) -> dict[str, float]:
        """How eager's elements are rounded, see ``drift``."""
        return self.roundings(self.eager)


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
    """

    kind: str | None
    message: str
    error: float
    tolerance: float
    floor: float
    unexplained: Tensor | None = None


def is_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex
