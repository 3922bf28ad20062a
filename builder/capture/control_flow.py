"""Operators that call graphs of their own: branches, loops and scans.

Inductor lowers some to Triton (``flex_attention``, ``associative_scan``).  The others it leaves to
Python, where each step would ask the device for a value; these are written out instead, as far as
that is a fixed number of operations, and the rest is refused by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch._ops import HigherOrderOperator

from builder.errors import CaptureRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# The package hides the module of that name behind the operator.
scans: Any = importlib.import_module("torch._higher_order_ops.associative_scan")

MOST_STEPS = 32
"""Steps of a loop that are written out: Inductor's time grows with their number."""

_INSTEAD = {
    "cond": "write both branches and choose with torch.where",
    "while_loop": "write a loop with a fixed number of steps, counted by a Python integer",
    "scan": f"write it with associative_scan or torch.cumsum, or take at most {MOST_STEPS} steps",
    "map_impl": "write it over the whole batch at once",
}


def write_out_control_flow(gm: torch.fx.GraphModule) -> None:
    """Replaces branches and loops by the operations they consist of, in place.

    Raises:
        CaptureRejected: ``control_flow``, when the graph is run; the message names the operator
            and the way round it.
    """
    for graph in _graphs(gm):
        for node in graph.graph.nodes:
            if isinstance(node.target, HigherOrderOperator):
                node.target = _WRITTEN_OUT.get(node.target.name(), node.target)
        graph.recompile()


def _graphs(gm: torch.fx.GraphModule) -> Iterator[torch.fx.GraphModule]:
    return (module for module in gm.modules() if isinstance(module, torch.fx.GraphModule))


def _rejected(name: str, why: str) -> CaptureRejected:
    return CaptureRejected(
        "control_flow",
        f"forward calls the higher-order operator {name}, {why}; {_INSTEAD[name]}",
    )


def cond(
    predicate: Any,
    on_true: Callable[..., Any],
    on_false: Callable[..., Any],
    operands: Sequence[Any] = (),
) -> Any:
    """``torch.cond``: both branches, of which each element is chosen."""
    if torch.is_grad_enabled():
        raise _rejected("cond", "whose other branch would spoil the gradients")
    taken, other = on_true(*operands), on_false(*operands)
    if not isinstance(predicate, torch.Tensor):
        return taken if predicate else other
    return tuple(_chosen(predicate, *pair) for pair in zip(taken, other, strict=True))


def _chosen(predicate: torch.Tensor, taken: Any, other: Any) -> Any:
    if not isinstance(taken, torch.Tensor):
        if taken != other:
            raise _rejected("cond", "whose branches give different numbers")
        return taken
    if taken.shape != other.shape or taken.dtype != other.dtype:
        raise _rejected("cond", "whose branches give different shapes or types")
    return torch.where(predicate.reshape([]), taken, other)


def while_loop(
    goes_on: Callable[..., Any],
    body: Callable[..., Any],
    carried: Sequence[Any],
    additional: Sequence[Any] = (),
) -> Any:
    """``while_loop`` whose condition is known without any data."""
    values = tuple(carried)
    for _ in range(MOST_STEPS + 1):
        decision = goes_on(*values, *additional)
        decision = decision[0] if isinstance(decision, tuple) else decision
        if not isinstance(decision, bool):
            raise _rejected("while_loop", "whose condition depends on data")
        if not decision:
            return values
        values = tuple(body(*values, *additional))
    raise _rejected("while_loop", f"which takes more than {MOST_STEPS} steps")


def associative_scan(
    combine: Callable[..., Any], xs: Sequence[torch.Tensor], additional: Sequence[Any] = ()
) -> Any:
    """``associative_scan``: one kernel's, or where it is differentiated pair by pair.

    PyTorch's own gradient takes no notice of what one of several tensors owes to another.
    """
    if not torch.is_grad_enabled():
        return scans.associative_scan_op(combine, xs, additional)
    results = scans.generic_associative_scan(combine, xs, additional_inputs=additional)
    return tuple(torch.empty_like(x).copy_(found) for x, found in zip(xs, results, strict=True))


def scan(
    combine: Callable[..., Any],
    init: Sequence[Any],
    xs: Sequence[torch.Tensor],
    additional: Sequence[Any] = (),
) -> Any:
    """``scan`` over the first dimension: the last carry, and what each step gives, stacked."""
    carry, rows = tuple(init), []
    for step in range(_length("scan", xs)):
        given = tuple(combine(*carry, *(x[step] for x in xs), *additional))
        carry = given[: len(carry)]
        rows.append(given[len(carry) :])
    return *carry, *(torch.stack(row) for row in zip(*rows, strict=True))


def mapped(
    function: Callable[..., Any], xs: Sequence[torch.Tensor], additional: Sequence[Any] = ()
) -> Any:
    """``map`` over the first dimension, what each step gives stacked."""
    rows = [
        function(*(x[step] for x in xs), *additional) for step in range(_length("map_impl", xs))
    ]
    return tuple(torch.stack(row) for row in zip(*rows, strict=True))


def _length(name: str, xs: Sequence[torch.Tensor]) -> int:
    length = xs[0].shape[0]
    if not isinstance(length, int) or length > MOST_STEPS:
        raise _rejected(name, f"which takes {length} steps, more than {MOST_STEPS}")
    return length


_WRITTEN_OUT: dict[str, Any] = {
    "associative_scan": associative_scan,
    "cond": cond,
    "while_loop": while_loop,
    "scan": scan,
    "map_impl": mapped,
}
