"""How the backward pass of a Triton module behaves, whatever it computes.

On one run of ``forward``: tangents whose elements are all one element of memory give the same bits
as dense ones, so do the gradients of some leaves only, a second backward pass finds what was saved
as it was, and a second derivative is refused.  And ``forward`` gives the same bits where gradients
are off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from builder import execute
from builder.errors import ExecutionError, VerificationRejected
from builder.verify.bits import bits_equal
from builder.verify.gradients import differentiable, differentiate, leaves_of
from builder.verify.guard import Guard
from builder.verify.memory import let_memory_failures_pass
from builder.verify.modules import triton_errors
from builder.verify.runner import Case, executing
from builder.verify.seams import outside_dispatch_modes
from builder.verify.structure import cloned, tensors_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.verify.library import LibraryCalls

Tensor = torch.Tensor


def check_protocol(case: Case, new: nn.Module, library: LibraryCalls | None = None) -> None:
    """Checks the module's ``forward`` and ``backward``.

    Args:
        case: inputs; copied.
        new: the Triton module, holding the case's state; copied.
        library: operators that it may call.

    Raises:
        VerificationRejected: ``tangent_strides``, ``double_backward`` or ``no_grad``, or what a run
            raises.
        ExecutionError: a kernel cannot be run or touches memory that it must not.
    """
    outputs = _check_backward(case, new, library)
    module, inputs = cloned((new, case.inputs))
    torch.default_generator.manual_seed(case.random_seed)
    with (
        executing(execute.ExecutionOptions(), Guard(library), differentiated=False),
        triton_errors("forward without gradients"),
    ):
        found = tensors_in(module(*inputs))
    if len(found) != len(outputs) or not all(map(bits_equal, found, outputs)):
        message = "forward gives other values under torch.no_grad()"
        raise VerificationRejected("no_grad", message)


def _check_backward(case: Case, new: nn.Module, library: LibraryCalls | None) -> list[Tensor]:
    """Checks ``backward`` and returns what ``forward`` gave."""
    module, inputs = cloned((new, case.inputs))
    guard = Guard(library)
    torch.default_generator.manual_seed(case.random_seed)
    with executing(execute.ExecutionOptions(), guard, differentiated=True):
        with triton_errors("forward"):
            out = module(*inputs)
        outputs, leaves = differentiable(out), leaves_of(module, inputs)
        if outputs:
            _check_passes(guard, outputs, leaves)
    return [tensor.detach() for tensor in tensors_in(out)]


def _check_passes(
    guard: Guard, outputs: Mapping[int, Tensor], leaves: Mapping[str, Tensor]
) -> None:
    with outside_dispatch_modes():
        stretched = {n: _stretched(n, output) for n, output in outputs.items()}
        dense = {n: tangent.clone() for n, tangent in stretched.items()}
        dense = {n: tangent.contiguous() for n, tangent in dense.items()}
    guard.let_copy([*stretched.values(), *dense.values()])
    with triton_errors("backward"):
        whole = differentiate(outputs, leaves, stretched, retain_graph=True)
        for names in (list(leaves)[::2], list(leaves)[1::2]):
            some = {name: leaves[name] for name in names}
            if not some:
                continue
            part = differentiate(outputs, some, dense, retain_graph=True)
            with outside_dispatch_modes():
                _compare(part.values, whole.values)
    _check_second_derivative(outputs, leaves, dense)


def _stretched(number: int, output: Tensor) -> Tensor:
    """One element of memory read as a tensor of the output's shape, as ``sum`` sends it."""
    return torch.full((), 1.0 + 0.25 * number, dtype=output.dtype).expand(output.shape)


def _compare(part: Mapping[str, Tensor | None], whole: Mapping[str, Tensor | None]) -> None:
    for name, value in part.items():
        other = whole[name]
        is_same = other is value or (
            other is not None and value is not None and bits_equal(value, other)
        )
        if not is_same:
            message = (
                f"{name} differs between tangents of stride 0 and dense ones, when other gradients "
                "are not asked for, or in a second backward pass"
            )
            raise VerificationRejected("tangent_strides", message)


def _check_second_derivative(
    outputs: Mapping[int, Tensor], leaves: Mapping[str, Tensor], given: Mapping[int, Tensor]
) -> None:
    """A graph of the gradients must not be had, or must not be differentiable."""
    try:
        found = torch.autograd.grad(
            list(outputs.values()),
            list(leaves.values()),
            list(given.values()),
            allow_unused=True,
            create_graph=True,
        )
        _differentiate_again(found, leaves.values())
    except (VerificationRejected, ExecutionError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever refuses is good
        let_memory_failures_pass(error)


def _differentiate_again(found: Iterable[Any], leaves: Iterable[Tensor]) -> None:
    able = [value for value in found if isinstance(value, Tensor) and value.requires_grad]
    if able:
        torch.autograd.grad([value.sum() for value in able], list(leaves), allow_unused=True)
    message = (
        "the gradients can be had with create_graph=True, but their own gradients are wrong or "
        "missing; let backward raise where torch.is_grad_enabled()"
    )
    raise VerificationRejected("double_backward", message)
