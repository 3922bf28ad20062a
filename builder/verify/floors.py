"""The table of floors: the error a right Triton module may always have.

A float output passes if its error is at most twice eager's own error, or at most the floor.  The
floor is there because eager may be exact by luck (one output element, one rounding that fell the
right way) while a right kernel that adds in another order is not.

A floor is a number of machine epsilons of the coarsest type that any operation behind the output
rounds to (``History.rounding``): inputs are exact, so a bfloat16 input that is computed with in
float32 is held to float32.  Factors, in epsilons:

================  ========================  ===================================================
operation class   factor for wide / narrow  reason
================  ========================  ===================================================
exact             0 / 0                     moves, choices and casts to finer types: no rounding
pointwise         4 / 1                     functions of 1 to 4 ulp; a narrow result is rounded
                                            once, from float32
reduction         8 / 1                     another order of addition: a tree of as many levels
dot, ieee         16 / 1                    as a reduction, and one more product's rounding
dot, tf32         32 of tf32, or as ieee    operands cut to 11 bits, products added in float32
================  ========================  ===================================================

They are small on purpose: a rounding to bfloat16 of each of a million elements averages out to a
few epsilons of float32 in their mean.  Where rounding really is amplified, or a narrow result is
rounded twice, eager shows it (``floats``).  Measured on right modules of 160 generated programs,
six input sets each: beyond twice eager's error they need at most 1.8 epsilons, in a reduction, and
0.3 in the median; with a quarter of the wide factors one of 240 was refused.

The median element of many is held to less: half an epsilon where the result is narrow (one
rounding has an error of at most a half, of a quarter in the median), a quarter of the floor where
it is wide: a scale that is rounded once may shift every element by an ulp.  Behind a type of 8 bits
it is held to sixteen times the floor of what else is computed in, if that is wide: of a million
numbers a rounding of float32 takes a few over the edge to another value of 8 bits, but not half.

Wide types are float32 and float64, narrow ones float16, bfloat16 and the 8-bit types.  tf32 has an
epsilon of 2**-10 (NVIDIA, "TF32 Tensor Cores").  An operand that is cut to 11 bits is off by 0.29
of it (the standard deviation of a uniform error), two by 0.41.  Of an element near zero that counts
eightfold in the norm of ``norm``, 3.3, and the largest of a million errors is five deviations out:
16.  The factor is twice that: right products, linear layers and convolutions in tf32, on four input
sets each, need between 16 and 32.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import torch

WIDE = (torch.float32, torch.float64)
TF32_EPSILON = 2.0**-10
DOT_PRECISIONS = ("ieee", "tf32")


class Operation(enum.IntEnum):
    """How an operation adds up errors; the coarser class wins along a path."""

    EXACT = 0
    POINTWISE = 1
    REDUCTION = 2
    DOT = 3


FACTORS: dict[Operation, tuple[float, float]] = {
    Operation.EXACT: (0.0, 0.0),
    Operation.POINTWISE: (4.0, 1.0),
    Operation.REDUCTION: (8.0, 1.0),
    Operation.DOT: (16.0, 1.0),
}
TF32_FACTOR = 32.0
EIGHT_BITS = 2.0**-3
"""The least epsilon of a type of 8 bits."""
OTHER_WAY = 16.0


@dataclass(frozen=True)
class History:
    """What lies behind a value of the program.

    Attributes:
        rounding: the type with the largest epsilon that an operation behind it rounds to, None if
            it only moved.
        operation: the coarsest operation class.
        decided: a comparison, an index or a rounding to integers of numbers that eager had rounded
            lies behind it.
        is_rounded: an operation behind it gave what its type cannot hold.
        beside: as ``rounding``, types of 8 bits left out.
    """

    rounding: torch.dtype | None = None
    operation: Operation = Operation.EXACT
    decided: bool = False
    is_rounded: bool = False
    beside: torch.dtype | None = None

    @property
    def rounds_operands(self) -> bool:
        """Whether operands of a product may have been rounded to a narrow type."""
        return self.operation is Operation.DOT and not is_wide(self.rounding)

    def joined(self, other: History) -> History:
        """The history of a value that both lie behind."""
        return History(
            coarser(self.rounding, other.rounding),
            max(self.operation, other.operation),
            self.decided or other.decided,
            self.is_rounded or other.is_rounded,
            coarser(self.beside, other.beside),
        )


def epsilon(dtype: torch.dtype | None) -> float:
    """Machine epsilon; a complex type has its parts'; 0 for integers and None."""
    if dtype is None or not (dtype.is_floating_point or dtype.is_complex):
        return 0.0
    return float(torch.finfo(dtype).eps)


def is_wide(dtype: torch.dtype | None) -> bool:
    """Whether a result is rounded to float32 or finer."""
    return dtype is None or dtype.to_real() in WIDE


def coarser(first: torch.dtype | None, second: torch.dtype | None) -> torch.dtype | None:
    return first if epsilon(first) >= epsilon(second) else second


def median_floor(history: History, lowest: float) -> float:
    """The floor of the median element's error: half an epsilon for narrow types, else a quarter.

    Where all else is computed in a wide type, a rounding to 8 bits rarely falls the other way.
    """
    if is_wide(history.rounding):
        return lowest / 4
    if epsilon(history.rounding) >= EIGHT_BITS and history.beside and is_wide(history.beside):
        wide, _ = FACTORS[history.operation]
        return OTHER_WAY * wide * epsilon(history.beside)
    return min(lowest, epsilon(history.rounding) / 2)


def floor(history: History, dot_precision: str = "ieee") -> float:
    """The floor of an output's error, in the norm of ``compare.error``."""
    if history.rounding is None:
        return 0.0
    wide, narrow = FACTORS[history.operation]
    bound = (wide if is_wide(history.rounding) else narrow) * epsilon(history.rounding)
    if history.operation is Operation.DOT and dot_precision == "tf32":
        bound = max(bound, TF32_FACTOR * TF32_EPSILON)
    return bound
