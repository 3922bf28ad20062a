"""A check of accepted programs that shares nothing with the gates.

Gates perturb values and follow gradients.  Here each input is replaced by another draw of itself,
alone, and each parameter by its own values in reverse, with noise: a norm behind a norm takes a
uniform change away.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from builder.programs.tree import tensors

if TYPE_CHECKING:
    from torch import nn

    from builder.programs.load import LoadedProgram

_SEEDS = (101, 102, 103)
_MORE_SEEDS = tuple(range(104, 112))


def faults(loaded: LoadedProgram, variant: int | None = None) -> list[str]:
    """What is wrong with a program, each as a kind and what it is about.

    Args:
        loaded: the program.
        variant: the input set to look at, ``None`` for ``get_inputs``.

    Returns:
        ``not finite``, ``constant`` and ``insensitive``, each followed by the output it is about,
        or the input or parameter that no output reacts to.
    """
    with torch.no_grad():
        module = loaded.make_module(_SEEDS[0])
        draws = [loaded.make_inputs(seed, variant) for seed in _SEEDS]
        outputs = _outputs(loaded, module, draws[0])
        found = [f"{kind} output {n}" for n, one in enumerate(outputs) for kind in _bad(one)]
        reacts = [False] * len(outputs)
        for place in range(len(tensors(draws[0]))):
            changed = [
                _changes(outputs, _outputs(loaded, module, _exchanged(draws[0], other, place)))
                for other in _others(loaded, variant, draws, place)
            ]
            reacts = [one or any(each) for one, *each in zip(reacts, *changed, strict=True)]
            if not any(map(any, changed)):
                found.append(f"insensitive input {place}")
        found += [f"insensitive output {n}" for n, one in enumerate(reacts) if not one]
        return found + _idle_parameters(loaded, module, draws[0], outputs)


def _outputs(loaded: LoadedProgram, module: nn.Module, inputs: list[Any]) -> list[torch.Tensor]:
    fresh = copy.deepcopy(module)  # forward may update buffers
    return [out.clone() for out in tensors(loaded.run(fresh, copy.deepcopy(inputs)))]


def _bad(output: torch.Tensor) -> list[str]:
    values = output.double() if not output.is_complex() else torch.view_as_real(output).double()
    if not bool(torch.isfinite(values).all()):
        return ["not finite"]
    constant = values.numel() > 1 and bool((values == values.flatten()[0]).all())
    return ["constant"] if constant else []


def _others(
    loaded: LoadedProgram, variant: int | None, draws: list[list[Any]], place: int
) -> list[list[Any]]:
    """Draws to take a tensor from; more of them where few indices came out the same each time."""
    first, *others = (tensors(draw)[place] for draw in draws)
    if not all(torch.equal(other, first) for other in others):
        return draws[1:]
    return [loaded.make_inputs(seed, variant) for seed in _MORE_SEEDS]


def _exchanged(inputs: list[Any], other: list[Any], place: int) -> list[Any]:
    """Inputs with one tensor, by its number, taken from another draw."""
    mixed = copy.deepcopy(inputs)
    tensors(mixed)[place].data.copy_(tensors(other)[place])
    return mixed


def _changes(before: list[torch.Tensor], after: list[torch.Tensor]) -> list[bool]:
    return [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]


def _idle_parameters(
    loaded: LoadedProgram, module: nn.Module, inputs: list[Any], outputs: list[torch.Tensor]
) -> list[str]:
    found = []
    generator = torch.Generator().manual_seed(_SEEDS[0])
    for name, parameter in module.named_parameters():
        own = parameter.detach().clone()
        noise = 0.25 + 0.1 * torch.randn(own.shape, generator=generator)
        parameter.data.copy_(own.flatten().flip(0).reshape(own.shape) * 1.5 + noise)
        if not any(_changes(outputs, _outputs(loaded, module, inputs))):
            found.append(f"insensitive parameter {name}")
        parameter.data.copy_(own)
    return found
