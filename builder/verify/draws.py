"""Input sets beyond the one that ``get_inputs`` gives.

Draw 0 is ``get_inputs`` as it stands and the module as constructed.  Later draws take a new seed,
give the parameters and floating buffers other values (as constructed, all norms' scales are one and
all biases zero, which hides arguments bound to the wrong parameter), and reshape the distribution
of the floating inputs:

* ``tied``: rounded to multiples of a step, many zeros, most of one sign: ties, masks, divisions by
  nearly zero, sums that do not cancel;
* ``mixed``: slices of one dimension of ordinary, large and tiny size side by side;
* ``tiny``: a thousandth: constants that are added, small against ordinary values;
* ``large``: many times the values: saturation, overflow of an unstable exponential;
* ``sparse``: one element in eight as drawn, the others zero (or the smallest value that the input
  shows, where it shows no zero): empty rows, sums of one element, what is skipped for a zero.

Where eager does not survive such a draw, a milder one follows (``LARGE`` and ``SPARSE`` have two
sizes).

Where small values matter, a parameter or buffer that is zero stays zero: a bias would drown them.

Inputs stay in the program's value domain as far as it shows: signs that draw 0 does not have do not
appear, values in [-1, 1] stay there, a tensor that a new seed does not change is a constant and is
left alone, and so are integers, masks, tensors of at most two values, and tensors that overlap
themselves.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.verify.bits import all_finite
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Tensor = torch.Tensor

DISTRIBUTIONS = ("plain", "tied", "mixed", "tiny", "large", "sparse")
SMALL = ("mixed", "tiny")
FLIPPED_SHARE = 0.7
LARGE = (32.0, 4.0)
SPARSE = (0.125, 0.5)
TINY = 2.0**-10
STEP = 0.37  # no binary fraction: eager must round where another order of operations does
ZERO_SHARE = 0.3
UNIT_REACHED = 0.9
_GLANCE = 64


def derived_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed from a hash, so that no draw's generator continues another's."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def distribution_of(draw: int) -> str:
    """The distribution of a draw; draw 0 is plain."""
    return DISTRIBUTIONS[draw % len(DISTRIBUTIONS)] if draw else "plain"


@dataclass(frozen=True)
class Domain:
    """What draw 0 shows of one input tensor.

    Attributes:
        model: the tensor itself.
        lowest: its smallest value.
        highest: its largest value.
        is_free: whether it may be reshaped: finite floats of more than two values.
    """

    model: Tensor
    lowest: float = 0.0
    highest: float = 0.0
    is_free: bool = False


def domains(first: list[Any]) -> list[Domain]:
    """The domain of each tensor of draw 0, in order."""
    return [_domain(tensor.detach()) for tensor in tensors_in(first)]


def _domain(model: Tensor) -> Domain:
    overlaps = any(n > 1 and s == 0 for n, s in zip(model.shape, model.stride(), strict=True))
    if not model.dtype.is_floating_point or not model.numel() or overlaps:
        return Domain(model)
    values = _computable(model)
    lowest, highest = (float(end) for end in torch.aminmax(values))  # NaN if any element is
    if not math.isfinite(lowest) or not math.isfinite(highest):
        return Domain(model)
    is_free = values.numel() <= 2 or _between(values.flatten()[:_GLANCE], lowest, highest)
    return Domain(model, lowest, highest, is_free or _between(values, lowest, highest))


def _between(values: Tensor, lowest: float, highest: float) -> bool:
    """Whether a value lies strictly between two."""
    return bool(((values > lowest) & (values < highest)).any())


def _computable(tensor: Tensor) -> Tensor:
    """In float32, or float64 if it is that; narrow types can do little."""
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to(wide)


def reshape_inputs(
    inputs: list[Any],
    first: Sequence[Domain],
    distribution: str,
    seed: int,
    *,
    mild: bool = False,
) -> None:
    """Gives the floating tensors of ``inputs`` another distribution, in place.

    Args:
        inputs: a fresh draw of ``get_inputs``.
        first: ``domains`` of draw 0, which show what is in reach and what is constant.
        distribution: one of ``DISTRIBUTIONS``.
        seed: of the generator that places zeros.
        mild: large values are less large, sparse ones less sparse.
    """
    if distribution == "plain":
        return
    generator = torch.Generator().manual_seed(seed)
    for tensor, domain in zip(tensors_in(inputs), first, strict=True):
        same_kind = tensor.shape == domain.model.shape and tensor.dtype == domain.model.dtype
        if domain.is_free and same_kind and not torch.equal(tensor, domain.model):
            _reshape(tensor, domain, distribution, generator, mild=mild)


def _reshape(
    tensor: Tensor, domain: Domain, distribution: str, generator: torch.Generator, *, mild: bool
) -> None:
    values = _computable(tensor)
    if distribution == "tied":
        values = _tied(values, domain, generator)
    elif distribution == "mixed":
        values = values * _turns(values, (1.0, LARGE[mild], TINY))
    elif distribution == "sparse":
        chance = torch.rand(values.shape, generator=generator)
        empty = min(max(domain.lowest, 0.0), domain.highest)
        values = values.masked_fill(chance >= SPARSE[mild], empty)
    else:
        values = values * (LARGE[mild] if distribution == "large" else TINY)
    if UNIT_REACHED < max(abs(domain.lowest), abs(domain.highest)) <= 1.0:
        values = values.clamp(-1.0, 1.0)
    with torch.no_grad():
        tensor.copy_(values)


def _turns(values: Tensor, sizes: Sequence[float]) -> Tensor:
    """Sizes that take turns along the first dimension with room for all of them."""
    roomy = [dim for dim, extent in enumerate(values.shape) if extent >= len(sizes)]
    if not roomy:
        return torch.tensor(sizes[0], dtype=values.dtype)
    shape = [1] * values.dim()
    shape[roomy[0]] = -1
    turns = torch.arange(values.shape[roomy[0]]) % len(sizes)
    return torch.tensor(sizes, dtype=values.dtype)[turns].reshape(shape)


def _tied(values: Tensor, domain: Domain, generator: torch.Generator) -> Tensor:
    """Multiples of a step; zeros and signs as draw 0 has them."""
    lowest, highest = domain.lowest, domain.highest
    step = STEP * min(1.0, max(abs(lowest), abs(highest)))
    chance = torch.rand(values.shape, generator=generator)
    values = torch.round(values / step) * step
    if lowest <= 0 <= highest:
        values = values.masked_fill(chance < ZERO_SHARE, 0.0)
    if lowest < 0 < highest:
        return torch.where(chance < FLIPPED_SHARE, values.abs(), values)
    nearest = step if lowest > 0 else -step if highest < 0 else 0.0
    return values.masked_fill(values == 0, nearest)


def reshape_state(module: nn.Module, distribution: str, seed: int) -> None:
    """Gives parameters and persistent floating buffers other values, in place.

    Values move by up to a quarter of their size; a zero becomes a small positive number, so that
    what must not be negative (a running variance, a count) is not, or stays (see above).
    """
    from_zero = 0.0 if distribution in SMALL else 0.2
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in _distinct_state(module):
            values = _computable(tensor)
            noise = torch.rand(values.shape, generator=generator)
            moved = values * (0.75 + 0.5 * noise)
            tensor.copy_(torch.where(values == 0, from_zero * noise, moved))


def _distinct_state(module: nn.Module) -> Iterator[Tensor]:
    seen: set[int] = set()
    for tensor in module.state_dict(keep_vars=True).values():
        if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
            continue
        address = tensor.untyped_storage().data_ptr()
        if address in seen or not all_finite(tensor):
            continue
        seen.add(address)
        yield tensor


def perturb(tensors: list[Tensor], pattern: int, seed: int) -> None:
    """Moves floating tensors by one ulp, in place; zeros stay.

    Args:
        tensors: inputs and state; other types are left alone.
        pattern: 0 moves every value away from zero, 1 towards it, others at random.
        seed: of the random patterns.
    """
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


def _moved(tensor: Tensor, pattern: int, generator: torch.Generator) -> Tensor:
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = tensor.contiguous().view(integer[tensor.element_size()])
    steps = torch.randint(0, 2, bits.shape, generator=generator) * 2 - 1
    steps = torch.full_like(steps, 1 - 2 * pattern) if pattern < 2 else steps
    moved = (bits + steps.to(bits.dtype)).view(tensor.dtype)
    usable = (tensor != 0) & torch.isfinite(tensor) & torch.isfinite(moved)
    return torch.where(usable, moved, tensor)
