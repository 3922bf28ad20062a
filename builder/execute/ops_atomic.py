"""Atomics: lanes that meet at one address take turns in the order of instances and lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.errors import UnsupportedOperation
from builder.execute.access import Access, accesses
from builder.execute.memory import define, undefined_lane
from builder.execute.ops_arith import unsigned_order
from builder.execute.ops_memory import from_words, to_words
from builder.execute.registry import operation
from builder.execute.sync import semantics_of
from builder.execute.words import Array, Selection, gather, is_distinct, numbers_of, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.execute.frame import Frame
    from builder.execute.ir import Operation, Type
    from builder.execute.values import Pointer

Tensor = torch.Tensor

_IN_PLACE: dict[str, Any] = {
    "fadd": np.add,
    "add": np.add,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_NUMPY: dict[str, Any] = {"f32": np.float32, "f64": np.float64}


_UPDATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fadd": torch.add,
    "add": torch.add,
    "max": torch.maximum,
    "min": torch.minimum,
    "umax": lambda a, b: torch.where(unsigned_order(a) >= unsigned_order(b), a, b),
    "umin": lambda a, b: torch.where(unsigned_order(a) <= unsigned_order(b), a, b),
    "and": torch.bitwise_and,
    "or": torch.bitwise_or,
    "xor": torch.bitwise_xor,
    "exch": lambda _, b: b,
}


def _turns(selection: Selection) -> Iterator[Array | None]:
    """Positions that meet no other, group by group; None for all at once."""
    if is_distinct(selection):
        yield None
        return
    selection = numbers_of(selection)
    order = np.argsort(selection, kind="stable")
    ordered = selection[order]
    fresh = np.ones(ordered.size, dtype=bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(fresh)
    if starts.size == ordered.size:
        yield None
        return
    turn = np.arange(ordered.size) - np.repeat(starts, np.diff(np.append(starts, ordered.size)))
    by_turn = np.argsort(turn, kind="stable")
    bounds = np.flatnonzero(np.diff(turn[by_turn])) + 1
    for group in np.split(by_turn, bounds):
        yield order[group]


def _picked(selection: Selection, positions: Array | None) -> Selection:
    return selection if positions is None else numbers_of(selection)[positions]


def _full_shape(frame: Frame, op: Operation, number: int) -> tuple[int, ...]:
    return (frame.count, *frame.kind(op, number).shape)


def _checked(access: Access) -> None:
    if not access.frame.machine.options.check_memory:
        return
    missing = undefined_lane(access.buffer, access.selection, access.itemsize)
    if missing is not None:
        raise access.fault(
            "uninitialised_read", missing, "updated, but nothing has written it before"
        )
    define(access.buffer, access.selection, access.itemsize)
    if access.buffer.races is not None:
        racing = access.buffer.races.update(access.selection, access.itemsize, access.ids())
        if racing is not None:
            raise access.fault("race", racing, "another instance uses it without an atomic")
    _synchronise(access)


def _synchronise(access: Access) -> None:
    """Tell what orders accesses of an atomic of a single element."""
    op, order = access.operation, access.frame.machine.order
    semantics = semantics_of(op.name, op.attributes["words"])
    if order is None or len(access.shape) > 1 or semantics == "relaxed":
        return
    chosen = access.selection
    for element, owner in zip(numbers_of(chosen).tolist(), access.ids().tolist(), strict=True):
        order.meet((access.buffer.number, element * access.itemsize), owner - 1, semantics)


@operation("tt.atomic_rmw")
def atomic_rmw(frame: Frame, op: Operation, args: list[Any]) -> Tensor | None:
    name = op.attributes["words"][0]
    pointer: Pointer = args[0]
    kind, shape = frame.kind(op, 1), _full_shape(frame, op, 0)
    update = _UPDATES.get(name)
    if update is None:
        raise UnsupportedOperation(
            f"tt.atomic_rmw {name}", kernel=frame.machine.kernel_name, line=op.line
        )
    words = to_words(args[1], shape, kind.itemsize)
    old = np.zeros(words.shape, dtype=words.dtype)
    unused = bool(op.results) and op.results[0] in op.dead
    mask = args[2] if len(args) > 2 else None
    for access in accesses(frame, op, pointer, mask, shape):
        _checked(access)
        given = access.active(words)
        if unused and _accumulate(access, name, kind, given):
            continue
        found = _take_turns(access, kind, given, update)
        old[access.positions()] = found
    return from_words(old, kind, shape)


def _accumulate(access: Access, name: str, kind: Type, given: Array) -> bool:
    """The fast way where nobody looks at the old values."""
    function = _IN_PLACE.get(name)
    if function is None or (kind.is_float and kind.element not in _NUMPY):
        return False
    number_type: Any = _NUMPY.get(kind.element, given.dtype)
    memory = access.buffer.words(kind.itemsize).view(number_type)
    with np.errstate(all="ignore"):
        function.at(memory, numbers_of(access.selection), given.view(number_type))
    return True


def _take_turns(
    access: Access, kind: Type, given: Array, update: Callable[[Tensor, Tensor], Tensor]
) -> Array:
    memory = access.buffer.words(kind.itemsize)
    found = np.empty_like(given)
    for positions in _turns(access.selection):
        where = _picked(access.selection, positions)
        chosen = slice(None) if positions is None else positions
        before = gather(memory, where).copy()
        found[chosen] = before
        after = update(
            from_words(before, kind, before.shape),
            from_words(given[chosen].copy(), kind, before.shape),
        )
        put(memory, where, to_words(after, tuple(before.shape), kind.itemsize))
    return found


@operation("tt.atomic_cas")
def atomic_cas(frame: Frame, op: Operation, args: list[Any]) -> Tensor:
    pointer: Pointer = args[0]
    kind, shape = frame.kind(op, 1), _full_shape(frame, op, 0)
    compared = to_words(args[1], shape, kind.itemsize)
    stored = to_words(args[2], shape, kind.itemsize)
    old = np.zeros(compared.shape, dtype=compared.dtype)
    for access in accesses(frame, op, pointer, None, shape):
        _checked(access)
        memory = access.buffer.words(kind.itemsize)
        lanes = access.positions()
        for positions in _turns(access.selection):
            where = _picked(access.selection, positions)
            mine = lanes if positions is None else lanes[positions]
            before = gather(memory, where).copy()
            old[mine] = before
            put(memory, where, np.where(before == compared[mine], stored[mine], before))
    return from_words(old, kind, shape)
