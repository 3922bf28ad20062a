"""Whether tensors hold the same bits, and only finite numbers: in one pass over memory each."""

from __future__ import annotations

import math

import numpy as np
import torch

Tensor = torch.Tensor


def bits_equal(first: Tensor, second: Tensor) -> bool:
    """Equal shapes, types and bits: NaN equals itself, zeros of different sign do not."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    ours, theirs = _bytes(first), _bytes(second)
    if ours.nbytes % 8 == 0:
        ours, theirs = ours.view(np.int64), theirs.view(np.int64)
    return bool((ours == theirs).all())


def _bytes(tensor: Tensor) -> np.ndarray:
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    if flat.stride(0) != 1:  # also that of a single element, which counts as contiguous
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy()


def all_finite(tensor: Tensor) -> bool:
    """Whether a floating or complex tensor holds no NaN and no infinity."""
    if not tensor.numel():
        return True
    values = tensor.detach()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    if values.element_size() == 1:
        values = values.float()
    lowest, highest = torch.aminmax(values)  # both NaN if any element is
    return math.isfinite(lowest) and math.isfinite(highest)
