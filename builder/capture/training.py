"""The backward half of a captured program: which value of one graph is which of the other.

AOTAutograd's partitioner gives two graphs.  The forward graph returns, besides the program's own
results, what the backward graph reads; that one takes these and the *tangents*, the gradients of
the program's results, and returns a gradient for each argument of the forward graph.  Both are
called with stand-ins, which are bound by their storage: every result and every tangent has one of
its own, so no shape is compared.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from builder.capture import binding
from builder.capture.inductor import tangent_format
from builder.capture.origins import Origins
from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder.capture.inductor import GraphRecord
    from builder.capture.kernels import Kernel

TANGENTS = "_tangents"
"""The name under which expressions speak of the gradients of the forward graph's results."""

Named = tuple[str, torch.Tensor]

_RESULT = re.compile(rf"{binding.OUTPUTS}\[(\d+)\]")


@dataclass(frozen=True)
class Tangent:
    """How the backward graph takes the gradient of a result.

    Attributes:
        result: which result of the forward graph; ``TANGENTS[result]`` in expressions.
        memory_format: ``contiguous_format``, ``channels_last`` or ``channels_last_3d``.
    """

    result: int
    memory_format: str


@dataclass(frozen=True)
class Gradient:
    """What backward returns for an argument of the forward graph.

    Attributes:
        argument: its expression.
        result: which result of the backward graph; None where it has no gradient.
    """

    argument: str
    result: int | None


@dataclass(frozen=True)
class BoundBackward:
    """What the arguments and results of the backward graph are.

    Attributes:
        arguments: the expression of each argument of its ``call``: an argument of the forward
            graph, one of its results (``binding.OUTPUTS``) or a tangent (``TANGENTS``).
        tangents: of each differentiable result that the program returns, by result.
        gradients: for each differentiated tensor that the forward graph takes.
        handed_on: for each result, the position of the argument that it is; None for others.
    """

    arguments: tuple[str, ...]
    tangents: tuple[Tangent, ...]
    gradients: tuple[Gradient, ...]
    handed_on: tuple[int | None, ...]


@dataclass(frozen=True)
class Backward:
    """Inductor's module for the backward graph, bound to that of the forward graph.

    Attributes:
        source: Inductor's module, paths of its cache removed; empty if the graph only hands its
            arguments on.
        bound: its arguments and results.
        kernels: in the order of the module.
        aten_ops: overloads of the lowered graph, sorted.
        fallback_ops: operators that the module calls beside its kernels, sorted.
        origins: where its buffers and kernels come from.
    """

    source: str
    bound: BoundBackward
    kernels: tuple[Kernel, ...]
    aten_ops: tuple[str, ...]
    fallback_ops: tuple[str, ...]
    origins: Origins = field(default_factory=Origins)


class Differentiation:
    """One backward pass over stand-ins, from every differentiable output to every leaf.

    Args:
        named: the inputs and the module's tensors with their expressions; those that require
            gradients are differentiated.

    Raises:
        CaptureRejected: ``nothing_differentiable``.
    """

    def __init__(self, named: Iterable[tuple[str, Any]]) -> None:
        self.leaves: list[Named] = list(_distinct(named))
        self.outputs: list[torch.Tensor] = []
        self.tangents: list[torch.Tensor] = []
        self.gradients: list[torch.Tensor | None] = []
        if not self.leaves:
            raise CaptureRejected(
                "nothing_differentiable",
                "the module has no floating parameter and no input requires gradients; let "
                "get_inputs return tensors with requires_grad_()",
            )

    def __call__(self, result: Any) -> None:
        """Differentiates what the compiled function returned, which lowers the backward graph.

        Raises:
            CaptureRejected: ``nothing_differentiable``.
        """
        tensors = [value for _, value in binding.leaves(result, "") if _requires_grad(value)]
        self.outputs = list({id(tensor): tensor for tensor in tensors}.values())
        if not self.outputs:
            raise CaptureRejected(
                "nothing_differentiable",
                "no output depends on a parameter or an input that requires gradients; return one "
                "that does",
            )
        self.tangents = [
            torch.empty_like(output, memory_format=tangent_format(output))
            for output in self.outputs
        ]
        leaves = [tensor for _, tensor in self.leaves]
        self.gradients = list(
            torch.autograd.grad(self.outputs, leaves, self.tangents, allow_unused=True)
        )


