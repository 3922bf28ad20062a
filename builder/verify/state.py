"""Other values for the parameters and buffers of a module, as ``draws`` has for its inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from builder.verify.bits import all_finite
from builder.verify.distributions import FAR, LARGE, TINY, Strength
from builder.verify.domain import computable
from builder.verify.draws import MUTED, SMALL
from builder.verify.rows import with_number

if TYPE_CHECKING:
    from collections.abc import Iterator

Tensor = torch.Tensor

VANISHED = TINY**2
SHRINKING = ("tiny", "vanishing")
MOST_NUMBERS = 8
LEAST = 4
"""Numbers of a vector that one of them may stand out of."""
_TABLES = (nn.Embedding, nn.EmbeddingBag)
"""What is looked up is data.  It may be nothing: then a norm of it is what is added to it."""


def reshape_state(
    module: nn.Module, distribution: str, seed: int, strength: Strength = Strength.FULL
) -> None:
    """Gives parameters and persistent floating buffers other values, in place.

    Values move by up to a quarter of their size; a zero becomes a small positive number, so that
    what must not be negative (a running variance, a count) is not, or stays (see ``draws``).

    Args:
        module: whose state it is.
        distribution: ``large`` takes signs away, multiplies a table's numbers, and puts one number
            of what is added far off; ``mixed`` gives vectors of one sign the other; ``sparse``
            rounds to grids; ``muted`` makes matrices and what is added tiny; ``tiny`` shrinks what
            is added and norms' scales and variances, and empties three of four rows of a table;
            ``vanishing`` shrinks what is added to less, and variances, not scales.
        seed: of the values.
        strength: ``MILD`` keeps signs; only ``FULL`` adds signs, shrinks, and evens out matrices.
    """
    from_zero = 0.0 if distribution in SMALL else 0.2
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        buffers = {name for name, _ in module.named_buffers()}
        tables = {id(inner.weight) for inner in module.modules() if isinstance(inner, _TABLES)}
        for name, tensor in _distinct_state(module):
            values = computable(tensor)
            noise = torch.rand(values.shape, generator=generator)
            moved = torch.where(values == 0, from_zero * noise, values * (0.75 + 0.5 * noise))
            if (
                distribution == "large"
                and strength is not Strength.MILD
                and bool((values > 0).any())
            ):
                moved = moved.abs() * (LARGE[0] if id(tensor) in tables else 1.0)
            if strength is Strength.FULL and name not in buffers:
                moved = _with_others(moved, values, distribution)
            if distribution == "sparse":
                moved = _on_a_grid(moved)
                moved = _alternating(moved) if strength is Strength.FULL else moved
            if distribution in SHRINKING and strength is Strength.FULL:
                moved = moved * _shrunk(moved, distribution, is_buffer=name in buffers)
                if distribution == "tiny" and id(tensor) in tables:
                    moved[torch.arange(len(moved)) % 4 != 0] = 0.0
            if strength is Strength.FULL and id(tensor) not in tables:
                moved = moved * (TINY if distribution == MUTED and _is_muted(values) else 1.0)
            tensor.copy_(moved)


def _is_muted(values: Tensor) -> bool:
    """Whether it is a matrix, or has numbers of both signs."""
    return values.dim() > 1 or bool((values < 0).any())


def has_matrix(module: nn.Module) -> bool:
    """Whether a parameter or buffer has rows and columns, and is floating-point."""
    return any(tensor.dim() > 1 for _, tensor in _distinct_state(module))


def _shrunk(values: Tensor, distribution: str, *, is_buffer: bool) -> float:
    """The factor for a vector.

    Biases would drown small inputs, variances a norm's epsilon, scales that of a norm after it.
    """
    if values.dim() != 1 or values.numel() < 2:
        return 1.0
    if not bool((values >= 0).all()):
        return TINY if distribution == "tiny" else VANISHED
    scale = TINY if distribution == "tiny" else 1.0
    return VANISHED if is_buffer else scale


def _with_others(moved: Tensor, values: Tensor, distribution: str) -> Tensor:
    """A parameter with some numbers unlike the others."""
    if distribution == "large":
        return _with_far(moved, values)
    return _of_both_signs(moved) if distribution == "mixed" else moved


def _with_far(moved: Tensor, values: Tensor) -> Tensor:
    """A vector that has no sign, as a bias, with one number far above the others."""
    has_sign = bool((values > 0).all()) or bool((values < 0).all())
    if values.dim() != 1 or values.numel() < LEAST or has_sign:
        return moved
    return with_number(moved, torch.tensor([values.numel() // 2]), FAR[1])


def _of_both_signs(values: Tensor) -> Tensor:
    """A vector of one sign (a norm's scales as they begin) with every fourth number negated."""
    if values.dim() != 1 or values.numel() < LEAST or not bool((values > 0).all()):
        return values
    return torch.where(torch.arange(len(values)) % 4 == 3, -values, values)


def _on_a_grid(values: Tensor) -> Tensor:
    """Multiples of a power of two of about half the largest value; no zero but what is zero."""
    top = float(values.abs().amax()) if values.numel() else 0.0
    if top == 0.0:
        return values
    step = 2.0 ** (math.floor(math.log2(top)) - 1)
    rounded = torch.round(values / step) * step
    return torch.where(rounded == 0, values.sign() * step, rounded)


def _alternating(values: Tensor) -> Tensor:
    """A matrix in which every other row and column is one number; so that rows may cancel.

    The rows' numbers differ, lest what compares products with them finds them all equal.
    """
    if values.dim() < 2 or not values.numel():
        return values
    values = values.clone()
    numbers = _largest(values, MOST_NUMBERS)
    numbers = numbers[-(1 << (len(numbers).bit_length() - 1)) :]  # alike half a matrix apart
    values[:, 1::2] = values.flatten()[0].item()
    turns = torch.arange(len(values[1::2])) % len(numbers)
    values[1::2] = numbers[turns].reshape(-1, *[1] * (values.dim() - 1))
    return values


def _largest(values: Tensor, most: int) -> Tensor:
    """So many of the largest numbers, each once, in ascending order; a sort takes far longer."""
    found: list[float] = []
    while len(found) < most:
        below = values if not found else values.masked_fill(values >= found[0], -math.inf)
        top = float(below.amax())
        if top == -math.inf:
            break
        found.insert(0, top)
    return torch.tensor(found, dtype=values.dtype)


def _distinct_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
            continue
        address = tensor.untyped_storage().data_ptr()
        if address in seen or not all_finite(tensor):
            continue
        seen.add(address)
        yield name, tensor
