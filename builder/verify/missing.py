"""Which output's tangent an input set may leave out.

A tangent that is absent means one of zeros.  Some formulas of eager's do not know: PyTorch (2.11 to
2.13) drops the gradient of ``native_group_norm``'s mean where its reciprocal deviation has none
(``infinitely_differentiable_native_group_norm_backward`` of
``torch/csrc/autograd/FunctionsManual.cpp``).  What eager gives there is no reference, so a tangent
is left out only where eager gives what it gives for zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from builder.verify.floors import epsilon
from builder.verify.gradients import Gradients, differentiable, differentiate, leaves_of, tangents
from builder.verify.norm import largest, scale
from builder.verify.random_calls import RandomCalls
from builder.verify.structure import cloned

if TYPE_CHECKING:
    from builder.verify.runner import Case

Tensor = torch.Tensor

_ROUNDINGS = 64.0


def with_missing(case: Case) -> Case:
    """The case with one of several tangents left out, if it asks for that and eager knows how.

    Args:
        case: whose tangents may have the form ``missing``; copied for the runs.
    """
    upstream = case.upstream
    if upstream is None or upstream.form != "missing":
        return case
    module, inputs = cloned((case.module, case.inputs))
    torch.default_generator.manual_seed(0)
    with torch.enable_grad(), RandomCalls(case.random_seed):
        out = module(*inputs)
    outputs, leaves = differentiable(out), leaves_of(module, inputs)
    given = tangents(upstream, outputs)
    numbers = sorted(outputs)
    first = upstream.seed % max(len(numbers), 1)
    for number in [*numbers[first:], *numbers[:first]] if len(numbers) > 1 else ():
        others = {n: tangent for n, tangent in given.items() if n != number}
        zeros = {**given, number: torch.zeros_like(given[number])}
        without = differentiate(outputs, leaves, others, retain_graph=True)
        if _alike(without, differentiate(outputs, leaves, zeros, retain_graph=True)):
            return replace(case, upstream=replace(upstream, missing=number))
    return case


def _alike(without: Gradients, zeros: Gradients) -> bool:
    """Whether gradients differ by rounding at most; zeros may give NaN, as of an infinite slope."""
    for name, other in zeros.values.items():
        value = without.values[name]
        if other is not None and not _close(
            torch.zeros_like(other) if value is None else value, other
        ):
            return False
    return True


def _close(value: Tensor, other: Tensor) -> bool:
    wide, exact = value.to(torch.complex128), other.to(torch.complex128)
    allowed = _ROUNDINGS * epsilon(other.dtype) * (exact.abs() + 8.0 * scale(exact))
    differences = torch.nan_to_num((wide - exact).abs() - allowed)
    return largest(differences) <= 0.0
