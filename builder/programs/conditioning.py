"""Whether rounding decides what a program gives.

Programs of narrow types are held against float32, others against float64.  Where a good part of the
results is far off, no comparison with them shows much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from builder.errors import ProgramRejected
from builder.programs.influence import is_narrow, unchanged, usual, widened
from builder.programs.tree import tensors

if TYPE_CHECKING:
    from builder.programs.influence import Subject
    from builder.programs.load import LoadedProgram

_OFF = 2.0**-3
_OFF_WIDE = 2.0**-8
"""How far off an element of a result may be, of its size and what is usual there: of narrow types,
and of float32.
"""
_FEW = 0.005
"""Share of a result's elements that may be further off: those next to a decision."""


def check_conditioning(
    loaded: LoadedProgram, subject: Subject, outputs: list[torch.Tensor]
) -> None:
    """The program's own types give what finer ones give, but for roundings.

    Args:
        loaded: the program, which draws no random numbers.
        subject: its run, in float32 where its types are narrower.
        outputs: what it gave in its own types.

    Raises:
        ProgramRejected: ``ill_conditioned``.
    """
    if subject.is_wide:
        _check(outputs, subject.outputs, _OFF, "float32")
        return
    held = [*tensors(subject.inputs), *subject.module.parameters()]
    if any(map(is_narrow, held)):
        return
    try:
        module = unchanged(loaded, subject.module)
        module, inputs = widened(module, subject.inputs, torch.float64)
        exact = tensors(loaded.run(module, inputs))
    except (ProgramRejected, RuntimeError, TypeError):
        return  # it names a type, or holds none of another
    if [tensor.shape for tensor in exact] == [tensor.shape for tensor in outputs]:
        _check(outputs, exact, _OFF_WIDE, "float64")


def _check(outputs: list[torch.Tensor], exact: list[torch.Tensor], off: float, finer: str) -> None:
    shares = (
        float(
            ((a.double() - b.double()).abs() > off * (b.double().abs() + usual(b))).double().mean()
        )
        for a, b in zip(outputs, exact, strict=True)
        if b.is_floating_point() and b.numel()
    )
    share = max(shares, default=0.0)
    if share > _FEW:
        message = (
            f"{share:.2g} of an output is {off:.2g} or more off what {finer} gives; rounding "
            "decides there, so compute in a wider type, or with smaller numbers"
        )
        raise ProgramRejected("ill_conditioned", message)
