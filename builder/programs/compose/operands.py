"""New inputs and parameters, where an operator needs an operand that the graph has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from builder.programs.compose.attributes import Unfit
from builder.programs.compose.values import Sizes, Value

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from builder.programs.draft import Draft

_LIKE = ("other", "residual", "skip", "context", "memory", "target", "reference", "previous")
_BROAD = ("bias", "shift", "offset", "context", "table", "prior", "center")
_POSITIVE = ("scale", "sigma", "temperature", "spread", "weights", "norms")
_MASK = ("mask", "keep", "valid", "visible", "selected")
_PARAMETERS = ("weight", "bias", "gain", "scale", "shift", "gamma", "beta", "gate", "offset")
_MOST_INPUTS = 5
Made = tuple[Value, "Callable[[], None]"]


def made(need: str, first: Value, rng: Random, draft: Draft, sizes: Sizes) -> Made:
    """A new operand, and what makes it part of the program.

    Args:
        need: of the operand, see ``needs``.
        first: the operator's first operand.
        rng: draws.
        draft: gets it.
        sizes: named sizes.

    Raises:
        Unfit: none can be made, or the program has inputs enough.
    """
    maker = _Maker(first, rng, draft, sizes)
    if need in ("like", "tokens_like"):
        return maker.input(_LIKE, maker.dims(), "normal", maker.dtype())
    if need in ("broad", "broad_single", "broad_positive"):
        positive = need == "broad_positive"
        if rng.random() < 0.4:
            return maker.parameter(positive)
        pool, kind = (_POSITIVE, "positive") if positive else (_BROAD, "normal")
        return maker.input(pool, maker.thinned(), kind, maker.dtype())
    if need in ("mask_of", "mask_like"):
        return maker.input(_MASK, maker.thinned(), "mask", "bool")
    if need == "contract":
        return maker.matrix()
    if need == "positions":
        return maker.positions()
    raise Unfit


class _Maker:
    def __init__(self, first: Value, rng: Random, draft: Draft, sizes: Sizes) -> None:
        self.first, self.rng, self.draft, self.sizes = first, rng, draft, sizes

    def dtype(self) -> str:
        name = str(self.first.dtype).removeprefix("torch.")
        if name not in ("float32", self.draft.dtype):
            raise Unfit
        return name

    def dims(self) -> str:
        """The roles of the first operand's dimensions."""
        dims = self.sizes.dims(self.first)
        if dims is None or not dims:
            raise Unfit
        return dims

    def thinned(self) -> str:
        """The same with some dimensions left out or 1."""
        parts = self.dims().split()
        drop = self.rng.randrange(len(parts))
        if self.rng.random() < 0.5:
            return " ".join(parts[drop:])
        kept = [part if self.rng.random() < 0.6 else "1" for part in parts]
        if all(part == "1" for part in kept):
            kept[-1] = parts[-1]
        return " ".join(kept)

    def input(self, pool: tuple[str, ...], dims: str, kind: str, dtype: str) -> Made:
        if len(self.draft.inputs) >= _MOST_INPUTS:
            raise Unfit
        shapes = self.sizes.shapes(dims)
        drawn = [_drawn(kind, shapes[0], getattr(torch, dtype)) for _ in range(2)]
        value = Value(drawn[0], drawn[1], tuple(shapes[1:]))

        def commit() -> None:
            value.name = getattr(self.draft, kind)(
                pool, dims, **({} if kind == "mask" else {"dtype": dtype})
            )

        return value, commit

    def parameter(self, positive: bool) -> Made:
        """A parameter along the last dimension, or the channels of an image."""
        dim = 1 if self.first.rank == 4 else self.first.rank - 1
        role = self.sizes.role(self.first.column(dim)) if self.first.is_fixed(dim) else None
        if role is None or self.first.dtype != getattr(torch, self.draft.dtype):
            raise Unfit
        dims = f"{role} 1 1" if self.first.rank == 4 else role
        shapes = self.sizes.shapes(dims)
        offset = 1.0 if positive else 0.0
        scale = 0.1 if positive else 0.3
        probe = (torch.randn(shapes[0]) * scale + offset).to(self.first.dtype)
        value = Value(probe, probe, tuple(shapes[1:]))

        def commit() -> None:
            name = self.draft.spell(_PARAMETERS)
            if role not in self.draft.arguments:
                self.draft.argument(role)
            self.draft.parameter(name, dims, scale, offset)
            value.name = f"self.{name}"

        return value, commit

    def matrix(self) -> Made:
        """A weight for a product with the last dimension."""
        if not self.first.is_fixed(-1) or self.first.dtype != getattr(torch, self.draft.dtype):
            raise Unfit
        role = self.sizes.role(self.first.column(self.first.rank - 1))
        others = [r for r, column in self.sizes.columns.items() if len(set(column[1:])) == 1]
        if role is None or not others:
            raise Unfit
        dims = f"{role} {self.rng.choice(others)}"
        shapes = self.sizes.shapes(dims)
        scale = round(shapes[1][0] ** -0.5, 3)
        probe = (torch.randn(shapes[0]) * shapes[0][0] ** -0.5).to(self.first.dtype)
        value = Value(probe, probe, tuple(shapes[1:]))

        def commit() -> None:
            name = self.draft.spell(("weight", "kernel", "projection", "basis", "matrix"))
            for one in dims.split():
                if one not in self.draft.arguments:
                    self.draft.argument(one)
            self.draft.parameter(name, dims, scale)
            value.name = f"self.{name}"

        return value, commit

    def positions(self) -> Made:
        """Indices into the first dimension, as many as it has."""
        role = self.sizes.role(self.first.column(0))
        if role is None or len(self.draft.inputs) >= _MOST_INPUTS:
            raise Unfit
        shapes = self.sizes.shapes(role)
        drawn = [torch.randint(0, shapes[0][0], shapes[0]) for _ in range(2)]
        value = Value(drawn[0], drawn[1], tuple(shapes[1:]))

        def commit() -> None:
            value.name = self.draft.integers(("indices", "order", "positions"), role, f"${role}")

        return value, commit


def _drawn(kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    if kind == "mask":
        return torch.rand(shape) < 0.8
    if kind == "positive":
        return (torch.rand(shape) * 0.9 + 0.1).to(dtype)
    return torch.randn(shape).to(dtype)
