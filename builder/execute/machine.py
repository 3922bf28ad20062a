"""Runs a kernel: chunks of program instances, blocks of operations, groups of instances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from builder.errors import ExecutionError, MemoryFault, UnsupportedOperation
from builder.execute import (  # noqa: F401  (they fill the table of operations)
    hints,
    inline_asm,
    libdevice,
    ops_arith,
    ops_atomic,
    ops_control,
    ops_convert,
    ops_dot,
    ops_map,
    ops_math,
    ops_memory,
    ops_reduce,
    ops_scaled,
    ops_shape,
    poison,
)
from builder.execute.baton import Baton
from builder.execute.frame import Frame
from builder.execute.memo import Memo, Recent, kept_arguments, memo_of, remembering
from builder.execute.registry import HANDLERS
from builder.execute.sync import Order, synchronises
from builder.execute.values import Poisoned, Value, merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.execute.ir import Block, Module, Operation, Region
    from builder.execute.memory import Buffer
    from builder.execute.options import ExecutionOptions
    from builder.execute.registry import Handler

_TERMINATORS = frozenset(
    {
        "cf.br", "cf.cond_br", "scf.condition", "scf.yield", "tt.map_elementwise.return",
        "tt.reduce.return", "tt.return", "tt.scan.return",
    }
)  # fmt: skip
_ELEMENTS_PER_STEP = 4096
_MOST_WAITING = 4096


class Machine:
    """One launch.

    Args:
        module: the kernel.
        kernel_name: for messages.
        grid: number of program instances along x, y, z.
        arguments: values of the entry function's arguments.
        buffers: the buffers that pointers among the arguments point into, by number.
        options: how to run.
    """

    def __init__(
        self,
        module: Module,
        kernel_name: str,
        grid: tuple[int, int, int],
        arguments: Sequence[Value],
        buffers: dict[int, Buffer],
        options: ExecutionOptions,
    ) -> None:
        self.module = module
        self.kernel_name = kernel_name
        self.grid = grid
        self.arguments = tuple(arguments)
        self.buffers = buffers
        self.options = options
        self.steps = 0
        self.memo: Memo | None = None
        self.poisoned = False
        self.inverted = Recent(4)
        self.lanes = Recent(4)
        self.plans = Recent(8)
        self.order = Order() if synchronises(module) else None
        self._baton: Baton | None = None

    def run(self) -> None:
        """Run all instances.

        Raises:
            ExecutionError: the kernel cannot be run or does what it must not.
        """
        order = self._order()
        if _waits(self.module):
            self._run_one_by_one(order)
            return
        size = max(1, self.options.chunk_elements // _widest(self.module))
        arguments = self.arguments
        if self.options.permute_seed is None:
            self.memo = memo_of(self.module, self.grid, size)
            arguments = kept_arguments(self.memo, arguments)
        for start in range(0, order.shape[0], size):
            instances = order[start : start + size]
            if self.memo is not None:
                instances = self.memo.root(("instances", start), instances)
            self.call(self.module.entry.name, instances, arguments)

    def _order(self) -> torch.Tensor:
        count = math.prod(self.grid)
        if self.options.permute_seed is None:
            return torch.arange(count)
        generator = torch.Generator().manual_seed(self.options.permute_seed)
        return torch.randperm(count, generator=generator)

    def _run_one_by_one(self, order: torch.Tensor) -> None:
        """Instances that wait for each other take turns, each on a thread of its own."""
        self._baton = Baton(len(order), _MOST_WAITING)
        self._baton.run(
            lambda n: self.call(self.module.entry.name, order[n : n + 1], self.arguments)
        )

    def pause(self, op: Operation) -> None:
        """Let other instances go on; called before a loop looks again at what it may wait for."""
        if self._baton is not None and _polls(op):
            self._baton.pass_on()

    def call(self, name: str, instances: torch.Tensor, arguments: Sequence[Value]) -> Any:
        """Run a function for those instances; its results."""
        function = self.module.functions[name]
        frame = Frame(self, function, instances)
        frame.values.update(zip(function.arguments, arguments, strict=True))
        return self.run_region(frame, function.body, ())

    def run_region(self, frame: Frame, region: Region, arguments: Sequence[Value]) -> Any:
        """Run blocks that branch to each other; what the region returns.

        ``arguments`` are those of its entry block.
        """
        blocks = {block.label: block for block in region.blocks}
        frame.values.update(zip(region.entry.arguments, arguments, strict=True))
        everything = torch.arange(frame.count)
        waiting: list[tuple[Block, Frame, torch.Tensor]] = [(region.entry, frame, everything)]
        returned: list[tuple[torch.Tensor, list[Any]]] = []
        while waiting:
            block, group, rows = waiting.pop()
            end, values = self.run_block(group, block)
            if end is None or not end.successors:
                returned.append((rows, values))
            else:
                waiting.extend(self._follow(end, values, group, rows, blocks))
        width = len(returned[0][1])
        return tuple(
            merge([(rows, values[i]) for rows, values in returned], frame.count)
            for i in range(width)
        )

    def _follow(
        self,
        end: Operation,
        values: list[Any],
        group: Frame,
        rows: torch.Tensor,
        blocks: dict[str, Block],
    ) -> Iterator[tuple[Block, Frame, torch.Tensor]]:
        """The groups that go on after a branch."""
        if end.name == "cf.br":
            yield self._enter(end, 0, group, blocks), group, rows
            return
        condition: torch.Tensor = poison.decided(group, end, values[0])
        if bool((condition == condition[0]).all()):
            number = 0 if bool(condition[0]) else 1
            yield self._enter(end, number, group, blocks), group, rows
            return
        for number, side in ((1, ~condition), (0, condition)):
            chosen = side.nonzero().view(-1)
            inner = group.subset(chosen)
            yield self._enter(end, number, inner, blocks), inner, rows[chosen]

    def _enter(self, end: Operation, number: int, group: Frame, blocks: dict[str, Block]) -> Block:
        label, slots = end.successors[number]
        block = blocks[label]
        given = [group.get(slot) for slot in slots]
        group.values.update(zip(block.arguments, given, strict=True))
        return block

    def run_block(self, frame: Frame, block: Block) -> tuple[Operation | None, list[Any]]:
        """Run a block up to its terminator; that, and the values it passes on."""
        values = frame.values
        for op in block.operations:
            try:
                args = [values[slot] for slot in op.operands]
            except KeyError:
                args = [frame.get(slot) for slot in op.operands]
            if op.name in _TERMINATORS:
                self._count(op, 1)
                return op, args
            handler = op.handler or self._handler(frame, op)
            try:
                if self.poisoned and any(type(value) is Poisoned for value in args):
                    result = poison.perform(frame, op, args)
                else:
                    result = handler(frame, op, args)
            except (RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
                raise self._failure(op, error) from error
            if type(result) is tuple:
                values.update(zip(op.results, result, strict=True))
            elif op.results:
                values[op.results[0]] = result
            for slot in op.dead:
                values.pop(slot, None)
            self._count(op, 1 + _size(result) // _ELEMENTS_PER_STEP)
        return None, []

    def _handler(self, frame: Frame, op: Operation) -> Handler:
        """The operation's handler, which is looked up once."""
        handler = hints.guarded(op, HANDLERS.get(op.name))
        if handler is None:
            raise UnsupportedOperation(op.name, kernel=self.kernel_name, line=op.line)
        op.handler = remembering(op, frame.function, handler)
        return op.handler

    def _failure(self, op: Operation, error: Exception) -> ExecutionError:
        return ExecutionError(
            "operation_failed",
            f"{op.name} could not be run: {type(error).__name__}: {error}",
            kernel=self.kernel_name,
            line=op.line,
        )

    def _count(self, op: Operation, steps: int) -> None:
        self.steps += steps
        if self.steps > self.options.instruction_budget:
            raise ExecutionError(
                "budget",
                f"more than {self.options.instruction_budget} instructions; "
                "make the kernel's work smaller, or check that its loops end",
                kernel=self.kernel_name,
                line=op.line,
            )

    def program_id(self, instance: int) -> tuple[int, int, int]:
        x_size, y_size, _ = self.grid
        return instance % x_size, instance // x_size % y_size, instance // (x_size * y_size)

    def coordinate(self, instances: torch.Tensor, axis: int) -> torch.Tensor:
        """Program ids along an axis, int32 of shape (P,), or (1,) where all are equal."""
        if self.grid[axis] == 1:
            return torch.zeros(1, dtype=torch.int32)
        below = math.prod(self.grid[:axis])
        return (instances // below % self.grid[axis]).to(torch.int32)

    def buffer(self, number: int) -> Buffer:
        """The buffer of a virtual address.

        Raises:
            MemoryFault: the address belongs to no argument of the kernel.
        """
        found = self.buffers.get(number)
        if found is None:
            raise MemoryFault(
                "out_of_bounds",
                "an address that comes from no tensor among the arguments",
                kernel=self.kernel_name,
            )
        return found


def _size(result: Any) -> int:
    """Elements of a result of one block."""
    if type(result) is Poisoned:
        result = result.value
    return result.numel() if type(result) is torch.Tensor else 0


def _polls(op: Operation) -> bool:
    """Whether a loop looks at memory atomically, as one that waits for others does."""
    return any(
        inner.name.startswith("tt.atomic") or (inner.name == "scf.if" and _polls(inner))
        for region in op.regions
        for block in region.blocks
        for inner in block.operations
    )


def _waits(module: Module) -> bool:
    return any(
        op.name == "scf.while" and _polls(op)
        for function in module.functions.values()
        for op in function.body.walk()
    )


def _widest(module: Module) -> int:
    """Elements of the kernel's largest block."""
    sizes = [kind.numel for function in module.functions.values() for kind in function.types]
    return int(np.max(sizes, initial=1))
