"""Values that are not defined: lanes that a masked load left out, and what is computed from them.

A ``Poisoned`` value carries a mask of such lanes.  They may flow through arithmetic, and a
selection or a conjunction may leave them behind; they must not be stored, say where something is
stored, decide a branch, or meet defined lanes in a reduction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from builder.errors import MemoryFault
from builder.execute.hints import checks_of
from builder.execute.ops_map import poisoned_elements
from builder.execute.ops_scaled import poisoned_products
from builder.execute.registry import HANDLERS
from builder.execute.values import Poisoned, nowhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.execute.frame import Frame
    from builder.execute.ir import Operation
    from builder.execute.registry import Handler

Tensor = torch.Tensor
Masks = list[Tensor | None]

_DECIDING = {"scf.if": 1, "scf.for": 3, "scf.while": 0, "tt.call": 0, "tt.assert": 1}
"""How many of the first operands decide what runs."""
_WITHOUT_EFFECT = frozenset({"tt.print"})
_TO_INTEGER = frozenset({"arith.fptosi", "arith.fptoui"})
_KNOWS_POISON = frozenset({"llvm.intr.assume"})
_SHAPE = frozenset(
    {
        "tt.broadcast", "tt.cat", "tt.expand_dims", "tt.join", "tt.reshape", "tt.splat",
        "tt.split", "tt.trans", "tt.unsplat",
    }
)  # fmt: skip
_ACTIVE_OPERAND = {"tt.store": 2, "tt.atomic_rmw": 2, "tt.atomic_cas": None}
"""Which operand of a write is its mask."""
_ABSORBED_BY_ZERO = frozenset({"arith.andi", "arith.muli"})


def perform(frame: Frame, op: Operation, args: list[Any]) -> Any:
    """Run an operation of which some operand is poisoned.

    Raises:
        MemoryFault: ``poison``, poisoned lanes reach memory, an address, a branch or, together
            with defined ones, a reduction.
        ExecutionError: ``false_hint``, as the operation's hints are checked here too.
    """
    checks = checks_of(op.handler)
    if checks is None:
        return _perform(frame, op, args, op.handler)
    result = _perform(frame, op, args, checks.inner)
    checks.check(frame, op, result)
    return result


def _perform(frame: Frame, op: Operation, args: list[Any], handler: Handler) -> Any:
    if op.name in _KNOWS_POISON:
        return handler(frame, op, args)
    if op.name in _DECIDING:
        count = _DECIDING[op.name]
        decisive = [decided(frame, op, value) for value in args[:count]]
        return handler(frame, op, [*decisive, *args[count:]])
    values = [value.value if isinstance(value, Poisoned) else value for value in args]
    masks: Masks = [value.mask if isinstance(value, Poisoned) else None for value in args]
    if op.name in _WITHOUT_EFFECT:
        return handler(frame, op, values)
    if op.name == "tt.load":
        return _read_memory(frame, op, values, masks, handler)
    if op.name in _ACTIVE_OPERAND:
        return _write_memory(frame, op, values, masks, handler)
    result = handler(frame, op, values)
    rule = _RULES.get(op.name, _union)
    mask = rule(frame, op, values, masks)
    if isinstance(result, Poisoned):  # the operation itself has lanes without a value
        mask = mask | result.mask
        result = result.value
    if op.name in _TO_INTEGER:  # else the NaN of a lane would become 0, an address like any other
        result = torch.where(mask, torch.iinfo(result.dtype).max, result)
    return _wrapped(result, mask)


def decided(frame: Frame, op: Operation, value: Any) -> Any:
    """The value of something that decides a branch.

    Raises:
        MemoryFault: it is poisoned.
    """
    if not isinstance(value, Poisoned):
        return value
    _forbid(frame, op, value.mask, "what runs depends on it")
    return value.value


def inactive(frame: Frame, mask: Tensor) -> Tensor:
    """The lanes that a mask leaves out; one tensor for one mask, so that unions stay cheap."""
    found: Tensor | None = frame.machine.inverted.get((mask,), None)
    if found is None:
        found = ~mask
        frame.machine.inverted.put((mask,), None, found)
    return found


def _wrapped(result: Any, mask: Tensor | list[Tensor]) -> Any:
    if isinstance(result, tuple):
        masks = mask if isinstance(mask, list) else [mask] * len(result)
        return tuple(Poisoned(value, one) for value, one in zip(result, masks, strict=True))
    return Poisoned(result, mask[0] if isinstance(mask, list) else mask)


def _either(masks: Masks) -> Tensor:
    joined: Tensor | None = None
    for mask in masks:
        if mask is not None and mask is not joined:
            joined = mask if joined is None else joined | mask
    assert joined is not None
    return joined


def _filled(values: list[Any], masks: Masks) -> list[Tensor]:
    """A mask for each value, also for those that are defined everywhere."""
    pairs = zip(values, masks, strict=True)
    return [nowhere(value) if mask is None else mask for value, mask in pairs]


def _union(_frame: Frame, op: Operation, values: list[Any], masks: Masks) -> Tensor:
    poisoned = _either(masks)
    if op.name in _ABSORBED_BY_ZERO:
        return _without(poisoned, values, masks, lambda value: value == 0)
    if op.name == "arith.ori" and values[0].dtype == torch.bool:
        return _without(poisoned, values, masks, lambda value: value)
    return poisoned


def _without(
    poisoned: Tensor, values: list[Any], masks: Masks, decides: Callable[[Tensor], Tensor]
) -> Tensor:
    """Lanes are defined where one defined operand decides the result alone."""
    for value, mask in zip(values, masks, strict=True):
        alone = decides(value)
        poisoned = poisoned & ~(alone if mask is None else alone & ~mask)
    return poisoned


def _selected(_frame: Frame, _op: Operation, values: list[Any], masks: Masks) -> Tensor:
    condition, left, right = _filled(values, masks)
    chosen = values[0]
    while chosen.dim() < left.dim():
        chosen = chosen.unsqueeze(-1)
        condition = condition.unsqueeze(-1)
    return torch.where(chosen, left, right) | condition


def _reshaped(frame: Frame, op: Operation, values: list[Any], masks: Masks) -> Any:
    result = HANDLERS[op.name](frame, op, _filled(values, masks))
    return list(result) if isinstance(result, tuple) else result


def _along_axis(frame: Frame, op: Operation, values: list[Any], masks: Masks) -> Tensor:
    """A row of undefined lanes only, which a block may have behind its tensor, gives no result."""
    axis = op.attributes["axis"] + 1
    poisoned = _either(list(torch.broadcast_tensors(*_filled(values, masks))))
    reduced = poisoned.any(axis)
    _forbid(frame, op, reduced & ~poisoned.all(axis), "it is reduced together with others")
    return reduced


def _scanned(frame: Frame, op: Operation, values: list[Any], masks: Masks) -> Tensor:
    axis = op.attributes["axis"] + 1
    mask = _either(list(torch.broadcast_tensors(*_filled(values, masks))))
    size = frame.kind(op).shape[axis - 1]
    wide = list(mask.shape)
    wide[axis] = size
    counted = mask.expand(wide).to(torch.int32)
    if op.attributes.get("reverse"):
        return counted.flip(axis).cumsum(axis).flip(axis) > 0
    return counted.cumsum(axis) > 0


def _multiplied(_frame: Frame, _op: Operation, values: list[Any], masks: Masks) -> Tensor:
    a, b, c = _filled(values, masks)
    return a.any(-1, keepdim=True) | b.any(-2, keepdim=True) | c


def _anywhere(frame: Frame, op: Operation, _values: list[Any], masks: Masks) -> Tensor:
    """One poisoned lane spoils the instance's whole result."""
    rank = len(frame.result_kind(op).shape)
    spoilt = [mask.flatten(1).any(1) for mask in masks if mask is not None]
    return _either(list(spoilt)).reshape(-1, *(1,) * rank)


