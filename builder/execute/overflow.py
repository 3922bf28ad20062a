"""Addresses that overflow at a launch which is not run.

Triton takes a size for a 32-bit integer where it fits, and a product of two sizes may not.  What
all lanes share follows from the launch's numbers and its grid alone, as an interval; no mask hides
it, so an interval that leaves its type is an error.  Lanes' own places are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.execute.ir import Function, Operation
    from builder.execute.lower import Program

Interval = tuple[int, int]

_AXES = {"x": 0, "y": 1, "z": 2}
_SAME = ("arith.extsi", "arith.extui", "arith.index_cast")
_SIGNS = {"arith.addi": 1, "arith.subi": -1}


def check_addresses(program: Program, given: Mapping[str, Any], grid: tuple[int, int, int]) -> None:
    """Looks for scalars that addresses are made of and that their type does not hold.

    Args:
        program: the kernel.
        given: the launch's arguments by parameter; those that are no integers are not known.
        grid: program instances along x, y and z.

    Raises:
        ExecutionError: ``overflow``.
    """
    entry = program.module.entry
    wanted = _in_addresses(entry)
    known: dict[int, Interval] = {}
    for slot, (name, _) in zip(entry.arguments, program.parameters, strict=True):
        if isinstance(given[name], int):
            known[slot] = (int(given[name]), int(given[name]))
    for op in entry.body.walk():
        found = interval_of(entry, op, known, grid)
        if found is None or op.results[0] not in wanted:
            continue
        bits = entry.type_of(op.results[0]).bits
        if found[0] < -(1 << (bits - 1)) or found[1] >= 1 << (bits - 1):
            raise ExecutionError(
                "overflow",
                f"an address is made of a number of {bits} bits that reaches {found[1]:,}; declare "
                "the sizes as tl.int64",
                kernel=program.name,
                line=op.line,
            )
        known[op.results[0]] = found


def _is_scalar(function: Function, op: Operation) -> bool:
    if len(op.results) != 1:
        return False
    kind = function.type_of(op.results[0])
    return not kind.shape and kind.element in ("i32", "i64", "index")


def _in_addresses(function: Function) -> set[int]:
    """The slots that offsets of pointers are made of, by way of no memory."""
    wanted: set[int] = set()
    before = -1
    while len(wanted) != before:  # what a loop carries comes round
        before = len(wanted)
        for op in reversed(list(function.body.walk())):
            if op.name == "tt.addptr":
                wanted.add(op.operands[1])
            elif op.name != "tt.load" and not wanted.isdisjoint(op.results):
                wanted.update(op.operands)
                blocks = [block for region in op.regions for block in region.blocks]
                for block in (block for block in blocks if block.operations):
                    wanted.update(block.operations[-1].operands)
    return wanted


def interval_of(
    function: Function, op: Operation, known: Mapping[int, Interval], grid: tuple[int, int, int]
) -> Interval | None:
    """What a scalar operation gives, as the least and the largest; None where that is not known.

    Args:
        function: whose slots the operation names.
        op: the operation.
        known: intervals of its operands by slot.
        grid: program instances along x, y and z.
    """
    return _interval(op, known, grid) if _is_scalar(function, op) else None


def _interval(
    op: Operation, known: Mapping[int, Interval], grid: tuple[int, int, int]
) -> Interval | None:
    if op.name == "arith.constant":
        value = int(op.attributes["literal"])
        return value, value
    if op.name == "tt.get_program_id":
        return 0, max(grid[_AXES[op.attributes["words"][0]]] - 1, 0)
    if op.name == "tt.get_num_programs":
        count = grid[_AXES[op.attributes["words"][0]]]
        return count, count
    operands = [known.get(slot) for slot in op.operands]
    one, other = [*operands, None, None][:2]
    if one is not None and op.name in _SAME:
        return one
    if one is None or other is None:
        return None
    if op.name in _SIGNS:
        ends = sorted(_SIGNS[op.name] * end for end in other)
        return one[0] + ends[0], one[1] + ends[1]
    if op.name == "arith.muli":
        products = [a * b for a in one for b in other]
        return min(products), max(products)
    return None
