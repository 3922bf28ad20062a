"""Gradients that are zero but for rounding.

The bias before a norm has a gradient of zero, and so has the bias of an attention's keys: in exact
arithmetic its terms cancel.  Eager gives the roundings of the terms, and so does every right
module, each its own.  Beside such a reference no relative error means anything; what counts is that
the noise is of eager's size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.verify.expected import is_float
from builder.verify.norm import gaps, largest

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from builder.verify.expected import Expected

NOTHING = 1.0 / 16.0
"""A reference below this share of eager's noise is zero as far as eager can tell."""
NOISE_FACTOR = 8.0


def vanishes(expected: Expected, noise: float | None = None) -> bool:
    """Whether a reference is zero beside eager's rounding noise."""
    if not is_float(expected.eager.dtype):
        return False
    noise = _noise(expected) if noise is None else noise
    return expected.yardstick.top <= NOTHING * noise


def is_noise(actual: torch.Tensor, expected: Expected, samples: Iterable[Expected]) -> bool:
    """Whether a gradient is rounding noise about zero, no larger than eager's.

    Args:
        actual: the Triton module's.
        expected: eager and reference.
        samples: other runs of eager, taken one by one while it is not.
    """
    ours = largest(gaps(actual, expected.reference))
    noise = _noise(expected)
    remaining = iter(samples)
    while not (vanishes(expected, noise) and ours <= NOISE_FACTOR * noise):
        sample = next(remaining, None)
        if sample is None:
            return False
        if sample.eager.shape == actual.shape:
            noise = max(noise, _noise(sample))
    return True


def _noise(expected: Expected) -> float:
    return largest(gaps(expected.eager, expected.reference))
