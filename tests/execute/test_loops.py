"""Loops that go round more than once, told from a launch's numbers."""

import torch
import triton
import triton.language as tl

from builder import execute


@triton.jit
def nested(out, n, m, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = 0
    for start in tl.range(0, n, BLOCK):
        for inner in tl.range(row, 2 * m, 4):
            total += start + inner
    tl.store(out + row, total)


@triton.jit
def by_data(out, count, BLOCK: tl.constexpr):
    total = 0
    for start in tl.range(0, tl.load(count), BLOCK):
        total += start
    tl.store(out, total)


OUTER, INNER = (nested.starting_line_number + offset for offset in (4, 5))


def loops(kernel, grid, *args):
    with execute.launches_on_cpu() as trace:
        kernel[grid](*args, BLOCK=16)
    return trace.launches[0].repeated_loops()


def test_bounds_are_sizes_and_sums_of_them():
    out = torch.zeros(4, dtype=torch.int32)
    assert loops(nested, (4,), out, 16, 2) == set()
    assert loops(nested, (4,), out, 17, 2) == {OUTER}
    assert loops(nested, (4,), out, 16, 3) == {INNER}
    assert loops(nested, (4,), out, 40, 40) == {OUTER, INNER}


def test_what_depends_on_data_is_left_out():
    out = torch.zeros(1, dtype=torch.int32)
    assert loops(by_data, (1,), out, torch.tensor([99], dtype=torch.int32)) == set()
