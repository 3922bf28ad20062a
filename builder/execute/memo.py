"""Values that depend on no data, kept from launch to launch of a kernel on one grid.

Offsets, masks and what follows from them alone are the same in every launch; most operations of a
small kernel compute nothing else.  A tensor is *kept* if it comes from kept tensors only: from
constants, program ids and the launch's integers at first.  Kept tensors live as long as their memo,
so that their identity names their value and a look-up costs less than the cheapest operation.
"""

from __future__ import annotations

import operator
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from builder.execute.values import Pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.execute.frame import Frame
    from builder.execute.ir import Function, Module, Operation
    from builder.execute.registry import Handler
    from builder.execute.values import Value

BYTES_A_MEMO = 48 << 20
BYTES_IN_ALL = 96 << 20
_MOST_MEMOS = 128
_OVERHEAD = 512
"""Bytes that an entry takes beside its tensor, about."""

_REARRANGE = frozenset(
    {"tt.addptr", "tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.splat", "tt.trans",
     "tt.unsplat"}
)  # fmt: skip
_ROOTS = frozenset({"arith.constant", "tt.get_num_programs", "tt.make_range"})
_PROGRAM_ID = "tt.get_program_id"

Key = tuple[Any, ...]


class Memo:
    """What is kept of one kernel on one grid."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._known: dict[Key, Any] = {}
        self._kept: dict[int, Any] = {id(None): None}

    def has(self, *values: Any) -> bool:
        """Whether all of them are kept, so that their identity names their value."""
        return all(id(value) in self._kept for value in values)

    def get(self, key: Key) -> Any:
        """What is known under a key, or None."""
        return self._known.get(key)

    def put(self, key: Key, value: Any, tensor: torch.Tensor | None, nbytes: int = 0) -> None:
        """Keep a tensor, and what is known under a key, unless there is no room left.

        Args:
            key: holds the identity of kept tensors only.
            value: not None.
            tensor: of the value, to be kept.
            nbytes: what the value takes beside the tensor.
        """
        nbytes += _OVERHEAD + (tensor.nbytes if tensor is not None else 0)
        if self.nbytes + nbytes > BYTES_A_MEMO:
            return
        self.nbytes += nbytes
        self._known[key] = value
        self._kept[id(tensor)] = tensor

    def root(self, key: Key, value: torch.Tensor) -> torch.Tensor:
        """The kept tensor that equals this one, which the key describes wholly."""
        found: torch.Tensor | None = self._known.get(key)
        if found is None:
            self.put(key, value, value)
            return value
        return found

    def sum(self, op: Operation, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """``left + right``, a step of that operation's induction variable."""
        key = (id(op), id(left), id(right))
        found: torch.Tensor | None = self._known.get(key)
        if found is None:
            found = left + right
            if self.has(left, right):
                self.put(key, found, found)
        return found


class Recent:
    """What was last computed of a few tensors, by their identity.

    Args:
        most: entries; each keeps its tensors alive, so that their identity stays theirs.
    """

    def __init__(self, most: int) -> None:
        self._entries: deque[tuple[tuple[Any, ...], Any, Any]] = deque(maxlen=most)

    def get(self, tensors: tuple[Any, ...], rest: Any) -> Any:
        """What was put for these very tensors and a rest equal to this one, or None."""
        for known, known_rest, value in self._entries:
            if known_rest == rest and all(map(operator.is_, known, tensors)):
                return value
        return None

    def put(self, tensors: tuple[Any, ...], rest: Any, value: Any) -> None:
        self._entries.appendleft((tensors, rest, value))


_memos: OrderedDict[tuple[Module, tuple[int, ...], int], Memo] = OrderedDict()


