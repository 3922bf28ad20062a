"""What a program costs: seen in a run if it is small, else found on tensors without data.

Nothing of a large program's size is allocated.

What leans on private parts of torch for it is here and in ``fake``:
``torch.utils._python_dispatch`` and ``StorageWeakRef``, as they are in torch 2.11 to 2.13.
"""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from builder.programs.fake import fake_program, fake_tensors, meta_program
from builder.programs.quick_meta import result_of
from builder.programs.tree import aliased, tensors

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import nn

    from builder.programs.fake import MetaProgram
    from builder.programs.load import LoadedProgram

Shapes = tuple[tuple[int, ...], ...]

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
        self.most = 0
        """No less than what is alive: what has died since it was last counted is in it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = result_of(func, args, kwargs)
        self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.random.add(func.overloadpacket.__name__)
        found = [result] if isinstance(result, torch.Tensor) else tensors(result)
        counter = flop_registry.get(func.overloadpacket)
        if counter is not None:
            self.flops += int(counter(*args, **kwargs, out_val=result))
        elif not func.is_view:
            self.flops += sum(tensor.numel() for tensor in found)
        for tensor in found:
            self.hold(tensor)

    def hold(self, tensor: torch.Tensor) -> None:
        """Counts a tensor's storage for as long as it lives."""
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        held = StorageWeakRef(storage)
        self.alive[held.cdata] = (held, storage.nbytes())
        self.most += storage.nbytes()
        if self.most > self.peak:
            self.alive = {k: held for k, held in self.alive.items() if not held[0].expired()}
            self.most = sum(size for _, size in self.alive.values())
            self.peak = max(self.peak, self.most)


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
    """The cost of the program on one input set, see ``Measured.cost``."""
    return Measured(loaded).cost(variant)


class Measured:
    """A program whose input sets' sizes and costs are asked for.

    Its text is executed once more for it, so that no fake tensor stays in the program's globals.

    Args:
        loaded: the program.
    """

    def __init__(self, loaded: LoadedProgram) -> None:
        self._loaded = loaded
        self._shapes: dict[int | None, Shapes] = {}

    @cached_property
    def _meta(self) -> MetaProgram | None:
        try:
            return meta_program(self._loaded)
        except Exception:  # noqa: BLE001 - the real one tells whose fault it is
            return None

    def shapes(self, variant: int | None) -> Shapes:
        """The shapes of the tensors among the inputs of a set.

        Raises:
            ProgramRejected: the kinds of drawing inputs.
        """
        if variant not in self._shapes:
            given = tensors(self._inputs(variant))
            self._shapes[variant] = tuple(tuple(map(int, tensor.shape)) for tensor in given)
        return self._shapes[variant]

    def elements(self, variant: int | None) -> int:
        """How many elements these have; raises as ``shapes``."""
        return sum(map(math.prod, self.shapes(variant)))

    def _inputs(self, variant: int | None) -> list[Any]:
        try:
            given = self._meta.make_inputs(0, variant) if self._meta else None
        except Exception:  # noqa: BLE001 - it asks for values
            given = None
        return self._loaded.make_inputs(0, variant) if given is None else given

    def cost(self, variant: int | None) -> Cost | None:
        """The cost of the program on one input set.

        ``None`` where fake tensors cannot construct it.
        """
        meta = _built(self._meta, variant) if self._meta else None
        if meta is not None:
            is_small = sum(tensor.numel() for tensor in meta.held) <= _SMALL
            real = _real(self._loaded, variant) if is_small else None
            if real is not None and real.complete:
                return real
            found = _forward(meta, nullcontext())
            if found.complete:
                return found
        try:
            fake = fake_program(self._loaded)
        except Exception:  # noqa: BLE001 - the real one tells whose fault it is
            return None
        built = _built(fake, variant)
        return _forward(built, fake_tensors(fake.mode)) if built else None


def _built(empty: LoadedProgram, variant: int | None) -> _Built | None:
    """Module and inputs without data, if they can be had."""
    meter = _Meter()
    try:
        with torch.no_grad(), meter:
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
