"""Input sets that are too large to run: what their kernels are launched with, on fake tensors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from builder import execute
from builder.programs.fake import fake_program, fake_tensors
from builder.verify.modules import new_class, own_default_dtype, triton_errors
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from builder.execute import Launch
    from builder.programs.load import LoadedProgram


def noted_launches(
    program: LoadedProgram, text: ModuleType, variants: Sequence[int | None]
) -> list[tuple[tuple[tuple[int, ...], ...], list[Launch]]]:
    """The launches of a Triton module's forward on fake inputs.

    Args:
        program: gives the arguments of constructor and forward.
        text: the imported Triton file.
        variants: input sets, ``None`` for ``get_inputs``.

    Returns:
        for each input set the shapes of its tensors, and the launches.

    Raises:
        VerificationRejected: ``triton_error``, if the module refuses an input set with
            ``ValueError`` too, or cannot do without values.
        ExecutionError: ``grid``, where CUDA would refuse a launch.
        ProgramRejected: the program cannot do without values.
    """
    fake = fake_program(program)
    name, found = new_class(program, text)
    twin = dataclasses.replace(fake, entry_point=name, namespace={**fake.namespace, name: found})
    with triton_errors("constructor"), torch.no_grad(), own_default_dtype():
        new = twin.make_module()
    result = []
    for variant in variants:
        inputs = fake.make_inputs(0, variant)
        shapes = tuple(tuple(map(int, tensor.shape)) for tensor in tensors_in(inputs))
        result.append((shapes, _launches(fake.mode, new, inputs)))
    return result


def _launches(mode: Any, new: torch.nn.Module, inputs: list[Any]) -> list[Launch]:
    with (
        torch.no_grad(),
        own_default_dtype(),
        execute.launches_noted() as trace,
        fake_tensors(mode),
        triton_errors("forward"),
    ):
        new(*inputs)
    return trace.launches
