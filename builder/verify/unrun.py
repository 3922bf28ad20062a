"""Input sets that are too large to run: what can be said of them on fake tensors.

How kernels are launched there, whether a GPU could launch them, and what is returned.  That the
values are right follows from their being right at other sizes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder import execute
from builder.config import Limits
from builder.errors import VerificationRejected
from builder.programs.fake import FakeProgram, fake_program, fake_tensors
from builder.programs.gates import sets_above
from builder.programs.load import LoadedProgram, load_program
from builder.verify.guard import Guard
from builder.verify.modules import new_class, own_default_dtype, triton_errors
from builder.verify.structure import flatten, tensors_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from builder.execute import Launch
    from builder.verify.library import LibraryCalls

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Noted:
    """What a Triton module does on an input set, without its values.

    Attributes:
        shapes: of the tensors of the input set.
        launches: of one forward.
    """

    shapes: Shapes
    launches: list[Launch]


def unrun_sets(
    python_code: str, entry_point: str, limits: Limits | None = None
) -> tuple[int | None, ...]:
    """The input sets of a program that are too large to run, ``None`` for ``get_inputs``.

    Raises:
        ProgramRejected: the program does not load, or all of them are too large.
    """
    return sets_above(load_program(python_code, entry_point), limits or Limits())


def noted_launches(
    program: LoadedProgram,
    text: ModuleType,
    variants: Sequence[int | None],
    library: LibraryCalls | None = None,
    *,
    compared: bool = True,
) -> list[Noted]:
    """The launches of a Triton module's forward on fake inputs.

    Args:
        program: gives the arguments of constructor and forward.
        text: the imported Triton file.
        variants: input sets, ``None`` for ``get_inputs``.
        library: operators that the module may call.
        compared: what it returns is held against what the program returns, and addresses must not
            overflow; without, only what would end the run is found.

    Raises:
        VerificationRejected: ``triton_error``, if the module refuses an input set or needs values;
            ``host_compute``; ``no_launch``; ``structure``, if it does not return what the program
            does.
        ExecutionError: ``grid``, ``overflow`` or ``compile``, see ``execute.launches_noted``.
        ProgramRejected: the program needs values.
    """
    fake = fake_program(program)
    name, found = new_class(program, text)
    twin = dataclasses.replace(fake, entry_point=name, namespace={**fake.namespace, name: found})
    with triton_errors("constructor"), torch.no_grad(), own_default_dtype():
        new = twin.make_module()
    result = []
    for variant in variants:
        noted, returned = _noted(fake, new, variant, library, addresses=compared)
        if compared:
            _compare(fake, variant, returned)
        result.append(noted)
    return result


def repeated_loops(launches: Sequence[Launch]) -> set[tuple[str, int]]:
    """Kernels, and lines of their loops that go round more than once in some launch."""
    return {(one.kernel.__name__, line) for one in launches for line in one.repeated_loops()}


def check_loops(noted: Sequence[Noted], run: Sequence[Launch]) -> None:
    """Whether each loop that goes round again on what is too large did so in some run, too.

    Args:
        noted: launches on what is too large to run.
        run: those that were run.

    Raises:
        VerificationRejected: ``too_large``.
    """
    known = repeated_loops(run)
    for launch in (launch for found in noted for launch in found.launches):
        name = launch.kernel.__name__
        lines = [line for line in launch.repeated_loops() if (name, line) not in known]
        if lines:
            message = (
                f"the loop in line {min(lines)}, of {name}, goes round again on an input set that "
                "is too large to run, and on no other; add larger ones to get_shape_variants"
            )
            raise VerificationRejected("too_large", message)


def _compare(fake: FakeProgram, variant: int | None, returned: str) -> None:
    with torch.no_grad(), fake_tensors(fake.mode):
        wanted = _returned(fake.run(fake.make_module(), fake.make_inputs(0, variant)))
    if returned != wanted:
        message = f"the program returns {wanted}, the Triton module {returned}"
        raise VerificationRejected("structure", message)


def _noted(
    fake: FakeProgram,
    new: nn.Module,
    variant: int | None,
    library: LibraryCalls | None,
    *,
    addresses: bool,
) -> tuple[Noted, str]:
    """The launches, and what is returned."""
    inputs = fake.make_inputs(0, variant)
    shapes = tuple(tuple(map(int, tensor.shape)) for tensor in tensors_in(inputs))
    with (
        torch.no_grad(),
        own_default_dtype(),
        execute.launches_noted(addresses=addresses) as trace,
        fake_tensors(fake.mode),
        Guard(library, poisons=False) as guard,
        triton_errors("forward"),
    ):
        returned = _returned(new(*inputs))
    guard.check()
    if not trace.launches:
        raise VerificationRejected("no_launch", "forward launched no kernel")
    return Noted(shapes, trace.launches), returned


def _returned(value: Any) -> str:
    """Nesting, types and shapes."""
    leaves, nesting = flatten(value)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    shown = [f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors]
    return f"{nesting} of {', '.join(shown)}"
