"""Launching kernels on the CPU."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import ExecutionError
from builder.execute import seams
from builder.execute.arguments import Arguments
from builder.execute.loops import repeated_loops
from builder.execute.lower import lower
from builder.execute.machine import Machine
from builder.execute.options import ExecutionOptions
from builder.execute.overflow import check_addresses
from builder.execute.tracking import Tracker, TrackingMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triton.runtime.jit import JITFunction

    from builder.execute.lower import Program


@dataclass(frozen=True)
class Launch:
    """One launch, with all that ``triton.compile(ASTSource(...))`` needs.

    Attributes:
        kernel: the ``@triton.jit`` function.
        grid: program instances along x, y and z.
        signature: parameter name to Triton's type (``*fp32``, ``i32``, ``constexpr``).
        constants: path of a parameter to its value.
        attrs: path of a parameter to its attributes, such as divisibility by 16.
        options: what the launch said beyond the parameters (``num_warps``, ``num_stages``, ...).
        numbers: the integers among its arguments.
        program: the kernel as the executor has it, if it was asked for.
    """

    kernel: JITFunction
    grid: tuple[int, int, int]
    signature: dict[str, Any]
    constants: dict[tuple[int, ...], Any]
    attrs: dict[tuple[int, ...], Any]
    options: dict[str, Any]
    numbers: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    program: Program | None = field(default=None, compare=False, repr=False)

    def repeated_loops(self) -> frozenset[int]:
        """Lines of the kernel's loops that go round more than once, see ``loops``."""
        if self.program is None:
            return frozenset()
        return repeated_loops(self.program, self.numbers, self.grid)


@dataclass
class Trace:
    """What ran while a context was active."""

    launches: list[Launch] = field(default_factory=list)
    instructions: int = 0


class _Session(threading.local):
    """The innermost active context of a thread."""

    options: ExecutionOptions | None = None
    trace: Trace | None = None
    tracker: Tracker | None = None


_session = _Session()


@contextlib.contextmanager
def launches_on_cpu(options: ExecutionOptions | None = None) -> Iterator[Trace]:
    """While active, every launch of a Triton kernel runs here, on CPU tensors.

    Memory that ``torch.empty`` and its kin return meanwhile is poisoned and known as unwritten.

    Args:
        options: how to run; the defaults check memory.

    Yields:
        The trace, which grows with every launch.
    """
    trace, tracker = Trace(), Tracker()
    before = _session.__dict__.copy()
    _session.options = options or ExecutionOptions()
    _session.trace, _session.tracker = trace, tracker
    try:
        with seams.launches_go_to(_launch), TrackingMode(tracker):
            yield trace
    finally:
        _session.__dict__.clear()
        _session.__dict__.update(before)


@contextlib.contextmanager
def launches_noted(*, addresses: bool = True) -> Iterator[Trace]:
    """While active, launches of Triton kernels are noted and nothing runs.

    Arguments may be fake tensors: what a launch tells the compiler is their types, where they start
    in their memory (which is aligned, as on a GPU) and the values of numbers.

    Args:
        addresses: looks for addresses that overflow, which takes a run of the front end.

    Yields:
        The trace, which grows with every launch.

    Raises:
        ExecutionError: at a launch; ``grid``, CUDA would refuse it; ``overflow``, see ``overflow``;
            ``compile``, the front end rejects the kernel.
    """
    trace = Trace()

    def note(kernel: JITFunction, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = tuple(map(seams.unread, args))
        named = {name: seams.unread(value) for name, value in kwargs.items()}
        binding = seams.bind(kernel, given, named)
        sizes = _grid_sizes(grid, binding.arguments)
        program = None
        if addresses:
            with seams.without_modes():
                program = lower(kernel, binding)
                check_addresses(program, binding.arguments, sizes)
        trace.launches.append(_noted(kernel, sizes, binding, program))

    with seams.launches_go_to(note):
        yield trace


def _noted(
    kernel: JITFunction,
    sizes: tuple[int, int, int],
    binding: seams.Binding,
    program: Program | None,
) -> Launch:
    return Launch(
        kernel,
        sizes,
        binding.signature,
        binding.constants,
        binding.attributes,
        binding.options,
        {name: value for name, value in binding.arguments.items() if isinstance(value, int)},
        program,
    )


def run(kernel: Any, grid: Any, *args: Any, **kwargs: Any) -> None:
    """Run a kernel on CPU tensors, within the active context or with default options.

    Args:
        kernel: a ``@triton.jit`` function, also under ``triton.autotune`` or ``triton.heuristics``.
        grid: a number, a tuple of up to three, or a function from the arguments to one.
        *args: the kernel's arguments.
        **kwargs: the kernel's arguments and launch options.

    Raises:
        ExecutionError: the kernel cannot be run or fails (``device_assert``, ``budget``,
            ``false_hint``, ...).
        UnsupportedOperation: an operation is not known.
        MemoryFault: the kernel reads or writes what it must not.
    """
    if _session.options is not None:
        kernel[grid](*args, **kwargs)
        return
    with launches_on_cpu():
        kernel[grid](*args, **kwargs)


def _launch(kernel: JITFunction, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with seams.without_modes(), torch.no_grad():
        binding = seams.bind(kernel, args, kwargs)
        sizes = _grid_sizes(grid, binding.arguments)
        trace = _session.trace
        options = _session.options or ExecutionOptions()
        is_run = 0 not in sizes and kernel.__name__ not in options.left_out
        program = lower(kernel, binding) if is_run else None
        if trace is not None:
            trace.launches.append(_noted(kernel, sizes, binding, program))
        if program is None:
            return
        given = Arguments(program, binding.arguments, _session.tracker)
        machine = Machine(program.module, program.name, sizes, given.values, given.buffers, options)
        if options.check_memory:
            given.watch_races(machine.order)
        machine.run()
        if trace is not None:
            trace.instructions += machine.steps


def _grid_sizes(grid: Any, arguments: dict[str, Any]) -> tuple[int, int, int]:
    if callable(grid):
        grid = grid(arguments)
    sizes = (grid,) if isinstance(grid, int) else tuple(int(size) for size in grid)
    if not 1 <= len(sizes) <= 3 or min(sizes) < 0:
        raise ExecutionError("grid", f"{sizes} is no grid; give one to three sizes")
    limits = (2**31 - 1, 65535, 65535)
    if any(size > limit for size, limit in zip(sizes, limits, strict=False)):
        raise ExecutionError("grid", f"grid {sizes} is beyond CUDA's limits {limits}")
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]