def memo_of(module: Module, grid: tuple[int, ...], chunk: int) -> Memo:
    """The memo of a kernel on a grid that runs in chunks of so many instances."""
    key = (module, grid, chunk)
    memo = _memos.setdefault(key, Memo())
    _memos.move_to_end(key)
    while len(_memos) > 1 and (
        len(_memos) > _MOST_MEMOS or sum(other.nbytes for other in _memos.values()) > BYTES_IN_ALL
    ):
        _memos.popitem(last=False)
    return memo


def forget_memos() -> None:
    """Keep nothing."""
    _memos.clear()


def kept_arguments(memo: Memo, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The arguments with the integers among them kept."""
    return tuple(
        memo.root((number, value.dtype, value.item()), value)
        if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point
        else value
        for number, value in enumerate(arguments)
    )


def remembering(op: Operation, function: Function, handler: Handler) -> Handler:
    """The handler, made to remember where the operation depends on its operands' values alone."""
    if op.regions or len(op.results) != 1:
        return handler
    kinds = [function.types[slot] for slot in op.operands]
    pointers = any(kind.is_pointer for kind in kinds)
    if op.name == _PROGRAM_ID:
        return _RememberedId(handler)
    if op.name in _ROOTS:
        return _Remembered(handler)
    if op.name in _REARRANGE:
        hinted = any(name.startswith("tt.") for name in op.attributes)
        if not pointers:
            return _Remembered(handler)
        return handler if hinted else _RememberedPointer(handler)
    plain = op.name.startswith("arith.") and not pointers
    if plain and not any(kind.is_float for kind in kinds):
        return _Remembered(handler)
    return handler


@dataclass(frozen=True, eq=False)
class _Remembered:
    """A handler of tensors that looks its operands up first."""

    inner: Handler

    def __call__(self, frame: Frame, op: Operation, args: list[Any]) -> Any:
        memo = frame.machine.memo
        if memo is None:
            return self.inner(frame, op, args)
        key = (id(op), *map(id, args))
        found = memo.get(key)
        if found is None:
            found = self.inner(frame, op, args)
            if memo.has(*args) and isinstance(found, torch.Tensor):
                memo.put(key, found, found)
        return found


class _RememberedId(_Remembered):
    """Likewise, of what follows from which instances run."""

    def __call__(self, frame: Frame, op: Operation, args: list[Any]) -> Any:
        memo = frame.machine.memo
        if memo is None:
            return self.inner(frame, op, args)
        key = (id(op), id(frame.instances))
        found = memo.get(key)
        if found is None:
            found = self.inner(frame, op, args)
            if memo.has(frame.instances):
                memo.put(key, found, found)
        return found


class _RememberedPointer(_Remembered):
    """Likewise, of pointers."""

    def __call__(self, frame: Frame, op: Operation, args: list[Any]) -> Any:
        memo = frame.machine.memo
        if memo is None or (type(args[0]) is Pointer and args[0].buffer is None):
            return self.inner(frame, op, args)
        named = [value.index if type(value) is Pointer else value for value in args]
        key = (id(op), *map(id, named))
        found = memo.get(key)
        if found is not None:
            return found.on(args) if type(found) is _Moved else found
        result = self.inner(frame, op, args)
        if memo.has(*named):
            _keep(memo, key, args, result)
        return result


def _keep(memo: Memo, key: Key, args: list[Any], result: Any) -> None:
    if isinstance(result, torch.Tensor):
        memo.put(key, result, result)
        return
    before = args[0]
    if not (isinstance(before, Pointer) and isinstance(result, Pointer)):
        return
    if before.buffer is not None and before.buffer is result.buffer:
        moved = _Moved(result.start - before.start, result.index, result.rank)
        memo.put(key, moved, result.index)


@dataclass(frozen=True, eq=False)
class _Moved:
    """What became of a pointer, whatever it points to."""

    distance: int
    index: torch.Tensor | None
    rank: int

    def on(self, args: list[Any]) -> Pointer:
        pointer: Pointer = args[0]
        start = pointer.start + self.distance
        return Pointer(pointer.buffer, pointer.itemsize, start, self.index, self.rank)
