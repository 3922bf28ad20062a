"""Input sets beyond the one that ``get_inputs`` gives.

Draw 0 is ``get_inputs`` as it stands and the module as constructed.  Later draws take a new seed,
give the parameters and floating buffers other values (as constructed, all norms' scales are one and
all biases zero, which hides arguments bound to the wrong parameter), and reshape the distribution
of the floating inputs:

* ``tied``: rounded to multiples of a step, a few values, many zeros, most of one sign (of the first
  input all, so that inputs of one shape differ): ties, masks, divisions by nearly zero, sums that
  do not cancel and in which roundings do not average out;
* ``mixed``: slices of one dimension of ordinary, large, tiny and vanishing size side by side; the
  last are below any constant that keeps a norm from being zero.  What has one sign where others
  have two is as drawn;
* ``tiny``: a thousandth, each slice of one sign (the first input's by turns, and what is negative
  is not near zero, for a maximum whose padding is): constants that are added, and exponents near
  one; nothing cancels, so that eager's own error leaves no room for a lower precision.  Of several
  tensors one that has one sign (weights, counts) vanishes as a whole, of the others one slice: what
  keeps a divisor from being zero;
* ``large``: many times the values: saturation, overflow of an unstable exponential.  Of three
  slices one is as drawn, one far below zero and one far above (the padding of a maximum shows where
  all it pads is below zero); the first input has the one where the others have the other, or, every
  other time, the same (a minimum of both is large), and parameters have no sign, so that products
  of them keep to one side as well, and one number of a bias is far above, for what a norm keeps
  near zero.  The first input's
  very first element is beyond all others, and beyond float16 if its type is wide: a maximum that
  forgets where it began misses it, and what goes through a narrow type is infinite;
* ``sparse``: one element in eight, on a grid of halves, the others zero (or the smallest value that
  the input shows, where it shows no zero): empty rows, sums of one element, what is skipped for a
  zero.  Of four slices one is so, two have in each row one spike far above the rest, and one spike
  is far above all others (a maximum that misses it can neither stabilise an exponential nor scale
  to 8 bits), and one is moved away from zero, still on the grid: a mean that is large beside what
  varies has to be right in more places than the result shows.  In some of one of the two the spike
  stands twice, side by side: of equals the first is chosen.  In the other a second spike
  takes the first away: a sum that is rounded on the way loses what is left, and half the rows of
  these have little left, which saturates nothing.  One row is empty: what keeps a divisor from
  being zero.  A single row that is added to all others has none: its spike would be the maximum of
  each.  Images too small for a spike have such a pair in their midst, a quarter of them.
  Parameters lie on grids too, and every other row and column of a matrix is one number, so that
  what cancels in an input cancels in products with them: sums and products are exact, and tie;
* ``vanishing``: all is a millionth: what keeps a divisor from being zero is what divides;
* ``muted``: of one sign, and matrices and what is added are a thousandth: what goes past a product
  is not lost in it;
* ``shifted``: away from zero: what a mean is taken from is as large as the mean.

Tensors of two values (masks, kept as numbers or not, and integers of only 0 and 1) are as drawn,
except in ``large``, where they have slices of only the lower value, of only the higher, and with
one higher value in each row.  NaN is in no program's domain.

Where eager does not survive such a draw, others follow (``Strength``): one in which masks are as
drawn, no tensor vanishes as a whole, but slices do, and narrow spikes are lower; then one less
large (``LARGE``) and without sides, in which nothing small vanishes, less sparse (``SPARSE``) and
without spikes.

Where small values matter, a parameter or buffer that is zero stays zero: a bias would drown them.

Inputs stay in the program's value domain as far as it shows: signs that draw 0 does not have do not
appear, values in [-1, 1] stay there, a tensor that a new seed does not change is a constant and is
left alone, and so are tensors that overlap themselves and other integers, but for two elements of
those that ``torch.randint`` gave, which are set to the ends of its range.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from builder.verify.distributions import Draw, Strength, turns_of
from builder.verify.domain import Domain, computable
from builder.verify.rows import ROW
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Sequence

Tensor = torch.Tensor

APART = MUTED, SHIFTED = ("muted", "shifted")
"""Distributions of further input sets, where they tell anything apart."""
DISTRIBUTIONS = ("plain", "tied", "mixed", "tiny", "large", "sparse", "vanishing", *APART)
SMALL = ("mixed", "tiny", "vanishing")


def derived_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed from a hash, so that no draw's generator continues another's."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def distribution_of(draw: int) -> str:
    """The distribution of a draw; draw 0 is plain."""
    return DISTRIBUTIONS[draw % len(DISTRIBUTIONS)] if draw else "plain"


def reshape_inputs(
    inputs: list[Any],
    first: Sequence[Domain],
    distribution: str,
    seed: int,
    strength: Strength = Strength.FULL,
) -> None:
    """Gives floating tensors and masks of ``inputs`` another distribution, in place.

    Args:
        inputs: a fresh draw of ``get_inputs``.
        first: ``domains`` of draw 0, which show what is in reach and what is constant.
        distribution: one of ``DISTRIBUTIONS``.
        seed: of the generator that places zeros.
        strength: how far to go.
    """
    if distribution == "plain":
        return
    generator = torch.Generator().manual_seed(seed)
    pairs = zip(tensors_in(inputs), first, strict=True)
    known = [(tensor, domain) for tensor, domain in pairs if domain.frees(tensor)]
    free = [(tensor, domain) for tensor, domain in known if domain.is_free]
    several = any(_rows(tensor) > 1 for tensor, _ in free)
    vanishing = _one_to_vanish([domain for _, domain in free], seed)
    for place, (tensor, domain) in enumerate(free):
        draw = Draw(
            computable(tensor),
            domain,
            generator,
            strength,
            side=1.0 if place else -1.0,
            divides=not domain.has_signs and any(other.has_signs for _, other in free),
            vanishes=place == vanishing and strength is Strength.FULL,
            loses=strength < (Strength.GENTLE if vanishing is None else Strength.MILD),
            has_spikes=_rows(tensor) > 1 or not several,
        )
        _put(tensor, domain, draw.reshaped(distribution))
    if distribution == "large" and strength is Strength.FULL:
        for tensor, domain in known:
            if domain.has_two:
                _put(tensor, domain, _sided(tensor, domain))


def has_gentle(first: Sequence[Domain], distribution: str) -> bool:
    """Whether a gentle draw differs from a full one."""
    sided = any(domain.has_signs or domain.has_two for domain in first)
    return sided if distribution == "large" else distribution in ("tiny", "sparse")


def _rows(tensor: Tensor) -> int:
    """How many rows it has that are long enough for a spike."""
    length = tensor.shape[-1] if tensor.dim() else 1
    return tensor.numel() // length if length >= ROW else 0


def _one_to_vanish(free: Sequence[Domain], seed: int) -> int | None:
    """Which of several tensors vanishes as a whole: one that is of one sign."""
    able = [place for place, domain in enumerate(free) if not domain.has_signs]
    return able[seed % len(able)] if able and len(free) > 1 else None


def _sided(tensor: Tensor, domain: Domain) -> Tensor:
    """Slices as drawn, of the lower value, of the higher, of one higher a row, by turns."""
    rows = tensor[..., :1] if tensor.dim() > 1 else tensor
    values, turn = computable(tensor), turns_of(rows, 4, 2)
    values = torch.where((turn == 1) | (turn == 3), domain.lowest, values)
    values = torch.where(turn == 2, domain.highest, values)
    if tensor.dim() > 1:
        is_one = torch.arange(tensor.shape[-1]) == tensor.shape[-1] // 2
        values = torch.where((turn == 3) & is_one, domain.highest, values)
    return values


def _put(tensor: Tensor, domain: Domain, values: Tensor) -> None:
    if domain.is_unit:
        values = values.clamp(-1.0, 1.0)
    if tensor.is_floating_point() and tensor.element_size() == 1:
        # Torch 2.11 and 2.12 make NaN of what is above the largest.
        largest = torch.finfo(tensor.dtype).max
        values = values.clamp(-largest, largest)
    with torch.no_grad():
        tensor.copy_(values)
