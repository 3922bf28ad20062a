"""What a training pair is differentiated with, and with respect to what.

Differentiated are the inputs that ``get_inputs`` returns with ``requires_grad`` and the parameters
that require gradients; from every output that does, each with an upstream gradient (a *tangent*) of
its own, drawn from the input set's seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.verify.draws import derived_seed
from builder.verify.structure import flatten, tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Tensor = torch.Tensor

PREFIX = "gradient of "
FORMS = ("contiguous", "transposed", "missing")
"""How tangents come, by draw: dense; dense with the dimensions reversed in memory; one of several
absent."""


@dataclass(frozen=True)
class Upstream:
    """The tangents of an input set.

    Attributes:
        seed: of their values.
        form: one of ``FORMS``.
        missing: the output without a tangent (see ``missing``); None where all have one.
    """

    seed: int
    form: str = "contiguous"
    missing: int | None = None


@dataclass(frozen=True)
class Gradients:
    """The gradients of a run.

    Attributes:
        values: by name; None where a tensor has none.
        outputs: numbers of the outputs that require gradients.
        is_partial: an output had no tangent.
    """

    values: dict[str, Tensor | None] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()
    is_partial: bool = False

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that there are."""
        return {name: value for name, value in self.values.items() if value is not None}


def upstream_of(seed: int, draw: int) -> Upstream:
    """The tangents of a draw."""
    return Upstream(derived_seed(seed, "tangents", draw), FORMS[draw % len(FORMS)])


def leaves_of(module: nn.Module, inputs: Sequence[Any]) -> dict[str, Tensor]:
    """The differentiated tensors by name, inputs first."""
    named = {f"input {n}": tensor for n, tensor in enumerate(tensors_in(list(inputs)))}
    named |= {f"parameter {name}": value for name, value in module.named_parameters()}
    return {name: tensor for name, tensor in named.items() if tensor.requires_grad}


def differentiable(out: Any) -> dict[int, Tensor]:
    """The outputs that require gradients, by their number; one that comes twice, once."""
    found: dict[int, Tensor] = {}
    for number, leaf in enumerate(flatten(out)[0]):
        is_known = any(leaf is other for other in found.values())
        if isinstance(leaf, Tensor) and leaf.requires_grad and not is_known:
            found[number] = leaf
    return found


def tangents(upstream: Upstream, outputs: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """An upstream gradient for each output but the one that is left out."""
    return {
        number: _tangent(upstream, number, output)
        for number, output in outputs.items()
        if number != upstream.missing
    }


def _tangent(upstream: Upstream, number: int, output: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(upstream.seed, number))
    shape = tuple(output.shape)
    if upstream.form == "transposed":
        drawn = torch.randn(tuple(reversed(shape)), generator=generator)
        return drawn.to(output.dtype).permute(tuple(reversed(range(len(shape)))))
    return torch.randn(shape, generator=generator).to(output.dtype)


def differentiate(
    outputs: Mapping[int, Tensor],
    leaves: Mapping[str, Tensor],
    given: Mapping[int, Tensor],
    *,
    retain_graph: bool = False,
) -> Gradients:
    """The gradients of the leaves.

    Args:
        outputs: that require gradients, by number.
        leaves: by name.
        given: tangents by number; an output without one counts as not used.
        retain_graph: whether another backward pass follows.
    """
    used = [number for number in outputs if number in given]
    found = torch.autograd.grad(
        [outputs[number] for number in used],
        list(leaves.values()),
        [given[number] for number in used],
        allow_unused=True,
        retain_graph=retain_graph,
    )
    values: dict[str, Tensor | None] = {
        f"{PREFIX}{name}": None if value is None else value.detach()
        for name, value in zip(leaves, found, strict=True)
    }
    return Gradients(values, tuple(outputs), len(used) < len(outputs))
