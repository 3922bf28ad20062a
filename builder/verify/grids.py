"""Is a wide result one that went through a narrow type?

Where a program computes in float16 somewhere, float16's error is allowed of all that follows
(``floors``), also of a result of float32.  That hides a result that the module itself has stored in
the narrow type, or rounded to it, as the program does not.  Then all of its elements are numbers of
the narrow type, and those of eager are not.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor

NARROW = (torch.bfloat16, torch.float16)
"""The coarser one first, of which nearly all are numbers of the other, too."""
LEAST = 64
"""Different numbers of eager's that are none of the narrow type; few may be some by chance."""
_FIRST = 64


def narrow_type_of(actual: Tensor, eager: Tensor) -> torch.dtype | None:
    """The narrow type that all elements of a float32 result are numbers of, unlike eager's.

    Args:
        actual: the Triton module's.
        eager: eager's, of the same shape and type.
    """
    if actual.dtype != torch.float32 or actual.numel() < LEAST:
        return None
    for dtype in NARROW:
        if not bool(_is_of(actual.reshape(-1)[:_FIRST], dtype).all()):
            continue
        off = eager[~_is_of(eager, dtype)]
        if 2 * off.numel() <= eager.numel() or not bool(_is_of(actual, dtype).all()):
            continue
        if off.unique().numel() >= LEAST:
            return dtype
    return None


def _is_of(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Where numbers of float32 are a narrow type's; NaN is any type's."""
    return (values.to(dtype).to(torch.float32) == values) | torch.isnan(values)
