"""Input sets beyond the one that ``get_inputs`` gives.

Draw 0 is ``get_inputs`` as it stands and the module as constructed.  Later draws take a new seed,
give the parameters and floating buffers other values (as constructed, all norms' scales are one and
all biases zero, which hides arguments bound to the wrong parameter), and reshape the distribution
of the floating inputs:

* ``tied``: rounded to multiples of a step, a few values, many zeros, most of one sign (of the first
  input all, so that inputs of one shape differ): ties, masks, divisions by nearly zero, sums that
  do not cancel and in which roundings do not average out;
* ``mixed``: slices of one dimension of ordinary, large, tiny and vanishing size side by side; the
  last are below any constant that keeps a norm from being zero;
* ``tiny``: a thousandth, of one sign: constants that are added, and exponents near one; nothing
  cancels, so that eager's own error leaves no room for a lower precision;
* ``large``: many times the values: saturation, overflow of an unstable exponential.  Of three
  slices one is as drawn, one far below zero and one far above (the padding of a maximum shows where
  all it pads is below zero); the first input has the one where the others have the other, and
  parameters have no sign, so that products of them keep to one side as well;
* ``sparse``: one element in eight, on a grid of halves, the others zero (or the smallest value that
  the input shows, where it shows no zero): empty rows, sums of one element, what is skipped for a
  zero.  In two of three slices each row has one spike far above the rest: a maximum that misses it
  cannot stabilise an exponential.  Parameters lie on grids too: sums and products are exact, and
  tie;

Tensors of two values, masks kept as numbers, are as drawn, except in ``large``, where they have
slices of only the lower value and of only the higher.  NaN is in no program's domain.

Where eager does not survive such a draw, a milder one follows: less large (``LARGE``) and without
sides, less sparse (``SPARSE``).

Where small values matter, a parameter or buffer that is zero stays zero: a bias would drown them.

Inputs stay in the program's value domain as far as it shows: signs that draw 0 does not have do not
appear, values in [-1, 1] stay there, a tensor that a new seed does not change is a constant and is
left alone, and so are integers, masks and tensors that overlap themselves.
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
FLIPPED_SHARES = (1.0, 0.4)
LARGE = (32.0, 4.0)
SPARSE = (0.125, 0.5)
FAR = 4.0
TINY = 2.0**-10
VANISHING = tuple(2.0**-power for power in range(16, 52, 4))
GRID = 0.5
GOLDEN = 0.6180339887498949
SPIKES = (2.0**10, 2.0**7)  # the second for types that cannot hold the first one's square
STEP = 0.7313  # no binary fraction: eager must round where another order of operations does
ZERO_SHARE = 0.3
UNIT_REACHED = 0.9
_GLANCE = 64
_ROW = 8
_END = 1.0 / 32.0


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

    def frees(self, tensor: Tensor) -> bool:
        """Whether a new draw of the input may be reshaped: it is alike, and no constant."""
        alike = tensor.shape == self.model.shape and tensor.dtype == self.model.dtype
        return self.is_float and alike and not torch.equal(tensor, self.model)


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
    glance = _between(values.flatten()[:_GLANCE], lowest, highest)
    has_two = values.numel() > 2 and not glance and not _between(values, lowest, highest)
    return Domain(model, lowest, highest, is_float=True, has_two=has_two)


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
    side = -1.0
    for tensor, domain in zip(tensors_in(inputs), first, strict=True):
        if not domain.frees(tensor):
            continue
        if not domain.has_two:
            draw = _Draw(_computable(tensor), domain, generator, mild, side)
            _put(tensor, domain, draw.reshaped(distribution))
            side = 1.0
        elif distribution == "large" and not mild:
            values, turn = _computable(tensor), _turn(tensor, 3)
            values = torch.where(turn == 1, domain.lowest, values)
            _put(tensor, domain, torch.where(turn == 2, domain.highest, values))


def _put(tensor: Tensor, domain: Domain, values: Tensor) -> None:
    if UNIT_REACHED < max(abs(domain.lowest), abs(domain.highest)) <= 1.0:
        values = values.clamp(-1.0, 1.0)
    with torch.no_grad():
        tensor.copy_(values)


def _turn(tensor: Tensor, count: int) -> Tensor:
    """Which of ``count`` turns each slice takes, along the first dimension with room for all."""
    roomy = [dim for dim, extent in enumerate(tensor.shape) if extent >= count]
    if not roomy:
        return torch.zeros((), dtype=torch.int64)
    shape = [1] * tensor.dim()
    shape[roomy[0]] = -1
    return (torch.arange(tensor.shape[roomy[0]]) % count).reshape(shape)


@dataclass(frozen=True)
class _Draw:
    """One input tensor's new values, in each distribution.

    Attributes:
        values: as drawn.
        domain: what they must keep to.
        generator: of random choices.
        mild: see ``reshape_inputs``.
        side: the sign of the first slices that have one.
    """

    values: Tensor
    domain: Domain
    generator: torch.Generator
    mild: bool
    side: float

    def reshaped(self, distribution: str) -> Tensor:
        result: Tensor = getattr(self, f"_{distribution}")()
        return result

    def _tied(self) -> Tensor:
        """Multiples of a step; zeros and signs as draw 0 has them."""
        lowest, highest = self.domain.lowest, self.domain.highest
        step = STEP * min(1.0, max(abs(lowest), abs(highest)))
        chance = self._chance()
        values = torch.round(self.values / step) * step
        if lowest <= 0 <= highest:
            values = values.masked_fill(chance < ZERO_SHARE, 0.0)
        if self.domain.has_signs:
            share = FLIPPED_SHARES[self.side > 0]
            return torch.where(chance < share, values.abs(), values)
        nearest = step if lowest > 0 else -step if highest < 0 else 0.0
        return values.masked_fill(values == 0, nearest)

    def _mixed(self) -> Tensor:
        """Ordinary, large, tiny and, ever smaller, vanishing slices by turns."""
        sizes = [1.0, LARGE[self.mild], TINY]
        if not any(extent > len(sizes) for extent in self.values.shape):
            return self.values * torch.tensor(sizes, dtype=self.values.dtype)[_turn(self.values, 3)]
        normal = torch.finfo(self.domain.model.dtype).smallest_normal
        cycle = [part for size in VANISHING for part in (*sizes, max(size, min(TINY, normal**0.5)))]
        shape = _turn(self.values, len(sizes) + 1).shape
        turns = torch.arange(math.prod(shape)) % len(cycle)
        return self.values * torch.tensor(cycle, dtype=self.values.dtype)[turns].reshape(shape)

    def _tiny(self) -> Tensor:
        values = self.values.abs() if self.domain.has_signs else self.values
        return values * TINY

    def _large(self) -> Tensor:
        values = self.values * LARGE[self.mild]
        if self.mild or not self.domain.has_signs:
            return values
        far, turn = self.side * (values.abs() + FAR * LARGE[0]), _turn(values, 3)
        return torch.where(turn == 0, values, torch.where(turn == 1, far, -far))

    def _sparse(self) -> Tensor:
        """A grid that keeps to the domain: a value that it would leave stays as it is."""
        empty = min(max(self.domain.lowest, 0.0), self.domain.highest)
        values = torch.round(self.values / GRID) * GRID
        left = (values < self.domain.lowest) | (values > self.domain.highest)
        values = torch.where(left, self.values, values)
        values = values.masked_fill(self._chance() >= SPARSE[self.mild], empty)
        return values if self.mild else self._spiked(values)

    def _spiked(self, values: Tensor) -> Tensor:
        """One element of each row of the last dimension far out, in two of three slices.

        A short row is a few factors of others rather than a row, and divides a spike away.
        """
        length = values.shape[-1] if values.dim() else 1
        if length < _ROW:
            return values
        rows = values.reshape(-1, length)
        start = torch.rand(1, generator=self.generator, dtype=torch.float64)
        turns = (
            torch.arange(rows.shape[0], dtype=torch.float64) * GOLDEN
        )  # spread over any few rows
        shares = (turns + start) % 1.0
        shares[1::6] = shares[1::6] * _END  # what a loop is likely to miss: where it starts
        shares[2::6] = 1.0 - shares[2::6] * _END  # and where it ends
        places = (shares * length).long().clamp_(max=length - 1).unsqueeze(1)
        is_spike = torch.zeros(rows.shape, dtype=torch.bool).scatter_(1, places, value=True)
        is_spike = is_spike.reshape(values.shape) & (_turn(values, 3) != 0)
        size = SPIKES[torch.finfo(self.domain.model.dtype).max < SPIKES[0] ** 2]
        return values.masked_fill(is_spike, size if self.domain.highest > 0 else -size)

    def _chance(self) -> Tensor:
        return torch.rand(self.values.shape, generator=self.generator)


def reshape_state(module: nn.Module, distribution: str, seed: int, *, mild: bool = False) -> None:
    """Gives parameters and persistent floating buffers other values, in place.

    Values move by up to a quarter of their size; a zero becomes a small positive number, so that
    what must not be negative (a running variance, a count) is not, or stays (see above).

    Args:
        module: whose state it is.
        distribution: ``large`` takes signs away, ``sparse`` rounds to grids.
        seed: of the values.
        mild: keeps signs.
    """
    from_zero = 0.0 if distribution in SMALL else 0.2
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in _distinct_state(module):
            values = _computable(tensor)
            noise = torch.rand(values.shape, generator=generator)
            moved = torch.where(values == 0, from_zero * noise, values * (0.75 + 0.5 * noise))
            if distribution == "large" and not mild and bool((values > 0).any()):
                moved = moved.abs()
            if distribution == "sparse":
                moved = _on_a_grid(moved)
            tensor.copy_(moved)


def _on_a_grid(values: Tensor) -> Tensor:
    """Multiples of a power of two of about half the largest value; no zero but what is zero."""
    top = float(values.abs().amax()) if values.numel() else 0.0
    if top == 0.0:
        return values
    step = 2.0 ** (math.floor(math.log2(top)) - 1)
    rounded = torch.round(values / step) * step
    return torch.where(rounded == 0, values.sign() * step, rounded)


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
