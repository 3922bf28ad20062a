"""Hints that do not hold.

``tl.multiple_of``, ``tl.max_contiguous`` and ``tl.max_constancy`` become attributes of the
operation that made the value (one number a dimension), ``tl.assume`` an operation.  The compiler
believes them: a wrong one changes what is loaded, so it is an error here.

What the attributes say is what Triton's ``AxisInfo`` analysis (``lib/Analysis/AxisInfo.cpp``) makes
of them.  Along a dimension, in blocks of so many lanes:

- contiguity: the values follow each other, pointers by one element;
- constancy: the values are equal;
- divisibility: the first value of each run of contiguous values is a multiple, pointers in bytes.

Hints hold in all lanes, masked ones too, but say nothing of lanes that are undefined.  Not checked
are hints that the front end drops (on parameters and on what a loop carries, where the compiler
does not see them either) and hints on an operation of several results.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ExecutionError
from builder.execute.registry import operation
from builder.execute.values import Pointer, Poisoned, expand_block

if TYPE_CHECKING:
    from builder.execute.frame import Frame
    from builder.execute.ir import Operation, Type
    from builder.execute.registry import Handler

Tensor = torch.Tensor

ALIGNMENT = 512
"""What the CUDA caching allocator aligns memory to, in bytes; no hint may count on more."""
_CALLS = {
    "tt.contiguity": "tl.max_contiguous",
    "tt.divisibility": "tl.multiple_of",
    "tt.constancy": "tl.max_constancy",
}
Sizes = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Checked:
    """A handler of an operation with hints; checks what the operation gives.

    Attributes:
        inner: the operation's handler.
        contiguity: lanes a run, per dimension; None without such a hint.
        divisibility: divisors per dimension.
        constancy: lanes of one value, per dimension.
    """

    inner: Handler
    contiguity: Sizes | None
    divisibility: Sizes | None
    constancy: Sizes | None

    def __call__(self, frame: Frame, op: Operation, args: list[Any]) -> Any:
        result = self.inner(frame, op, args)
        self.check(frame, op, result)
        return result

    def check(self, frame: Frame, op: Operation, result: Any) -> None:
        """Compare the hints with the values.

        Args:
            frame: the instances that run.
            op: the operation with the hints.
            result: what it gave.

        Raises:
            ExecutionError: ``false_hint``.
        """
        value = result[0] if isinstance(result, tuple) else result
        undefined = None
        if isinstance(value, Poisoned):
            undefined, value = value.mask, value.value
        kind = frame.result_kind(op)
        step = value.itemsize if isinstance(value, Pointer) else 1
        numbers = value.addresses() + ALIGNMENT if isinstance(value, Pointer) else value
        if numbers.dim() != len(kind.shape) + 1:
            return  # inside a reduction's region, where scalars stand for blocks
        lanes = _Lanes(frame, op, kind, expand_block(numbers, kind), step, undefined)
        if self.contiguity is not None:
            lanes.check_neighbours("tt.contiguity", self.contiguity, step)
        if self.constancy is not None:
            lanes.check_neighbours("tt.constancy", self.constancy, 0)
        if self.divisibility is not None:
            lanes.check_multiples(self.divisibility, self.contiguity)


def guarded(op: Operation, handler: Handler | None) -> Handler | None:
    """The handler, made to check the operation's hints where it has any."""
    if handler is None or len(op.results) != 1:
        return handler
    found = {name: op.attributes[name] for name in _CALLS if name in op.attributes}
    if not found:
        return handler
    return Checked(
        handler,
        _sizes(found.get("tt.contiguity")),
        _sizes(found.get("tt.divisibility")),
        _sizes(found.get("tt.constancy")),
    )


def checks_of(handler: Handler) -> Checked | None:
    """The checks of hints in a handler, which others may be wrapped around; None without any."""
    found: Any = handler
    while found is not None and not isinstance(found, Checked):
        found = getattr(found, "inner", None)
    return found


def _sizes(attribute: Any) -> Sizes | None:
    """The numbers of a dense vector's text or of a single number."""
    if attribute is None:
        return None
    return tuple(int(number) for number in re.findall(r"-?\d+", str(attribute)))


