"""Which inputs and parameters have no influence on any output."""

from __future__ import annotations

import copy
import inspect
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ProgramRejected
from builder.programs.load import FORWARD_SEED
from builder.programs.tree import identical, leaves, replaced, tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import nn

    from builder.programs.load import LoadedProgram

_GRADIENTS_FROM = 4  # floating tensors from which on one backward is cheaper than their forwards
_ROUNDINGS = 4.0
_CLEAR_ROUNDINGS = 16.0
_CLEAR = 2.0**-15
"""Share of a result that a strict probe wants to see moved: what is less may be mere noise."""
_USUAL = 0.125
"""Of the root mean square: what nearly cancels moves by much of itself, and that is noise."""
_LOOKED_AT = 1024
_STRENGTHS = (1.0, 16.0, -16.0)  # the large ones for thresholds
_STRICT = (0.25,)
_SEEDS = (1, 2)


@dataclass(frozen=True)
class Subject:
    """What is looked at: one run of a program.

    Attributes:
        module: the program's.
        inputs: arguments of ``forward``.
        result: what it gives for them.
        strict: whether more than a few roundings have to move.
        epsilon: of the coarsest type of the program's tensors.
        is_wide: whether narrow tensors are float32.
    """

    module: nn.Module
    inputs: list[Any]
    result: Any
    strict: bool
    epsilon: float
    is_wide: bool = False

    @cached_property
    def outputs(self) -> list[torch.Tensor]:
        """The tensors in the result."""
        return tensors(self.result)

    @cached_property
    def bounds(self) -> list[float]:
        """What counts as a usual size in each of them, see ``usual``."""
        return [usual(output) if output.is_floating_point() else 0.0 for output in self.outputs]

    def rerun(
        self, loaded: LoadedProgram, module: nn.Module, inputs: list[Any], seed: int = FORWARD_SEED
    ) -> Any:
        """What another module, or the same, gives for other inputs; copies where that is needed."""
        if self.is_wide:
            module, inputs = widened(module, inputs)
        else:
            inputs = copy.deepcopy(inputs)
        return loaded.run(module, inputs, seed)

    def differs(self, outputs: list[torch.Tensor]) -> bool:
        """Whether other outputs are not these."""
        own = self.outputs
        if len(outputs) != len(own):
            return True
        if self.strict:
            share = max(_CLEAR_ROUNDINGS * self.epsilon, _CLEAR)
            known = zip(outputs, own, self.bounds, strict=True)
            return not all(_is_close(a, b, share, size) for a, b, size in known)
        return not all(identical(a, b) for a, b in zip(outputs, own, strict=True))


def subject_of(
    loaded: LoadedProgram,
    module: nn.Module,
    inputs: list[Any],
    result: Any,
    *,
    strict: bool,
    around: AbstractContextManager[Any] | None = None,
) -> Subject:
    """The run, in float32 where it is narrower and a strict look allows for the roundings anyhow.

    Products of narrow types take a CPU many times as long.

    Args:
        loaded: the program.
        module: its module.
        inputs: arguments of ``forward``.
        result: what it gives for them.
        strict: whether more than a few roundings have to move.
        around: entered for another run, if there is one.
    """
    held, outputs = [*tensors(inputs), *module.parameters()], tensors(result)
    found = Subject(module, inputs, result, strict, _epsilon([*held, *outputs]))
    if not strict or not any(map(is_narrow, held)):
        return found
    try:
        module, inputs = widened(unchanged(loaded, module), inputs)
        with around or nullcontext():
            wide = loaded.run(module, copy.deepcopy(inputs))
    except (ProgramRejected, RuntimeError, TypeError):
        return found
    if [tensor.shape for tensor in tensors(wide)] != [tensor.shape for tensor in outputs]:
        return found
    return Subject(module, inputs, wide, strict, found.epsilon, is_wide=True)


def unchanged(loaded: LoadedProgram, module: nn.Module) -> nn.Module:
    """The program's module as it is constructed; one that has run may have written to a buffer."""
    return loaded.make_module() if any(True for _ in module.buffers()) else module