_RULES: dict[str, Callable[..., Any]] = {
    "arith.select": _selected,
    "tt.dot": _multiplied,
    "tt.dot_scaled": lambda _frame, op, values, masks: poisoned_products(
        op, _filled(values, masks)
    ),
    "tt.map_elementwise": lambda frame, op, values, masks: poisoned_elements(
        op, _filled(values, masks), frame.kind(op).shape
    ),
    "tt.gather": _anywhere,
    "tt.histogram": _anywhere,
    "tt.reduce": _along_axis,
    "tt.scan": _scanned,
} | dict.fromkeys(_SHAPE, _reshaped)


def _read_memory(
    frame: Frame, op: Operation, values: list[Any], masks: Masks, handler: Handler
) -> Any:
    """A load: what comes from a poisoned place, or perhaps from none, is poisoned again.

    A search by bisection does this in the lanes that nobody looks at; an address that leaves its
    tensor is an error as always.
    """
    try:
        result = handler(frame, op, values)
    except MemoryFault as fault:
        if fault.kind == "out_of_bounds" and masks[0] is not None:
            active = values[1] if len(values) > 1 else True
            _forbid(frame, op, masks[0] & active, "it is an address")
        raise
    poisoned = [mask for mask in masks[:2] if mask is not None]
    if len(masks) > 2 and masks[2] is not None:
        poisoned.append(masks[2] & ~values[1])
    if isinstance(result, Poisoned):
        poisoned.append(result.mask)
        result = result.value
    return Poisoned(result, _either(list(poisoned)))


def _write_memory(
    frame: Frame, op: Operation, values: list[Any], masks: Masks, handler: Handler
) -> Any:
    """A store or an atomic: poisoned lanes must be inactive."""
    number = _ACTIVE_OPERAND[op.name]
    active = values[number] if number is not None and len(values) > number else None
    for position, mask in enumerate(masks):
        if mask is None:
            continue
        if position == number:
            _forbid(frame, op, mask, "it is the mask of a write")
            continue
        reached = mask if active is None else mask & active
        purpose = "it is an address" if position == 0 else "it goes to memory"
        _forbid(frame, op, reached, purpose)
    return handler(frame, op, values)


def _forbid(frame: Frame, op: Operation, mask: Tensor | None, purpose: str) -> None:
    if mask is None or not bool(mask.any()):
        return
    row = int(mask.flatten(1).any(1).nonzero()[0, 0]) if mask.dim() > 1 else int(mask.nonzero()[0])
    machine = frame.machine
    place = machine.program_id(int(frame.instances[row if mask.shape[0] > 1 else 0]))
    raise MemoryFault(
        "poison",
        f"program instance {place}: a value is undefined where a masked load without `other` read "
        f"nothing, a shift or a division has no result, or a gather looks beyond its block, and "
        f"{purpose}; give the load an `other` or select with the mask first",
        kernel=machine.kernel_name,
        line=op.line,
    )