def _requires_grad(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _distinct(named: Iterable[tuple[str, Any]]) -> Iterable[Named]:
    """Each differentiated tensor once, under its first name."""
    seen: set[int] = set()
    for expression, value in named:
        if _requires_grad(value) and id(value) not in seen:
            seen.add(id(value))
            yield expression, value


def bind_backward(
    differentiation: Differentiation,
    record: GraphRecord,
    arguments: Sequence[Named],
    result: str,
) -> BoundBackward:
    """What the backward graph's arguments and results are.

    Args:
        differentiation: after it ran.
        record: of both graphs.
        arguments: the forward graph's tensor arguments with their expressions.
        result: the expression of what ``forward`` returns.

    Raises:
        CaptureRejected: ``unbound_gradient``, ``differentiable_view`` or ``saved_mutation``.
    """
    backward = record.backward
    assert backward is not None
    returned = {int(found) for found in _RESULT.findall(result)}
    places = [_place(output, record.results[0], returned) for output in differentiation.outputs]
    tangents = list(zip(places, differentiation.tangents, strict=True))
    known = [
        *arguments,
        *((f"{binding.OUTPUTS}[{n}]", value) for n, value in enumerate(record.results[0])),
        *((f"{TANGENTS}[{place}]", tangent) for place, tangent in tangents),
    ]
    expressions = tuple(_expression(value, known) for value in backward.calls[0])
    _reject_mutated(record, arguments, expressions)
    gradients = zip(differentiation.leaves, differentiation.gradients, strict=True)
    taken = {id(tensor): expression for expression, tensor in arguments}
    tangents.sort(key=operator.itemgetter(0))
    return BoundBackward(
        expressions,
        tuple(Tangent(place, _format_name(tangent)) for place, tangent in tangents),
        tuple(
            Gradient(taken[id(leaf)], _gradient_place(name, gradient, backward.results[0]))
            for (name, leaf), gradient in gradients
            if id(leaf) in taken
        ),
        tuple(_position(value, backward.calls[0]) for value in backward.results[0]),
    )


def _position(value: Any, arguments: Sequence[Any]) -> int | None:
    return next((n for n, argument in enumerate(arguments) if argument is value), None)


def _format_name(tensor: torch.Tensor) -> str:
    return str(tangent_format(tensor)).removeprefix("torch.")


def reject_differentiable_state(replaced: Iterable[tuple[str, Any]]) -> None:
    """Refuses a tensor of the module that ``forward`` replaces by one that has a gradient.

    Raises:
        CaptureRejected: ``differentiable_state``.
    """
    for expression, tensor in replaced:
        if _requires_grad(tensor):
            raise CaptureRejected(
                "differentiable_state",
                f"forward keeps in {expression} what later calls would be differentiated through; "
                "detach it",
            )


def _place(output: torch.Tensor, results: Sequence[Any], returned: set[int]) -> int:
    """Which result of the forward graph an output is."""
    for place, value in enumerate(results):
        if place in returned and binding.is_same(output, value):
            return place
    raise CaptureRejected(
        "differentiable_view",
        f"an output of shape {tuple(output.shape)} is an input, or a view of an input or of "
        "another output, and its gradient is no kernel's work; return a tensor that forward "
        "computes, and each once",
    )


def _expression(value: Any, known: Sequence[tuple[str, Any]]) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    for expression, tensor in known:
        if binding.is_same(value, tensor):
            return expression
    raise CaptureRejected(
        "unbound_argument",
        f"the backward graph takes a tensor of shape {tuple(value.shape)} that is neither a "
        "tangent nor anything that forward has; return each output once, and no view of another",
    )


def _gradient_place(name: str, gradient: torch.Tensor | None, results: Sequence[Any]) -> int | None:
    if gradient is None:
        return None
    for place, value in enumerate(results):
        if binding.is_same(gradient, value):
            return place
    raise CaptureRejected(
        "unbound_gradient",
        f"the gradient of {name} is put together outside of the backward graph; return each "
        "output once, and no view of an input or of another output",
    )


def _reject_mutated(record: GraphRecord, arguments: Sequence[Named], saved: Sequence[str]) -> None:
    """Backward must not read what forward has overwritten."""
    placeholders = [node for node in record.graphs[0].graph.nodes if node.op == "placeholder"]
    written = set()
    for node in record.graphs[0].graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable and node.args[0] in placeholders:
            written.add(id(record.calls[0][placeholders.index(node.args[0])]))
    for expression, tensor in arguments:
        if id(tensor) in written and expression in saved:
            raise CaptureRejected(
                "saved_mutation",
                f"forward changes {expression} in place and backward needs what it was; do not "
                "change it",
            )
