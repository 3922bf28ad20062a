"""Which inputs and parameters have no influence on any output."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.errors import ProgramRejected
from builder.programs.tree import identical, leaves, replaced, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.programs.load import LoadedProgram

_GRADIENTS_FROM = 4  # floating tensors from which on one backward is cheaper than their forwards
_ROUNDINGS = 4.0
_STRENGTHS = (1.0, 16.0, -16.0)  # the large ones for thresholds


def without_influence(
    loaded: LoadedProgram,
    module: nn.Module,
    inputs: list[Any],
    variant: int | None,
    outputs: list[torch.Tensor],
    *,
    strict: bool = False,
) -> list[str]:
    """Names of the tensor inputs and parameters that change no bit of any output.

    An element of a container among the inputs is named by its path, ``states[1]``.  Gradients that
    are more than a rounding settle most tensors at once; each of the others gets other values of
    its kind, and unless it is ``strict`` far larger ones, too, for thresholds.
    """
    probe = _Probe(loaded, module, inputs, variant, outputs)
    probe.strict = strict
    names = _input_names(module, len(inputs))
    idle = [
        f"input {_named(path, names)}"
        for path, leaf in leaves(inputs)
        if isinstance(leaf, torch.Tensor) and not probe.input_matters(path, leaf)
    ]
    for name, parameter in module.named_parameters():
        if not probe.parameter_matters(name, parameter):
            idle.append(f"parameter {name!r}")
    return idle


class _Probe:
    strict = False

    def __init__(
        self,
        loaded: LoadedProgram,
        module: nn.Module,
        inputs: list[Any],
        variant: int | None,
        outputs: list[torch.Tensor],
    ) -> None:
        self.loaded, self.module, self.inputs = loaded, module, inputs
        self.outputs = outputs
        self.others = [dict(leaves(loaded.make_inputs(seed, variant))) for seed in (1, 2)]
        self.known = _with_gradients(loaded, module, inputs)

    def input_matters(self, path: str, leaf: torch.Tensor) -> bool:
        if path in self.known:
            return True
        return any(
            self._changes(replaced(self.inputs, path, other)) for other in self._others(path, leaf)
        )

    def parameter_matters(self, name: str, parameter: nn.Parameter) -> bool:
        if name in self.known:
            return True
        own = parameter.detach().clone()
        try:
            for strength in _STRENGTHS[:1] if self.strict else _STRENGTHS:
                parameter.data.copy_(nudged(own, strength))
                if self._changes(self.inputs):
                    return True
            return False
        finally:
            parameter.data.copy_(own)

    def _others(self, path: str, leaf: torch.Tensor) -> Iterator[torch.Tensor]:
        """Other draws of the input where they differ, then values made from its own."""
        drawn = [other.get(path) for other in self.others]
        fresh = [t for t in drawn if isinstance(t, torch.Tensor) and not identical(t, leaf)]
        yield from fresh
        if not (self.strict and fresh):
            yield from (nudged(leaf, strength) for strength in _STRENGTHS)

    def _changes(self, inputs: list[Any]) -> bool:
        try:
            outputs = tensors(self.loaded.run(self.module, copy.deepcopy(inputs)))
        except ProgramRejected:
            return True  # it did not like the values, so it looked at them
        return len(outputs) != len(self.outputs) or not all(
            identical(a, b) for a, b in zip(outputs, self.outputs, strict=True)
        )


def nudged(tensor: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Other values of the same kind: floats are scaled and shifted unequally, others move."""
    if tensor.is_floating_point() or tensor.is_complex():
        pattern = torch.linspace(0.25, 1.0, tensor.numel(), dtype=torch.float32) * strength
        return tensor + (pattern.reshape(tensor.shape) * (1 + tensor.abs().float())).to(
            tensor.dtype
        )
    rolled = tensor.flatten().roll(1).reshape(tensor.shape)
    if not identical(rolled, tensor):
        return rolled
    return ~tensor if tensor.dtype == torch.bool else tensor + 1


def _with_gradients(loaded: LoadedProgram, module: nn.Module, inputs: list[Any]) -> set[str]:
    """Paths and names of the floating tensors whose gradients are more than a rounding.

    What a tensor contributes may be so small that it is lost in a sum, though its gradient is not.
    Empty where there are few of them, or the program cannot be differentiated within the memory.
    """
    own = copy.deepcopy(inputs)
    watched = {
        path: leaf
        for path, leaf in (*leaves(own), *module.named_parameters())
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    }
    if len(watched) < _GRADIENTS_FROM:
        return set()
    frozen = [leaf for leaf in watched.values() if not leaf.requires_grad]
    try:
        with torch.enable_grad():
            for leaf in frozen:
                leaf.requires_grad = True
            outputs = tensors(loaded.run(module, own))
            total = _weighted(outputs)
            least = _rounding([*watched.values(), *outputs]) * float(
                _weighted(outputs, magnitude=True)
            )
            given = torch.autograd.grad(total, list(watched.values()), allow_unused=True)
    except (ProgramRejected, RuntimeError, MemoryError):
        return set()
    finally:
        for leaf in frozen:
            if leaf.is_leaf:
                leaf.requires_grad = False
    found = zip(watched.items(), given, strict=True)
    return {
        name
        for (name, leaf), grad in found
        if grad is not None and _contribution(leaf, grad) > least
    }


def _contribution(leaf: torch.Tensor, grad: torch.Tensor) -> float:
    return float((leaf.detach().float() * grad.float()).abs().sum())


def _rounding(tensors_in_play: list[torch.Tensor]) -> float:
    """A few roundings of the coarsest type."""
    floats = [tensor.dtype for tensor in tensors_in_play if tensor.is_floating_point()]
    return _ROUNDINGS * max(torch.finfo(dtype).eps for dtype in floats)


def _weighted(outputs: list[torch.Tensor], *, magnitude: bool = False) -> torch.Tensor:
    """A sum in which every element has a weight of its own, so that no symmetry cancels.

    Args:
        outputs: those that have no gradient are left out.
        magnitude: adds absolute values.
    """
    parts = [output.float().flatten() for output in outputs if output.requires_grad]
    parts = [part.detach().abs() for part in parts] if magnitude else parts
    return torch.stack([part @ torch.linspace(0.5, 1.5, part.numel()) for part in parts]).sum()


def _input_names(module: nn.Module, count: int) -> list[str]:
    parameters = inspect.signature(module.forward).parameters.values()
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return (names + [f"[{i}]" for i in range(len(names), count)])[:count]


def _named(path: str, names: list[str]) -> str:
    position, rest = path[1:].split("]", 1)
    return f"'{names[int(position)]}{rest}'"