def without_influence(
    loaded: LoadedProgram,
    subject: Subject,
    variant: int | None,
    *,
    varied: bool = False,
) -> list[str]:
    """Names of the tensor inputs and parameters that change no bit of any output.

    An element of a container among the inputs is named by its path, ``states[1]``.  Gradients that
    are more than a rounding settle most tensors at once; each of the others gets other values of
    its kind, and unless the look is strict far larger ones, too, for thresholds; a strict look ends
    with the first name.  Where the outputs are known to have ``varied`` with the inputs, a single
    tensor among these is why.
    """
    module, inputs = subject.module, subject.inputs
    probe = _Probe(loaded, subject, variant)
    names = _input_names(module, len(inputs))
    given = [(path, leaf) for path, leaf in leaves(inputs) if isinstance(leaf, torch.Tensor)]
    asked: list[tuple[str, str, Callable[[], bool]]] = [
        (path, f"input {_named(path, names)}", partial(probe.input_matters, path, leaf))
        for path, leaf in given
        if not (varied and len(given) == 1)
    ]
    asked += [
        (name, f"parameter {name!r}", partial(probe.parameter_matters, name, parameter))
        for name, parameter in module.named_parameters()
    ]
    if subject.strict:  # the least likely to matter first: one that does not is enough
        asked.sort(key=lambda one: probe.contributions.get(one[0], 0.0))
    idle = (title for _, title, matters in asked if not matters())
    return list(islice(idle, 1 if subject.strict else None))


class _Probe:
    def __init__(self, loaded: LoadedProgram, subject: Subject, variant: int | None) -> None:
        self.loaded, self.subject = loaded, subject
        seeds = _SEEDS[:1] if subject.strict else _SEEDS
        self.others = [dict(leaves(loaded.make_inputs(seed, variant))) for seed in seeds]
        self.contributions = _contributions(loaded, subject)

    def _is_known(self, name: str) -> bool:
        return self.contributions.get(name, 0.0) > 1.0

    def input_matters(self, path: str, leaf: torch.Tensor) -> bool:
        if self._is_known(path):
            return True
        return any(
            self._changes(replaced(self.subject.inputs, path, other))
            for other in self._others(path, leaf)
        )

    def parameter_matters(self, name: str, parameter: nn.Parameter) -> bool:
        if self._is_known(name):
            return True
        own = parameter.detach().clone()
        try:
            return any(
                self._changes(self.subject.inputs)
                for strength in (_STRICT if self.subject.strict else _STRENGTHS)
                if parameter.data.copy_(nudged(own, strength)) is not None
            )
        finally:
            parameter.data.copy_(own)

    def _others(self, path: str, leaf: torch.Tensor) -> Iterator[torch.Tensor]:
        """Other draws of the input where they differ, then values made from its own."""
        drawn = [other.get(path) for other in self.others]
        alike = [t.to(leaf.dtype) for t in drawn if isinstance(t, torch.Tensor)]
        fresh = [tensor for tensor in alike if not identical(tensor, leaf)]
        yield from fresh
        if not (self.subject.strict and fresh):
            strengths = _STRICT if self.subject.strict else _STRENGTHS
            yield from (nudged(leaf, strength) for strength in strengths)

    def _changes(self, inputs: list[Any]) -> bool:
        try:
            outputs = tensors(self.loaded.run(self.subject.module, copy.deepcopy(inputs)))
        except ProgramRejected:
            return True  # it did not like the values, so it looked at them
        return self.subject.differs(outputs)


