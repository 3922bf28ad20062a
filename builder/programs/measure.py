"""What a program costs: seen in a run if it is small, else found on tensors without data.

Nothing of a large program's size is allocated.

What leans on private parts of torch for it is here and in ``fake``:
``torch.utils._python_dispatch`` and ``StorageWeakRef``, as they are in torch 2.11 to 2.13.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from builder.programs.fake import fake_program, fake_tensors, meta_program
from builder.programs.tree import aliased, tensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import nn

    from builder.programs.load import LoadedProgram

_SMALL = 1 << 16
"""Elements of parameters and inputs up to which a program is run to see what it costs."""


@dataclass(frozen=True)
class Cost:
    """Of one construction and one forward.

    Attributes:
        flops: multiplications and additions of matrix products and convolutions, plus one
            operation for each element of every other result.
        bytes: the most bytes held at once by parameters, inputs and intermediate tensors.
        random: names of the operations in ``forward`` that draw random numbers, sorted.
        complete: False where the forward needs real values, so that ``flops`` and ``bytes`` cover
            only what could be seen without them.
        aliased: the paths of two inputs that are one tensor, if there are such.
        input_shapes: of every tensor among the inputs, in order.
        output_shapes: of every tensor among the outputs, in order; empty if not complete.
        output_dtypes: of the same, as ``float32``.
        outputs: what ``forward`` gave.
        is_real: whether it ran on real tensors.
    """

    flops: int
    bytes: int
    random: tuple[str, ...]
    complete: bool
    aliased: tuple[str, str] | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    output_shapes: tuple[tuple[int, ...], ...] = ()
    output_dtypes: tuple[str, ...] = ()
    outputs: Any = field(default=None, compare=False, repr=False)
    is_real: bool = False


class _Meter(TorchDispatchMode):
    """Counts operations and the bytes of the storages that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.peak = 0
        self.random: set[str] = set()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.random.add(func.overloadpacket.__name__)
        counter = flop_registry.get(func.overloadpacket)
        if counter is not None:
            self.flops += int(counter(*args, **kwargs, out_val=result))
        elif not func.is_view:
            self.flops += sum(tensor.numel() for tensor in tensors(result))
        for tensor in tensors(result):
            self.hold(tensor)

    def hold(self, tensor: torch.Tensor) -> None:
        """Counts a tensor's storage for as long as it lives."""
        if tensor.layout is not torch.strided:
            return
        self.alive = {k: held for k, held in self.alive.items() if not held[0].expired()}
        storage = tensor.untyped_storage()
        held = StorageWeakRef(storage)
        self.alive[held.cdata] = (held, storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))


@dataclass(frozen=True)
class _Built:
    """A program's module and inputs, and the meter that has seen them."""

    program: LoadedProgram
    module: nn.Module
    inputs: list[Any]
    meter: _Meter

    @property
    def held(self) -> list[torch.Tensor]:
        return [*self.module.parameters(), *self.module.buffers(), *tensors(self.inputs)]


def measure(loaded: LoadedProgram, variant: int | None = None) -> Cost | None:
    """The cost of the program on one input set; ``None`` where fake tensors cannot construct it.

    The text is executed once more for it, so that no fake tensor stays in the program's globals.
    """
    meta = _built(meta_program, loaded, variant)
    if meta is not None:
        is_small = sum(tensor.numel() for tensor in meta.held) <= _SMALL
        real = _real(loaded, variant) if is_small else None
        if real is not None and real.complete:
            return real
        found = _forward(meta, nullcontext())
        if found.complete:
            return found
    fake = _built(fake_program, loaded, variant)
    if fake is None:
        return None
    return _forward(fake, fake_tensors(fake.program.mode))  # type: ignore[attr-defined]


def _built(
    made: Callable[[LoadedProgram], LoadedProgram], loaded: LoadedProgram, variant: int | None
) -> _Built | None:
    """Module and inputs without data, if they can be had."""
    meter = _Meter()
    try:
        with torch.no_grad(), meter:
            empty = made(loaded)
            return _Built(empty, empty.make_module(), empty.make_inputs(0, variant), meter)
    except Exception:  # noqa: BLE001 - the real ones tell whose fault it is
        return None


def _real(loaded: LoadedProgram, variant: int | None) -> Cost | None:
    """The cost as a run shows it."""
    try:
        inputs = copy.deepcopy(loaded.make_inputs(0, variant))
        built = _Built(loaded, loaded.make_module(), inputs, _Meter())
    except Exception:  # noqa: BLE001 - the gates construct it again, and tell
        return None
    for tensor in built.held:
        built.meter.hold(tensor)
    return replace(_forward(built, nullcontext()), is_real=True)


def _forward(built: _Built, around: AbstractContextManager[Any]) -> Cost:
    meter, outputs = built.meter, None
    given = tuple(tuple(map(int, tensor.shape)) for tensor in tensors(built.inputs))
    twice = aliased(built.inputs)
    meter.flops = 0
    meter.random.clear()
    try:
        with torch.no_grad(), meter, around:
            outputs = built.program.run(built.module, built.inputs)
        complete = True
    except Exception:  # noqa: BLE001
        complete = False
    found = tensors(outputs)
    return Cost(
        meter.flops,
        meter.peak,
        tuple(sorted(meter.random)),
        complete,
        twice,
        given,
        tuple(tuple(map(int, tensor.shape)) for tensor in found),
        tuple(str(tensor.dtype).removeprefix("torch.") for tensor in found),
        outputs,
    )
