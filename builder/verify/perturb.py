"""Inputs, state and results moved by one unit in the last place."""

from __future__ import annotations

import torch

from builder.verify.draws import derived_seed
from builder.verify.drift import NARROW
from builder.verify.floors import WIDE

Tensor = torch.Tensor

_AT_RANDOM = 2


def perturb(tensors: list[Tensor], pattern: int, seed: int) -> float:
    """Moves floating tensors by one ulp, in place; zeros stay.

    Args:
        tensors: inputs and state; other types are left alone.
        pattern: 0 moves every value away from zero, 1 towards it, others at random.
        seed: of the random patterns.

    Returns:
        the largest epsilon of the types moved, 0 if there was nothing to move.
    """
    largest = 0.0
    generator = torch.Generator().manual_seed(derived_seed(seed, "perturb", pattern))
    seen: set[int] = set()
    for tensor in tensors:
        address = tensor.untyped_storage().data_ptr()
        if not tensor.dtype.is_floating_point or not tensor.numel() or address in seen:
            continue
        seen.add(address)
        if any(n > 1 and s == 0 for n, s in zip(tensor.shape, tensor.stride(), strict=True)):
            continue
        with torch.no_grad():
            tensor.copy_(_moved(tensor.detach(), pattern, generator))
        largest = max(largest, torch.finfo(tensor.dtype).eps)
    return largest


class Jitter:
    """Moves what operations give by one ulp, up or down at random; zeros stay.

    So rounds a computation that is as exact as eager and adds up in another order: one sample of
    its error (Parker, "Monte Carlo Arithmetic", UCLA CSD-970002, 1997).

    Args:
        seed: of the moves.
        narrow: moves narrow types, too, which is more than rounding to them does.
    """

    def __init__(self, seed: int, *, narrow: bool = False) -> None:
        self._types = WIDE + NARROW if narrow else WIDE
        self._generator = torch.Generator().manual_seed(derived_seed(seed, "jitter"))

    def move(self, tensor: Tensor, *, keeps_integers: bool = False) -> None:
        """Moves a result in place; of narrow types, rounded coarsely anyhow, only if so asked.

        Args:
            tensor: the result.
            keeps_integers: integers are exact, and stay.
        """
        if tensor.dtype not in self._types or not tensor.numel():
            return
        if any(n > 1 and s == 0 for n, s in zip(tensor.shape, tensor.stride(), strict=True)):
            return
        with torch.no_grad():
            moved = _moved(tensor.detach(), _AT_RANDOM, self._generator)
            if keeps_integers:
                moved = torch.where(tensor == tensor.round(), tensor, moved)
            tensor.copy_(moved)


def _moved(tensor: Tensor, pattern: int, generator: torch.Generator) -> Tensor:
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    steps = torch.full(tensor.shape, 1 - 2 * pattern, dtype=torch.int8)
    if pattern >= _AT_RANDOM:
        steps.random_(0, 2, generator=generator).mul_(2).sub_(1)
    steps.masked_fill_((tensor == 0) | ~torch.isfinite(tensor), 0)
    moved = (tensor.contiguous().view(integer[tensor.element_size()]) + steps).view(tensor.dtype)
    return torch.where(torch.isfinite(moved), moved, tensor)
