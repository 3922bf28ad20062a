"""Which loops of a kernel go round more than once at a launch.

What a loop carries is wrong only from its second round on.  Bounds are intervals, which follow from
the launch's numbers and its grid, as for ``overflow``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.execute.overflow import interval_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.execute.lower import Program
    from builder.execute.overflow import Interval


def repeated_loops(
    program: Program, numbers: Mapping[str, int], grid: tuple[int, int, int]
) -> frozenset[int]:
    """Lines of the counted loops that some program instance may go through more than once.

    Loops whose bounds depend on data, or on more than sums and products of sizes, are left out.

    Args:
        program: the kernel.
        numbers: the launch's integers by parameter.
        grid: program instances along x, y and z.
    """
    entry = program.module.entry
    known: dict[int, Interval] = {}
    for slot, (name, _) in zip(entry.arguments, program.parameters, strict=True):
        if name in numbers:
            known[slot] = (numbers[name], numbers[name])
    found = set()
    for op in entry.body.walk():
        if op.name == "scf.for" and all(slot in known for slot in op.operands[:3]):
            lower, upper, step = (known[slot] for slot in op.operands[:3])
            if lower[0] + step[0] < upper[1] and op.line is not None:
                found.add(op.line)
        elif len(op.results) == 1:
            interval = interval_of(entry, op, known, grid)
            if interval is not None:
                known[op.results[0]] = interval
    return frozenset(found)
