"""Shapes beyond those that a program declares, to try a module on that takes any.

Which sizes of the inputs go together follows from the input sets that the program declares: sizes
that are equal in all of them are one, and one that is a multiple of another in all of them, or of
the product of two, goes with it.  Inputs of another shape are cut out of declared ones, or repeat
them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.verify.declared import Bounds

Tensor = torch.Tensor
Column = tuple[int, ...]
Place = tuple[int, int]
"""Which tensor, in order, and which of its dimensions; ``_BOUND`` for the end of its integers."""

BLOCK = 128
"""The largest size goes up to here, where the program declares one as large."""
_BOUND = -1


@dataclass(frozen=True)
class OtherShape:
    """A shape that no input set of the program has.

    Attributes:
        sizes: of the dimensions, and the ends of integers, that differ from ``get_inputs``.
    """

    sizes: tuple[tuple[Place, int], ...]

    def applied(self, inputs: Sequence[Any]) -> list[Any]:
        """Inputs of this shape, cut out of a draw of ``get_inputs`` or repeating it."""
        places = {id(tensor): place for place, tensor in enumerate(tensors_in(inputs))}

        def resized(tensor: Tensor) -> Tensor:
            return self._resized(tensor, places[id(tensor)])

        return [_mapped(value, resized) for value in inputs]

    def _resized(self, tensor: Tensor, place: int) -> Tensor:
        sizes = {dim: size for (which, dim), size in self.sizes if which == place}
        strides = tensor.stride()
        order = sorted(range(tensor.dim()), key=lambda dim: -strides[dim])
        with torch.no_grad():
            result = tensor.detach().permute(order)
            for dim, size in sizes.items():
                if dim != _BOUND:
                    axis = order.index(dim)
                    along = torch.arange(size) % tensor.shape[dim]
                    result = result.index_select(axis, along)
            if _BOUND in sizes:
                result = result % sizes[_BOUND]
            result = result.contiguous().permute([order.index(dim) for dim in range(tensor.dim())])
        return result.requires_grad_(tensor.requires_grad)


def other_shapes(
    sets: Sequence[Sequence[Tensor]], bounds: Sequence[Mapping[int, Bounds]]
) -> list[tuple[OtherShape, ...]]:
    """Shapes to try, each with what to take if the program does not: ones, and odd sizes.

    Args:
        sets: the tensors of ``get_inputs``, then those of each shape variant.
        bounds: the bounds of integer tensors by place, likewise.

    Returns:
        alternatives for each of three shapes: of size 1; of a largest size beyond all that are
        declared, which no constant may bound; of sizes one above or below a power of two.  Then
        shapes of which the program need not take any: the order of sizes changed, and a size of 1
        that is another elsewhere, which may be broadcast.
    """
    columns = _columns(sets, bounds)
    free, rules = _related(columns)
    if not free:
        return []
    declared = list(zip(*free, strict=True))
    wanted = [
        [[1] * len(free), *_single_ones(free)],
        [_more(free), _beside(free, 1), _between(free)],
        [_beside(free, -1), _between(free[::-1])[::-1]],
        [_between(free)[::-1]],
    ]
    found = []
    for alternatives in wanted:
        scaled = [_scaled(free, values) for values in alternatives]
        fresh = [values for values in dict.fromkeys(scaled) if values not in declared]
        shapes = [_shape(rules, values) for values in fresh]
        found.append(tuple(shape for shape in shapes if shape is not None))
    found += [(shape,) for shape in _broadcast(free, rules)]
    return [alternatives for alternatives in found if alternatives]


# -- which sizes go together -----------------------------------------------------------------


def _columns(
    sets: Sequence[Sequence[Tensor]], bounds: Sequence[Mapping[int, Bounds]]
) -> dict[Place, Column]:
    """Each size, and each end of integers, through all input sets, where it varies."""
    columns: dict[Place, Column] = {}
    for place, same in enumerate(zip(*sets, strict=True)):
        for dim in range(same[0].dim()):
            columns[place, dim] = tuple(tensor.shape[dim] for tensor in same)
        if all(place in known and known[place][0] == 0 for known in bounds):
            columns[place, _BOUND] = tuple(known[place][1] + 1 for known in bounds)
    return {where: column for where, column in columns.items() if len(set(column)) > 1}


Rule = tuple[Fraction, tuple[int, ...]]
"""A factor and the free sizes that it multiplies."""


def _related(columns: Mapping[Place, Column]) -> tuple[list[Column], dict[Place, Rule]]:
    """The sizes that vary by themselves, and each other one as a multiple of these."""
    free: list[Column] = []
    rules: dict[Place, Rule] = {}
    is_bound = {where: where[1] == _BOUND for where in columns}
    for where in sorted(columns, key=lambda w: (is_bound[w], max(columns[w]), w)):
        rule = _rule(free, columns[where])
        if rule is None and is_bound[where]:
            continue
        if rule is None:
            free.append(columns[where])
            rule = (Fraction(1), (len(free) - 1,))
        rules[where] = rule
    return free, rules


def _rule(free: Sequence[Column], column: Column) -> Rule | None:
    single = [(index,) for index in range(len(free))]
    for factors in (*single, *itertools.combinations(range(len(free)), 2)):
        product = [math.prod(free[i][s] for i in factors) for s in range(len(column))]
        ratios = {Fraction(size, part) for size, part in zip(column, product, strict=True)}
        if len(ratios) == 1:
            return ratios.pop(), factors
    return None


def _shape(rules: Mapping[Place, Rule], values: Sequence[int]) -> OtherShape | None:
    sizes = []
    for where, (factor, factors) in sorted(rules.items()):
        size = factor * math.prod(values[index] for index in factors)
        if size.denominator != 1:
            return None
        sizes.append((where, int(size)))
    return OtherShape(tuple(sizes))


def _broadcast(free: Sequence[Column], rules: Mapping[Place, Rule]) -> Iterator[OtherShape]:
    """The first variant, with one of several sizes that go together set to 1."""
    base = _shape(rules, [column[1] for column in free])
    if base is None:
        return
    for index in range(len(free)):
        places = [w for w, rule in rules.items() if rule == (1, (index,)) and w[1] != _BOUND]
        for place in (places[0], places[-1]) if len(places) > 1 else ():
            yield OtherShape(tuple((w, 1 if w == place else size) for w, size in base.sizes))


# -- which sizes to take ---------------------------------------------------------------------


def _most(free: Sequence[Column], index: int) -> int:
    """The largest size to take: what variants have; the one that is largest, a block too."""
    column = free[index]
    is_last = index == len(free) - 1
    return max(*column[1:], min(column[0], BLOCK + 1) if is_last else 1)


def _scaled(free: Sequence[Column], values: Sequence[int]) -> Column:
    """Values as multiples of what divides a size in every input set."""
    return tuple(v * math.gcd(*column) for v, column in zip(values, free, strict=True))


def _single_ones(free: Sequence[Column]) -> Iterator[list[int]]:
    """One size 1 after the other, the rest as in the first variant."""
    for index in range(len(free)):
        others = [column[1] // math.gcd(*column) for column in free]
        yield [1 if place == index else size for place, size in enumerate(others)]


def _beside(free: Sequence[Column], first: int) -> list[int]:
    """By turns one above and one below the largest power of two that fits."""
    return [sum(pair) for pair in _powers(free, first)]


def _powers(free: Sequence[Column], first: int) -> list[tuple[int, int]]:
    """The largest powers of two that fit, and what is to be added: one up and one down by turns."""
    pairs = []
    for index, column in enumerate(free):
        most = _most(free, index) // math.gcd(*column)
        step = first if index % 2 == 0 else -first
        pairs.append((1 << max(1, (most - step).bit_length() - 1), step))
    return pairs


def _more(free: Sequence[Column]) -> list[int]:
    """The largest size beyond the power of two that holds all that are declared: one more block.

    The others are beside powers of two, no larger ones than leave half the elements of the largest
    input set, but none is below all that are declared.
    """
    *others, last = free
    largest = _power_above(max(last)) // math.gcd(*last) + 1
    least = [min(column) // math.gcd(*column) for column in others]
    pairs = _powers(free, 1)[:-1]
    room = max(map(math.prod, zip(*free, strict=True))) // 2
    while True:
        values = [max(low, sum(pair)) for low, pair in zip(least, pairs, strict=True)] + [largest]
        excess = [value / low for low, value in zip(least, values, strict=False)]
        if math.prod(_scaled(free, values)) <= room or max(excess, default=1) <= 1:
            return values
        most = max(range(len(excess)), key=excess.__getitem__)
        pairs[most] = (pairs[most][0] // 2, pairs[most][1])


def _power_above(size: int) -> int:
    """The smallest power of two that is not below a size."""
    return 1 << (size - 1).bit_length()


def _between(free: Sequence[Column]) -> list[int]:
    """Odd sizes that are no smaller than any that is declared."""
    values = []
    for index, column in enumerate(free):
        divisor = math.gcd(*column)
        value = min(column) // divisor + 1 + index
        values.append(value if value % 2 else value + 1)
    return values


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Nested inputs with each tensor replaced."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, function) for item in value)
    return value
