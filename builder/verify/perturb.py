"""Inputs and state moved by one unit in the last place."""

from __future__ import annotations

import torch

from builder.verify.draws import derived_seed

Tensor = torch.Tensor


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


def _moved(tensor: Tensor, pattern: int, generator: torch.Generator) -> Tensor:
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = tensor.contiguous().view(integer[tensor.element_size()])
    steps = torch.randint(0, 2, bits.shape, generator=generator) * 2 - 1
    steps = torch.full_like(steps, 1 - 2 * pattern) if pattern < 2 else steps
    moved = (bits + steps.to(bits.dtype)).view(tensor.dtype)
    usable = (tensor != 0) & torch.isfinite(tensor) & torch.isfinite(moved)
    return torch.where(usable, moved, tensor)
