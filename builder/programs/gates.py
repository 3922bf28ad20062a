"""The gates every program passes before it is captured: cheap, on the CPU, in eager mode.

A program must be small enough, give finite tensors, give them again on the same seed, let every
input and parameter count, and keep no Python state from one forward to the next.  What fails is
rejected with a kind, and a message that says what to change.

What a program costs is found on fake tensors; its values are looked at on the smallest of its input
sets.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder.config import Limits
from builder.errors import ProgramRejected
from builder.programs.attributes import attribute_images, changed_attributes
from builder.programs.influence import without_influence
from builder.programs.load import FORWARD_SEED
from builder.programs.measure import Cost, measure
from builder.programs.tree import aliased, identical, leaves, tensors

if TYPE_CHECKING:
    from builder.programs.load import LoadedProgram

_SCALARS = (bool, int, float, complex, type(None))
_REDRAWS = (1, 2, 3)
_Shapes = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], tuple[str, ...]]
_QUICK = 50_000_000
"""Operations of a forward up to which it runs on ``get_inputs`` though a variant is smaller."""
_NAMED = 4  # changed attributes that a message names


@dataclass(frozen=True)
class GateReport:
    """What the gates learned of a program they let through.

    Attributes:
        input_shapes: of every tensor among the inputs, in order.
        output_shapes: of every tensor among the outputs, in order.
        output_dtypes: of the same, as ``float32``.
        flops: of one forward, see ``measure.Cost``.
        bytes: the most that is held at once.
        declared: the same of ``get_inputs``, where they are of a variant.
        variant: the input set that shapes and costs are of, ``None`` for ``get_inputs``; a variant
            only where ``get_inputs`` is too large.
        probed: the input set whose values were looked at.
        too_large: the input sets that are above the limits, in the same notation.
        stochastic: whether the program draws random numbers: with torch's generator elsewhere, it
            gives something else.
    """

    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    output_dtypes: tuple[str, ...]
    flops: int
    bytes: int
    variant: int | None = None
    too_large: tuple[int | None, ...] = ()
    stochastic: bool = False
    declared: Cost | None = None
    probed: int | None = None


def check(
    loaded: LoadedProgram, limits: Limits | None = None, *, strict: bool = False
) -> GateReport:
    """Runs all gates.

    Args:
        loaded: the program; its code runs in this process.
        limits: ``work_bytes`` and ``work_flops`` are observed.
        strict: whether inputs and parameters must matter for values as they are drawn; otherwise
            it is enough that far larger ones do.

    Returns:
        What was learned.

    Raises:
        ProgramRejected: ``too_large``, ``not_tensors``, ``not_finite``, ``nondeterministic``,
            ``constant_output``, ``ignores_input``, ``aliased_inputs``, ``mutates_attributes``, or
            the kinds of loading where user code raises.
    """
    limits = limits or Limits()
    fitting, cost, too_large = _fitting_sets(loaded, limits)
    probed = fitting[0]
    if cost.complete and len(fitting) > 1:
        probed = min(fitting[1:], key=lambda variant: _elements(loaded, variant))
    _check_aliases(cost.aliased, _named(fitting[0]))
    with torch.no_grad():
        shapes, is_random = _check_values(loaded, probed, cost, strict=strict)
        for variant in fitting:
            if variant != probed and (variant is not None or cost.flops <= _QUICK):
                _check_set(loaded, variant)
    if probed != fitting[0]:
        shapes = cost.input_shapes, cost.output_shapes, cost.output_dtypes
    above = tuple(variant for variant, _ in too_large)
    declared = dict(too_large).get(None)
    return GateReport(
        *shapes,
        cost.flops,
        cost.bytes,
        fitting[0],
        above,
        is_random,
        declared=declared,
        probed=probed,
    )


def _elements(loaded: LoadedProgram, variant: int | None) -> int:
    """How many elements the tensors among the inputs of a set have."""
    return sum(tensor.numel() for tensor in tensors(loaded.make_inputs(0, variant)))


def _check_set(loaded: LoadedProgram, variant: int | None) -> None:
    """Runs a program on one of its input sets."""
    inputs = loaded.make_inputs(0, variant)
    _check_aliases(aliased(inputs), _named(variant))
    _check_outputs(_run(loaded, loaded.make_module(), inputs), _named(variant))


def _named(variant: int | None) -> str:
    return "get_inputs" if variant is None else f"get_shape_variants()[{variant}]"


def sets_above(loaded: LoadedProgram, limits: Limits) -> tuple[int | None, ...]:
    """The input sets that are above the limits, ``None`` for ``get_inputs``.

    Raises:
        ProgramRejected: ``too_large``: all of them.
    """
    return tuple(variant for variant, _ in _fitting_sets(loaded, limits)[2])


# --- size -----------------------------------------------------------------------------------


def _fitting_sets(
    loaded: LoadedProgram, limits: Limits
) -> tuple[list[int | None], Cost, list[tuple[int | None, Cost]]]:
    """The input sets within the limits, the cost of the first, and the sets above the limits with
    their costs.
    """
    fitting: list[tuple[int | None, Cost]] = []
    too_large: list[tuple[int | None, Cost]] = []
    for variant in (None, *range(loaded.num_variants)):
        if fitting and fitting[0][0] is None and _is_smaller(loaded, variant, fitting[0][1]):
            fitting.append((variant, fitting[0][1]))
            continue
        cost = measure(loaded, variant) or _cost_of_inputs(loaded, variant)
        large = cost.bytes > limits.work_bytes or cost.flops > limits.work_flops
        (too_large if large else fitting).append((variant, cost))
    if not fitting:
        raise ProgramRejected("too_large", _too_large_message(too_large[0][1], limits))
    return [variant for variant, _ in fitting], fitting[0][1], too_large


def _is_smaller(loaded: LoadedProgram, variant: int | None, declared: Cost) -> bool:
    """Whether a variant's inputs are no larger than those that are declared, which fit."""
    elements = sum(map(math.prod, declared.input_shapes))
    return declared.complete and _elements(loaded, variant) <= elements


