"""Attributes of operators, drawn for the operand at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.programs.shapes import divisors

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from builder.programs.compose.values import Sizes, Value

_LONG = 4
_WIDTHS = (64, 128, 256, 96, 192, 320, 100)
_FILTERS = (16, 32, 64, 24, 48, 12)


class Unfit(Exception):
    """The operand has no such attribute; another operator is tried."""


@dataclass
class Site:
    """Where an operator is applied.

    Attributes:
        x: its first operand.
        rng: draws.
        sizes: named sizes of the program.
        declare: declares a role with its sizes, of the probe and the program.
        dtype: the program's floating type.
    """

    x: Value
    rng: Random
    sizes: Sizes
    declare: Callable[[str, int, int], str]
    dtype: str


Spelled = tuple[str, str]
"""An attribute in the program's text, where roles may stand, and in the probe's."""


def spelled(name: str, site: Site) -> Spelled:
    """An attribute.

    Args:
        name: as it stands in an operator's text.
        site: where it is applied.

    Raises:
        Unfit: the operand has none.
    """
    if name in _NUMBERS:
        number = site.rng.choice(_NUMBERS[name])
        return number, number
    return _OTHERS[name](site)


_NUMBERS = {
    "slope": ("0.1", "0.2", "0.01", "0.3", "0.05"),
    "alpha": ("0.5", "1.5", "2.0"),
    "bound": ("1.0", "2.0", "0.5", "3.0", "1.5"),
    "scale": ("0.5", "2.0", "0.1", "0.7071", "1.5", "0.25"),
    "offset": ("0.5", "0.1", "1.0", "0.25"),
    "share": ("0.1", "0.9", "0.5", "0.3"),
    "few": ("1", "2", "3"),
}


def _dim(site: Site) -> Spelled:
    """A dimension of some length, the last one most of the time."""
    long = [dim for dim in range(site.x.rank) if min(site.x.column(dim)) >= _LONG]
    if not long:
        raise Unfit
    last = site.x.rank - 1
    dim = last if last in long and site.rng.random() < 0.6 else site.rng.choice(long)
    return _number(site, dim)


def _number(site: Site, dim: int) -> Spelled:
    """A dimension, counted from either end."""
    from_end = dim == site.x.rank - 1 or site.rng.random() < 0.3
    text = str(dim - site.x.rank if from_end else dim)
    return text, text


def _other_dim(site: Site) -> Spelled:
    if site.x.rank < 2:
        raise Unfit
    return _number(site, site.rng.randrange(site.x.rank))


def _dim_pair(site: Site) -> Spelled:
    if site.x.rank < 3:
        raise Unfit
    first = site.rng.randrange(site.x.rank - 1)
    text = f"{first}, {first + 1}"
    return text, text


def _new_dim(site: Site) -> Spelled:
    if site.x.rank > 3:
        raise Unfit
    text = str(site.rng.choice((-1, 1, 0)))
    return text, text


def _even(site: Site) -> Spelled:
    even = [
        dim
        for dim in range(1, site.x.rank)
        if site.x.is_fixed(dim) and not any(size % 2 for size in site.x.column(dim))
    ]
    if not even:
        raise Unfit
    return _number(site, site.rng.choice(even))


def _fixed(site: Site, dim: int) -> Spelled:
    """The size of a dimension that is the same in all input sets."""
    if site.x.rank <= abs(dim) - (dim < 0) or not site.x.is_fixed(dim):
        raise Unfit
    column = site.x.column(dim)
    role = site.sizes.role(column)
    return (f"${role}" if role else str(column[1])), str(column[0])


def _groups(site: Site) -> Spelled:
    _fixed(site, 1)
    probe, real = site.x.column(1)[:2]
    both = [count for count in divisors(real, (2, 4, 8, 16, 3)) if probe % count == 0]
    if not both:
        raise Unfit
    text = str(site.rng.choice(both))
    return text, text


def _width(site: Site) -> Spelled:
    real = site.rng.choice(_WIDTHS)
    name = site.declare("width", real, 10 + 2 * (real % 7))
    return f"${name}", f"${name}"


def _filters(site: Site) -> Spelled:
    real = site.rng.choice(_FILTERS)
    name = site.declare("filters", real, 6 + 4 * (real % 3))
    return f"${name}", f"${name}"


def _dt(site: Site) -> Spelled:
    return "$dt", "" if site.dtype == "float32" else f", dtype=torch.{site.dtype}"


_OTHERS: dict[str, Callable[[Site], Spelled]] = {
    "dim": _dim,
    "other_dim": _other_dim,
    "dim_pair": _dim_pair,
    "new_dim": _new_dim,
    "even": _even,
    "last": lambda site: _fixed(site, -1),
    "channels": lambda site: _fixed(site, 1),
    "groups": _groups,
    "width": _width,
    "filters": _filters,
    "dt": _dt,
}