def _is_close(a: torch.Tensor, b: torch.Tensor, share: float, size: float) -> bool:
    """Whether no element differs by more than a share of it and of what is usual.

    A look at a few elements tells most that differ.
    """
    if a.dtype == b.dtype and torch.equal(a, b):
        return True
    if a.shape != b.shape or not (a.is_floating_point() and b.is_floating_point()):
        return False
    a, b = a.flatten(), b.flatten()
    step = max(a.numel() // _LOOKED_AT, 1)
    return all(
        bool(((one - other).abs() <= share * (other.abs() + size)).all())  # NaN is not close
        for one, other in ((a[::step].float(), b[::step].float()), (a.float(), b.float()))
    )


def usual(tensor: torch.Tensor) -> float:
    """A part of the root mean square: what nearly cancels moves by much of itself."""
    return _USUAL * float(torch.linalg.vector_norm(tensor.float())) / max(tensor.numel(), 1) ** 0.5


def nudged(tensor: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Other values of the same kind: floats are scaled and shifted unequally, others move."""
    if tensor.is_floating_point() or tensor.is_complex():
        pattern = torch.linspace(0.25, 1.0, tensor.numel(), dtype=torch.float32)
        shift = pattern.mul_(strength).reshape(tensor.shape).mul_(tensor.abs().float().add_(1))
        return shift.to(tensor.dtype).add_(tensor)
    rolled = tensor.flatten().roll(1).reshape(tensor.shape)
    if not identical(rolled, tensor):
        return rolled
    return ~tensor if tensor.dtype == torch.bool else tensor + 1


def _contributions(loaded: LoadedProgram, subject: Subject) -> dict[str, float]:
    """How far other values of each floating tensor would move the outputs, by path or name.

    To first order, and as a multiple of what is more than a rounding: what a tensor contributes may
    be so small that it is lost in a sum, though its gradient is not.  Empty where there are few of
    them, or the program cannot be differentiated within the memory.
    """
    count = sum(map(_is_float, (*tensors(subject.inputs), *subject.module.parameters())))
    if count < _GRADIENTS_FROM:
        return {}
    try:
        module, own = widened(subject.module, subject.inputs)
    except (RuntimeError, TypeError):
        return {}
    watched = {
        path: leaf
        for path, leaf in (*leaves(own), *module.named_parameters())
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    }
    frozen = [leaf for leaf in watched.values() if not leaf.requires_grad]
    try:
        with torch.enable_grad():
            for leaf in frozen:
                leaf.requires_grad = True
            outputs = tensors(loaded.run(module, own))
            total = _weighted(outputs)
            size = float(_weighted(outputs, magnitude=True))
            roundings = _CLEAR_ROUNDINGS if subject.strict else _ROUNDINGS
            least = roundings * max(subject.epsilon, _epsilon(outputs)) * size
            least = max(least, _CLEAR * size) if subject.strict else least
            given = torch.autograd.grad(total, list(watched.values()), allow_unused=True)
    except (ProgramRejected, RuntimeError, MemoryError):
        return {}
    finally:
        for leaf in frozen:
            if leaf.is_leaf:
                leaf.requires_grad = False
    found = zip(watched.items(), given, strict=True)
    return {
        name: _contribution(leaf, grad) / least
        for (name, leaf), grad in found
        if grad is not None and least > 0
    }


def widened(
    module: nn.Module, inputs: list[Any], dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, list[Any]]:
    """Copies, of another type where they are narrower."""
    own = copy.deepcopy(inputs)
    if not any(is_narrow(tensor, dtype) for tensor in (*tensors(inputs), *module.parameters())):
        return module, own
    for path, leaf in leaves(own):
        if isinstance(leaf, torch.Tensor) and is_narrow(leaf, dtype):
            own = replaced(own, path, leaf.to(dtype))
    wide = copy.deepcopy(module)
    for tensor in (*wide.parameters(), *wide.buffers()):
        if is_narrow(tensor, dtype):
            tensor.data = tensor.data.to(dtype)
    return wide, own


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def is_narrow(tensor: torch.Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether a tensor's floating type is narrower than another."""
    return tensor.is_floating_point() and tensor.element_size() < dtype.itemsize


def _contribution(leaf: torch.Tensor, grad: torch.Tensor) -> float:
    """How far other values would move the weighted sum, to first order."""
    own = leaf.detach().float()
    return abs(float(((nudged(own, _STRICT[0]) - own) * grad.float()).sum()))


def _epsilon(tensors_in_play: list[torch.Tensor]) -> float:
    """Of the coarsest type."""
    floats = [tensor.dtype for tensor in tensors_in_play if tensor.is_floating_point()]
    return max((torch.finfo(dtype).eps for dtype in floats), default=0.0)


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