def _too_large_message(cost: Cost, limits: Limits) -> str:
    return (
        f"holds {_mebi(cost.bytes)} MiB and takes {_mega(cost.flops)} million operations; the "
        f"limits are {_mebi(limits.work_bytes)} MiB and {_mega(limits.work_flops)} million; choose "
        "smaller inputs or add smaller sets to get_shape_variants"
    )


def _mebi(number: int) -> str:
    return f"{-(-number // (1 << 20)):,}"


def _mega(number: int) -> str:
    return f"{-(-number // 10**6):,}"


def _cost_of_inputs(loaded: LoadedProgram, variant: int | None) -> Cost:
    """For programs that fake tensors cannot construct: what parameters, buffers and inputs hold."""
    module = loaded.make_module()
    state = [*module.parameters(), *module.buffers()]
    held = [*state, *tensors(loaded.make_inputs(0, variant))]
    return Cost(0, sum(tensor.nbytes for tensor in held), (), complete=False)


# --- values ---------------------------------------------------------------------------------


def _check_values(
    loaded: LoadedProgram, variant: int | None, cost: Cost, *, strict: bool
) -> tuple[_Shapes, bool]:
    """The shapes of inputs and outputs, the outputs' types, and whether forward is random."""
    module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
    if not tensors(inputs):
        raise ProgramRejected(
            "ignores_input",
            "get_inputs returns no tensor; return the tensors that forward computes on",
        )
    _check_aliases(aliased(inputs), _named(variant))
    attributes = attribute_images(module)
    outputs = _run(loaded, module, inputs)
    _check_outputs(outputs, "forward")
    _check_attributes(attributes, attribute_images(module))
    if strict:
        _check_uneven(outputs)
    is_random = _check_repeats(loaded, variant, outputs, cost)
    _check_dependence(loaded, module, inputs, variant, outputs, strict=strict)
    found = tensors(outputs)
    shapes = (
        tuple(tuple(tensor.shape) for tensor in tensors(inputs)),
        tuple(tuple(tensor.shape) for tensor in found),
        tuple(str(tensor.dtype).removeprefix("torch.") for tensor in found),
    )
    return shapes, is_random


def check_dependence(
    loaded: LoadedProgram, variant: int | None = None, *, strict: bool = False
) -> None:
    """Refuses a program whose results show nothing of what it is given.

    Random numbers are the same in all its runs, so that none of them passes for an input.

    Args:
        loaded: the program.
        variant: the input set to look at, ``None`` for ``get_inputs``.
        strict: as for ``check``.

    Raises:
        ProgramRejected: ``constant_output`` or ``ignores_input``, or the kinds of loading where
            user code raises.
    """
    with torch.no_grad():
        module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
        outputs = _run(loaded, module, inputs)
        if strict:
            _check_uneven(outputs)
        _check_dependence(loaded, module, inputs, variant, outputs, strict=strict)


def _check_dependence(
    loaded: LoadedProgram,
    module: nn.Module,
    inputs: list[Any],
    variant: int | None,
    outputs: Any,
    *,
    strict: bool = False,
) -> None:
    _check_varies(loaded, module, variant, outputs)
    idle = without_influence(loaded, module, inputs, variant, tensors(outputs), strict=strict)
    if idle:
        raise ProgramRejected(
            "ignores_input",
            f"no output depends on {', '.join(idle)}; use it in forward or remove it",
        )


