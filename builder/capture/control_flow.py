"""Operators that call graphs of their own, of which not every one can become a pair.

Branches and loops on data stay Python in Inductor's module: each step asks the device for a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch._ops import HigherOrderOperator

from builder.errors import CaptureRejected

if TYPE_CHECKING:
    import torch.fx

_INSTEAD = {
    "cond": "write both branches and choose with torch.where",
    "while_loop": "write a loop with a fixed number of steps",
    "scan": "write a loop over the steps, or a cumulative operation such as torch.cumsum",
    "map_impl": "write it over the whole batch at once",
    "flex_attention": "write torch.nn.functional.scaled_dot_product_attention with a mask, and "
    "choose the variant flex",
}


def reject_control_flow(gm: torch.fx.GraphModule) -> None:
    """Refuses a traced program with an operator that cannot be launched, or not be verified.

    Raises:
        CaptureRejected: ``control_flow``; the message names the operator and the way round it.
    """
    for node in gm.graph.nodes:
        if isinstance(node.target, HigherOrderOperator) and node.target.name() in _INSTEAD:
            name = node.target.name()
            raise CaptureRejected(
                "control_flow",
                f"forward calls the higher-order operator {name}, which no plain launcher can "
                f"stand for; {_INSTEAD[name]}",
            )
