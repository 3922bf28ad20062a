"""What values an input may have, as far as the program's own first draw shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from builder.verify.structure import tensors_in

Tensor = torch.Tensor

UNIT_REACHED = 0.9
_GLANCE = 64
_COUNTS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Domain:
    """What draw 0 shows of one input tensor.

    Attributes:
        model: the tensor itself.
        lowest: its smallest value.
        highest: its largest value.
        is_float: finite floats, which may be reshaped.
        has_two: it has two values only.
    """

    model: Tensor
    lowest: float = 0.0
    highest: float = 0.0
    is_float: bool = False
    has_two: bool = False

    @property
    def has_signs(self) -> bool:
        return self.lowest < 0.0 < self.highest

    @property
    def is_unit(self) -> bool:
        """Its values fill [-1, 1] or a half of it, and stay there."""
        return UNIT_REACHED < max(abs(self.lowest), abs(self.highest)) <= 1.0

    @property
    def can_shift(self) -> bool:
        """Its values may all be moved away from zero."""
        return self.has_signs and not self.is_unit

    @property
    def is_free(self) -> bool:
        """It is reshaped element by element."""
        return self.is_float and not self.has_two

    def frees(self, tensor: Tensor) -> bool:
        """Whether a new draw of the input may be reshaped: it is alike, and no constant."""
        alike = tensor.shape == self.model.shape and tensor.dtype == self.model.dtype
        known = self.is_float or self.has_two
        return known and alike and not torch.equal(tensor, self.model)


def domains(first: list[Any]) -> list[Domain]:
    """The domain of each tensor of draw 0, in order."""
    return [_domain(tensor.detach()) for tensor in tensors_in(first)]


def _domain(model: Tensor) -> Domain:
    overlaps = any(n > 1 and s == 0 for n, s in zip(model.shape, model.stride(), strict=True))
    if not model.numel() or overlaps:
        return Domain(model)
    if not model.dtype.is_floating_point:
        return Domain(model, 0.0, 1.0, has_two=_is_mask(model))
    values = computable(model)
    lowest, highest = (float(end) for end in torch.aminmax(values))  # NaN if any element is
    if not math.isfinite(lowest) or not math.isfinite(highest):
        return Domain(model)
    glance = _between(values.flatten()[:_GLANCE], lowest, highest)
    has_two = values.numel() > 2 and not glance and not _between(values, lowest, highest)
    return Domain(model, lowest, highest, is_float=True, has_two=has_two)


def _is_mask(model: Tensor) -> bool:
    """Whether it has zeros and ones only, and both."""
    if model.numel() <= 2:
        return False
    if model.dtype == torch.bool:
        return bool(model.any()) and not bool(model.all())
    return model.dtype in _COUNTS and [int(end) for end in torch.aminmax(model)] == [0, 1]


def _between(values: Tensor, lowest: float, highest: float) -> bool:
    """Whether a value lies strictly between two."""
    return bool(((values > lowest) & (values < highest)).any())


def computable(tensor: Tensor) -> Tensor:
    """A tensor in float32, or float64 if it is that; narrow types can do little."""
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to(wide)