def _run(
    loaded: LoadedProgram, module: nn.Module, inputs: list[Any], seed: int = FORWARD_SEED
) -> Any:
    """One forward on copies of the inputs, which it may write to."""
    return loaded.run(module, copy.deepcopy(inputs), seed)


def _check_aliases(paths: tuple[str, str] | None, where: str) -> None:
    if paths is not None:
        raise ProgramRejected(
            "aliased_inputs",
            f"{where} returns one tensor as input{paths[0]} and input{paths[1]}; give each "
            "argument a tensor of its own",
        )


def _check_attributes(before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = changed_attributes(before, after)
    if changed:
        listed = ", ".join(f"self.{name}" for name in changed[:_NAMED])
        raise ProgramRejected(
            "mutates_attributes",
            f"forward changes {listed}, which the Triton module would lose; keep the state in a "
            "buffer (self.register_buffer) or do without",
        )


def _check_outputs(outputs: Any, where: str) -> None:
    found = list(leaves(outputs))
    for path, leaf in found:
        if isinstance(leaf, _SCALARS):
            continue
        if not isinstance(leaf, torch.Tensor) or leaf.layout is not torch.strided:
            kind = str(leaf.layout) if isinstance(leaf, torch.Tensor) else type(leaf).__name__
            raise ProgramRejected(
                "not_tensors",
                f"{where}: output{path} is a {kind}; return dense tensors, or lists, tuples or "
                "dicts of them",
            )
    if not tensors(outputs):
        raise ProgramRejected("not_tensors", f"{where} gives no tensor; return at least one")
    for path, leaf in found:
        if isinstance(leaf, torch.Tensor) and not _finite(leaf):
            raise ProgramRejected(
                "not_finite",
                f"{where}: output{path} holds {_first_bad(leaf)}; scale the inputs, or guard the "
                "division, logarithm, square root or fully masked row it comes from",
            )


def _finite(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(
        torch.isfinite(tensor).all()
    )


def _first_bad(tensor: torch.Tensor) -> str:
    count = int((~torch.isfinite(tensor)).sum())
    kind = "NaN" if bool(torch.isnan(tensor).any()) else "infinity"
    return f"{kind} ({count} of {tensor.numel()} elements are not finite)"


def _check_repeats(loaded: LoadedProgram, variant: int | None, outputs: Any, cost: Cost) -> bool:
    """A second construction from the same seed, with the generator elsewhere during forward.

    Returns:
        whether forward draws random numbers, by torch's generator and nothing else.
    """
    if _repeats(loaded, variant, outputs, FORWARD_SEED + 1):
        return False
    if _repeats(loaded, variant, outputs, FORWARD_SEED):
        return True
    drawn = f" (forward calls {', '.join(cost.random)})" if cost.random else ""
    raise ProgramRejected(
        "nondeterministic",
        f"two runs on the same seed differ{drawn}; draw random numbers with torch's global "
        "generator, and keep no state outside of buffers",
    )


def _repeats(loaded: LoadedProgram, variant: int | None, outputs: Any, seed: int) -> bool:
    """Whether a forward with the generator at a seed gives these outputs once more."""
    module, inputs = loaded.make_module(), loaded.make_inputs(0, variant)
    again = _run(loaded, module, inputs, seed)
    first, second = list(leaves(outputs)), list(leaves(again))
    return [path for path, _ in first] == [path for path, _ in second] and all(
        _same(a, b) for (_, a), (_, b) in zip(first, second, strict=True)
    )


def _check_uneven(outputs: Any) -> None:
    for path, leaf in leaves(outputs):
        if isinstance(leaf, torch.Tensor) and leaf.numel() > 1:
            first = leaf.flatten()[0]
            if bool((leaf == first).all()):
                raise ProgramRejected(
                    "constant_output",
                    f"output{path} has one value everywhere; return what differs by place",
                )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return identical(a, b)
    return type(a) is type(b) and (a == b or a != a)  # noqa: PLR0124 - NaN


def _check_varies(
    loaded: LoadedProgram, module: nn.Module, variant: int | None, outputs: Any
) -> None:
    """Every output changes with some fresh draw of the inputs."""
    constant = [path for path, leaf in leaves(outputs) if isinstance(leaf, torch.Tensor)]
    first = dict(leaves(outputs))
    for seed in _REDRAWS:
        fresh = dict(leaves(_run(loaded, module, loaded.make_inputs(seed, variant))))
        constant = [path for path in constant if path in fresh and _same(first[path], fresh[path])]
        if not constant:
            return
    raise ProgramRejected(
        "constant_output",
        f"output{constant[0]} is the same for every draw of get_inputs; return what depends on the "
        "inputs, and draw them with torch's global generator",
    )
