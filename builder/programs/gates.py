"""The gates every program passes before it is captured: cheap, on the CPU, in eager mode.

A program must be small enough, give finite tensors, give them again on the same seed, let every
input and parameter count, and keep no Python state from one forward to the next.  What fails is
rejected with a kind, and a message that says what to change.

What a program costs is found on fake tensors; its values are looked at on the smallest of its input
sets.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from builder.config import Limits
from builder.errors import ProgramRejected
from builder.programs.higher_order import dense_operators
from builder.programs.measure import Cost, Measured
from builder.programs.recall import RecallingProgram, recalling
from builder.programs.tree import aliased, tensors
from builder.programs.value_gates import (
    check_aliases,
    check_outputs,
    check_values,
    run_on_copies,
    set_name,
)

if TYPE_CHECKING:
    from torch import nn

    from builder.programs.load import LoadedProgram
    from builder.programs.measure import Shapes
    from builder.programs.structure import Structure

_QUICK = 50_000_000
"""Operations of a forward up to which it runs on ``get_inputs`` though a variant is smaller."""


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
        structure: as ``structure_of`` has it on that set; None where the set is too large to tell
            in passing.
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
    structure: Structure | None = None


def check(
    loaded: LoadedProgram,
    limits: Limits | None = None,
    *,
    strict: bool = False,
    nodes: int = 0,
    is_drawn: bool = False,
) -> GateReport:
    """Runs all gates.

    Args:
        loaded: the program; its code runs in this process.
        limits: ``work_bytes`` and ``work_flops`` are observed.
        strict: whether inputs and parameters must matter for values as they are drawn; otherwise
            it is enough that far larger ones do.
        nodes: results of operators that must matter as well, drawn from all there are.
        is_drawn: the sizes of all input sets were drawn with the program, and go together: one is
            run for all.

    Returns:
        What was learned.

    Raises:
        ProgramRejected: ``too_large``, ``not_tensors``, ``not_finite``, ``nondeterministic``,
            ``constant_output``, ``ignores_input``, ``idle_node``, ``ill_conditioned``,
            ``aliased_inputs``, ``mutates_attributes``, or the kinds of loading where user code
            raises.
    """
    with torch.no_grad(), dense_operators():
        return _check(
            recalling(loaded), limits or Limits(), strict=strict, nodes=nodes, is_drawn=is_drawn
        )


def _check(
    loaded: RecallingProgram, limits: Limits, *, strict: bool, nodes: int, is_drawn: bool
) -> GateReport:
    measured = Measured(loaded)
    fitting, cost, too_large = _fitting_sets(loaded, measured, limits)
    probed = fitting[0]
    if cost.complete and len(fitting) > 1:
        probed = min((v for v in fitting if v is not None), key=measured.elements)
    check_aliases(cost.aliased, set_name(fitting[0]))
    shapes, is_random, structure = check_values(loaded, probed, cost, strict=strict, nodes=nodes)
    module: nn.Module | None = None
    for variant in fitting:
        if variant == fitting[0] and cost.is_real:
            check_outputs(cost.outputs, set_name(variant))
        elif variant != probed and not is_drawn and (variant is not None or cost.flops <= _QUICK):
            module = _check_set(loaded, variant, module)
    if probed != fitting[0]:
        shapes = cost.input_shapes, cost.output_shapes, cost.output_dtypes
    above = tuple(variant for variant, _ in too_large)
    declared = dict(too_large).get(None)
    declared = declared and dataclasses.replace(declared, outputs=None)
    return GateReport(
        *shapes,
        cost.flops,
        cost.bytes,
        fitting[0],
        above,
        is_random,
        declared=declared,
        probed=probed,
        structure=structure,
    )


def _check_set(
    loaded: LoadedProgram, variant: int | None, module: nn.Module | None
) -> nn.Module | None:
    """Runs a program on one of its input sets.

    Args:
        loaded: the program.
        variant: the input set.
        module: constructed and as yet unchanged, if there is one.

    Returns:
        The module, unless the run has written to it.
    """
    inputs = loaded.make_inputs(0, variant)
    check_aliases(aliased(inputs), set_name(variant))
    module = module or loaded.make_module()
    before = _state_versions(module)
    check_outputs(run_on_copies(loaded, module, inputs), set_name(variant))
    return module if _state_versions(module) == before else None


def _state_versions(module: nn.Module) -> list[tuple[int, int]]:
    """Parameters and buffers by identity, and how often each was written to."""
    state = (*module.parameters(), *module.buffers())
    return [(id(tensor), tensor._version) for tensor in state]  # noqa: SLF001


def sets_above(loaded: LoadedProgram, limits: Limits) -> tuple[int | None, ...]:
    """The input sets that are above the limits, ``None`` for ``get_inputs``.

    Raises:
        ProgramRejected: ``too_large``: all of them.
    """
    return tuple(variant for variant, _ in _fitting_sets(loaded, Measured(loaded), limits)[2])


# --- size -----------------------------------------------------------------------------------


def _fitting_sets(
    loaded: LoadedProgram, measured: Measured, limits: Limits
) -> tuple[list[int | None], Cost, list[tuple[int | None, Cost]]]:
    """The input sets within the limits, the cost of the first, and the sets above the limits with
    their costs.
    """
    fitting: list[tuple[int | None, Cost]] = []
    too_large: list[tuple[int | None, Cost]] = []
    for variant in (None, *range(loaded.num_variants)):
        if fitting and _fits(measured.shapes(variant), fitting[0][1], limits):
            fitting.append((variant, fitting[0][1]))
            continue
        cost = measured.cost(variant) or _cost_of_inputs(loaded, variant)
        large = cost.bytes > limits.work_bytes or cost.flops > limits.work_flops
        (too_large if large else fitting).append((variant, cost))
    if not fitting:
        raise ProgramRejected("too_large", _too_large_message(too_large[0][1], limits))
    return [variant for variant, _ in fitting], fitting[0][1], too_large


def _fits(shapes: Shapes, known: Cost, limits: Limits) -> bool:
    """Whether a variant is within the limits as far as its inputs tell.

    It is if no dimension is larger than in a set that fits, or by so little that even squares of
    what that set holds would, and cubes of what it takes.
    """
    pairs = list(zip(shapes, known.input_shapes, strict=False))
    alike = len(shapes) == len(known.input_shapes) and all(len(a) == len(b) for a, b in pairs)
    if not known.complete or not alike or not all(map(math.prod, known.input_shapes)):
        return False
    growth = max(
        (math.prod(max(1.0, m / n) for m, n in zip(a, b, strict=True)) for a, b in pairs),
        default=1.0,
    )
    most_bytes, most_flops = known.bytes * growth**2, known.flops * growth**3
    return growth == 1.0 or (most_bytes <= limits.work_bytes and most_flops <= limits.work_flops)


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