class _Lanes:
    """The values of one operation, at full block size, and what can be wrong with them.

    ``step`` is the distance of neighbours (a pointer's element size in bytes); ``undefined`` masks
    the lanes that may hold anything.
    """

    def __init__(
        self,
        frame: Frame,
        op: Operation,
        kind: Type,
        numbers: Tensor,
        step: int,
        undefined: Tensor | None,
    ) -> None:
        self.frame = frame
        self.op = op
        self.kind = kind
        self.numbers = numbers
        self.step = step
        self.undefined = None if undefined is None else undefined.expand_as(numbers)

    def check_neighbours(self, name: str, sizes: Sizes, step: int) -> None:
        """In blocks of ``sizes`` lanes each value is the one before plus ``step``."""
        for dim, size in enumerate(sizes, 1):
            if dim > len(self.kind.shape) or size <= 1:
                continue
            wrong = self._broken_neighbours(dim, size, step)
            if wrong is None:
                continue
            here = wrong.nonzero()[0].tolist()
            before = [*here]
            here[dim] += 1
            first, second = self._shown(before), self._shown(here)
            self._fail(name, sizes, here, f"{second} comes after {first}")

    def _broken_neighbours(self, dim: int, size: int, step: int) -> Tensor | None:
        """Where a lane is no proper successor, by the lane before it; None where all are."""
        length = self.numbers.shape[dim]
        if length < 2:
            return None
        left = self.numbers.narrow(dim, 0, length - 1)
        right = self.numbers.narrow(dim, 1, length - 1)
        if step:
            wrong = right.long() - left.long() != step
        else:
            wrong = (right != left) & ~(torch.isnan(right) & torch.isnan(left))
        if size < length:
            inner = torch.arange(1, length) % size != 0
            wrong = wrong & inner.view(-1, *(1,) * (self.numbers.dim() - 1 - dim))
        if self.undefined is not None:
            for start in (0, 1):
                wrong = wrong & ~self.undefined.narrow(dim, start, length - 1)
        return wrong if bool(wrong.any()) else None

    def check_multiples(self, divisors: Sizes, runs: Sizes | None) -> None:
        """The first value of each run of contiguous values is a multiple of ``divisors``."""
        for dim, divisor in enumerate(divisors, 1):
            if divisor <= 1:
                continue
            wrong = self.numbers.long() % divisor != 0
            if self.undefined is not None:
                wrong = wrong & ~self.undefined
            if not bool(wrong.any()):
                continue
            if dim <= len(self.kind.shape):
                run = self._run(dim) if runs is None else runs[dim - 1]
                wrong = wrong & self._starts(dim, run)
            if bool(wrong.any()):
                here = wrong.nonzero()[0].tolist()
                reason = f"{self._shown(here)} is no multiple of {divisor}"
                self._fail("tt.divisibility", divisors, here, reason)

    def _run(self, dim: int) -> int:
        """The longest blocks whose values follow each other; the compiler sees no longer ones."""
        size = self.numbers.shape[dim]
        while size > 1 and self._broken_neighbours(dim, size, self.step) is not None:
            size //= 2
        return size

    def _starts(self, dim: int, run: int) -> Tensor:
        lanes = torch.arange(self.numbers.shape[dim]) % max(1, run) == 0
        return lanes.view(-1, *(1,) * (self.numbers.dim() - 1 - dim))

    def _shown(self, lane: list[int]) -> str:
        number = self.numbers[tuple(lane)].item()
        if not self.kind.is_pointer:
            return str(number)
        return f"byte address {hex(int(number))}"

    def _fail(self, name: str, sizes: Sizes, lane: list[int], reason: str) -> None:
        row, *place = lane
        where = f" at element {tuple(place)} of the block" if place else ""
        values = str(sizes[0]) if len(sizes) == 1 else str(list(sizes))
        raise _false_hint(
            self.frame, self.op, row, f"{_CALLS[name]}(..., {values})", reason + where
        )


def _false_hint(frame: Frame, op: Operation, row: int, hint: str, reason: str) -> ExecutionError:
    machine = frame.machine
    place = machine.program_id(int(frame.instances[row]))
    return ExecutionError(
        "false_hint",
        f"program instance {place}: the hint {hint} does not hold: {reason}; the compiler relies "
        "on hints, so remove it or make it true for every value that occurs",
        kernel=machine.kernel_name,
        line=op.line,
    )


@operation("llvm.intr.assume")
def assume(frame: Frame, op: Operation, args: list[Any]) -> None:
    """An assumption that does not hold is ``false_hint``; undefined lanes prove nothing."""
    condition: Any = args[0]
    undefined: Tensor | None = None
    if isinstance(condition, Poisoned):
        condition, undefined = condition.value, condition.mask
    if bool(condition.all()):
        return
    wrong = ~condition if undefined is None else ~condition & ~undefined
    found = wrong.flatten(1).any(1) if wrong.dim() > 1 else wrong
    if not bool(found.any()):
        return
    row = int(found.nonzero()[0, 0])
    raise _false_hint(frame, op, row, "tl.assume(...)", _compared(frame, op, row))


def _compared(frame: Frame, op: Operation, row: int) -> str:
    """What the condition compared, as far as the values are still there."""
    made = next((one for one in frame.function.body.walk() if op.operands[0] in one.results), None)
    shown: list[str] = []
    for slot in made.operands if made is not None else ():
        try:
            value = frame.get(slot)
        except KeyError:
            break
        if isinstance(value, torch.Tensor) and value.dim() == 1:
            shown.append(str(value[row if value.shape[0] > 1 else 0].item()))
    if made is None or len(shown) != len(made.operands) or not shown:
        return "its condition is false"
    words = " ".join((made.name, *made.attributes.get("words", ())))
    return f"its condition, {words} of {' and '.join(shown)}, is false"
