"""Which sizes of a program vary, and which input set to trace it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from builder.capture import binding
from builder.capture.sizes import marked
from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class Varying:
    """A size that differs between a program's input sets.

    Attributes:
        expression: of the input, over ``forward``'s parameters.
        dim: its dimension.
        sizes: in ``get_inputs``, then in each shape variant.
    """

    expression: str
    dim: int
    sizes: tuple[int, ...]


def varying_sizes(
    forward: Callable[..., Any], sets: Sequence[Sequence[Any]]
) -> tuple[Varying, ...]:
    """The sizes in which input sets differ.

    Args:
        forward: whose arguments they are.
        sets: the declared inputs, then those of each shape variant.

    Raises:
        CaptureRejected: ``varying_structure``: they differ in more than sizes.
    """
    named = [_leaves(forward, inputs) for inputs in sets]
    varying: list[Varying] = []
    for place in zip(*named, strict=True):
        expression, first = place[0]
        if any(name != expression or not _alike(first, value) for name, value in place):
            raise CaptureRejected(
                "varying_structure",
                f"the shape variants differ in more than the sizes of tensors, see {expression}; "
                "kernels of any size need inputs of one rank and type, and equal numbers",
            )
        if isinstance(first, torch.Tensor):
            columns = zip(*(value.shape for _, value in place), strict=True)
            varying += [
                Varying(expression, dim, sizes)
                for dim, sizes in enumerate(columns)
                if len(set(sizes)) > 1
            ]
    return tuple(varying)


def _leaves(forward: Callable[..., Any], inputs: Sequence[Any]) -> list[tuple[str, Any]]:
    given = binding.bound_arguments(forward, inputs)
    return [leaf for name in given for leaf in binding.leaves(given[name], name)]


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and one.dim() == other.dim()
            and one.dtype == other.dtype
        )
    return type(one) is type(other) and bool(one == other)


def marked_varying(
    leaves: Sequence[tuple[str, Any]], varying: Sequence[Varying]
) -> AbstractContextManager[None]:
    """Tracing inside has a symbol in the place of each varying size."""
    tensors = dict(leaves)
    return marked([(tensors[size.expression], size.dim) for size in varying])


def order_of_hints(varying: Sequence[Varying]) -> list[int]:
    """Input sets to trace on, the best first.

    Tracing decides by the sizes it sees: a size of 1 would be taken for a broadcast one, and two
    that happen to be equal for one.  Of sets that are as good the declared one comes first, so that
    tiles are chosen for its sizes.
    """
    sets = list(zip(*(size.sizes for size in varying), strict=True))
    columns = list(dict.fromkeys(size.sizes for size in varying))

    def badness(index: int) -> tuple[int, int, int]:
        ones = sum(extent < 2 for extent in sets[index])
        distinct = len({column[index] for column in columns})
        return ones, len(columns) - distinct, index

    return sorted(range(len(sets)), key=badness)
