"""The gate of training pairs: the program can be differentiated, and its gradients are finite."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import SPARSE_ADVICE, ProgramRejected
from builder.programs.higher_order import dense_operators
from builder.programs.tree import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.programs.load import LoadedProgram

_ADVICE = "correct forward, or leave the inputs that it changes without requires_grad"


def check_gradients(loaded: LoadedProgram) -> None:
    """Differentiates the sum of all outputs once, in eager.

    Args:
        loaded: the program; its code runs in this process.

    Raises:
        ProgramRejected: ``nothing_differentiable``, ``sparse_tensor``, ``gradient_error`` or
            ``gradient_not_finite``.
    """
    module, inputs = loaded.make_module(), copy.deepcopy(loaded.make_inputs(0))
    named = dict(_differentiated([*leaves(inputs)]))
    named |= dict(_differentiated((f"self.{n}", p) for n, p in module.named_parameters()))
    if not named:
        raise ProgramRejected(
            "nothing_differentiable",
            "the module has no floating parameter and no input requires gradients; let get_inputs "
            "return tensors with requires_grad_()",
        )
    with torch.enable_grad(), loaded.user_code("gradient_error", _ADVICE), dense_operators():
        outputs = [leaf for _, leaf in leaves(module(*inputs)) if _requires_grad(leaf)]
        _reject_sparse(outputs)
        found = _gradients(outputs, list(named.values()))
    if all(value is None for value in found):
        raise ProgramRejected(
            "nothing_differentiable",
            f"no output depends on {', '.join(named)} by differentiable operations; return one "
            "that does",
        )
    for name, value in zip(named, found, strict=True):
        if value is not None and not bool(torch.isfinite(value).all()):
            raise ProgramRejected(
                "gradient_not_finite",
                f"the gradient of {name} holds NaN or infinities; keep away from where a square "
                "root, norm, division or logarithm has none",
            )


def _reject_sparse(outputs: list[torch.Tensor]) -> None:
    for output in outputs:
        if output.layout is not torch.strided:
            raise ProgramRejected(
                "sparse_tensor",
                f"forward returns a tensor of layout {output.layout}; {SPARSE_ADVICE}",
            )


def _gradients(outputs: list[torch.Tensor], named: list[torch.Tensor]) -> list[Any]:
    if not outputs:
        return [None] * len(named)
    ones = [torch.ones_like(output) for output in outputs]
    return list(torch.autograd.grad(outputs, named, ones, allow_unused=True))


def _requires_grad(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _differentiated(named: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for path, leaf in named:
        if _requires_grad(leaf):
            yield f"input{path}" if path.startswith("[") else path, leaf
