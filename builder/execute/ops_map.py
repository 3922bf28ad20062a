"""A scalar function on each element of blocks, which may branch and return early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.execute.registry import operation
from builder.execute.values import expand_block

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation

Tensor = torch.Tensor


@operation("tt.map_elementwise")
def map_elementwise(frame: Frame, op: Operation, args: list[Any]) -> tuple[Tensor, ...]:
    """Every ``pack`` neighbouring elements count as one instance of the region."""
    pack = int(op.attributes["pack"])
    count = frame.count
    shape = frame.kind(op).shape
    blocks = [expand_block(value, frame.kind(op, n)) for n, value in enumerate(args)]
    groups = [block.expand(count, *shape).reshape(-1, pack) for block in blocks]
    number = groups[0].shape[0]
    rows = torch.arange(count).repeat_interleave(number // count)
    scalars = [group[:, place] for group in groups for place in range(pack)]
    results = frame.machine.run_region(frame.subset(rows), op.regions[0], scalars)
    full = [value.expand(number) for value in results]
    packs = [full[start : start + pack] for start in range(0, len(full), pack)]
    return tuple(torch.stack(pack, dim=1).reshape(count, *shape) for pack in packs)


def poisoned_elements(op: Operation, masks: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Elements whose function saw a poisoned one; with several a call, all of the call's."""
    spoilt = torch.stack(torch.broadcast_tensors(*masks)).any(0)
    pack = int(op.attributes["pack"])
    if pack == 1:
        return spoilt
    whole = spoilt.expand(spoilt.shape[0], *shape)
    return whole.reshape(-1, pack).any(1, keepdim=True).expand(-1, pack).reshape(whole.shape)
