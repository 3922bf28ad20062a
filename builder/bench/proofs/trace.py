"""What a Triton module does on the host: allocations, views and launches, without running them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from builder.bench.proofs.canonical import canonical
from builder.bench.proofs.terms import Unprovable
from builder.execute import seams
from builder.execute.lower import Program, lower
from builder.verify.modules import load_state, own_default_dtype, triton_module
from builder.verify.runner import held_tensors
from builder.verify.structure import cloned, flatten, tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from triton.runtime.jit import JITFunction

    from builder.verify.declared import Bounds
    from builder.verify.preparation import Prepared
    from builder.verify.question import Question

ALLOCATION = "allocation"
_ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})
_EMPTY = frozenset({"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided"})


@dataclass(frozen=True)
class TensorPlace:
    """A tensor as elements of a storage; sizes and strides in elements."""

    storage: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    itemsize: int

    @property
    def significant(self) -> tuple[int, ...]:
        """Strides of the dimensions with more than one element."""
        pairs = zip(self.size, self.stride, strict=True)
        return tuple(stride if size > 1 else 0 for size, stride in pairs)


@dataclass(frozen=True, eq=False)
class KernelLaunch:
    """One launch: its kernel, grid, and arguments by position (places or numbers)."""

    program: Program
    grid: tuple[int, int, int]
    arguments: tuple[TensorPlace | float, ...]

    def identity(self) -> str:
        """Equal for launches of the same operations on the same arguments."""
        places = [
            (a.storage, a.offset) if isinstance(a, TensorPlace) else a for a in self.arguments
        ]
        return repr((canonical(self.program.module), self.grid, places))


@dataclass(frozen=True)
class Zeroed:
    """A whole storage is set to zero."""

    storage: int


@dataclass
class HostTrace:
    """All that a forward did.

    Attributes:
        storages: label, bytes, and whether it starts as zeros, of each storage.
        events: launches and ``zero_`` calls, in order.
        outputs: the leaves: places of tensors, and other values.
        nesting: text of the outputs' nesting.
        bounds: of the integers in storages, by label, as the program declares them.
    """

    storages: list[tuple[str, int, bool]] = field(default_factory=list)
    events: list[KernelLaunch | Zeroed] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    nesting: str = ""
    bounds: dict[str, Bounds] = field(default_factory=dict)

    @cached_property
    def steps(self) -> list[str]:
        """The identities of the events; asked for only when all are noted."""
        return [e.identity() if isinstance(e, KernelLaunch) else repr(e) for e in self.events]

    def identity(self) -> str:
        """Equal for traces that do the same, whatever the data."""
        return repr((self.storages, self.steps, self.outputs, self.nesting))


def trace_host(prepared: Prepared, question: Question, text: ModuleType) -> HostTrace:
    """Runs a Triton module's forward with launches that only take notes.

    Args:
        prepared: the program.
        question: the input set; only shapes matter.
        text: the imported Triton file.

    Raises:
        Unprovable: what the host does depends on data, or is more than allocations and views.
    """
    if prepared.mode == "training":
        raise Unprovable("what backward does on the host is not traced")
    new = triton_module(prepared.program, text, prepared.original, 0)
    load_state(new, question.case.module)
    module, inputs = cloned((new, question.case.inputs))
    recorder = _Recorder(held_tensors(module, inputs))
    with (
        torch.no_grad(),
        own_default_dtype(),
        seams.launches_go_to(recorder.launch),
        recorder,
    ):
        out = module(*inputs)
    leaves, nesting = flatten(out)
    recorder.trace.nesting = nesting
    recorder.trace.outputs = [
        recorder.place(leaf) if isinstance(leaf, torch.Tensor) else repr(leaf) for leaf in leaves
    ]
    return recorder.trace


class _Recorder(seams.TorchDispatchMode):
    """Numbers storages, and notes launches and what else writes memory."""

    def __init__(self, held: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.trace = HostTrace()
        self._numbers: dict[int, int] = {}
        self._kept: list[torch.UntypedStorage] = []
        for name, tensor in held.items():
            if seams.storage_key(tensor.untyped_storage()) not in self._numbers:
                self._add(name, tensor, zero=False)

    def _add(self, label: str, tensor: torch.Tensor, *, zero: bool) -> None:
        storage = tensor.untyped_storage()
        self._kept.append(storage)
        self._numbers[seams.storage_key(storage)] = len(self.trace.storages)
        self.trace.storages.append((label, storage.nbytes(), zero))

    def place(self, tensor: torch.Tensor) -> TensorPlace:
        number = self._numbers.get(seams.storage_key(tensor.untyped_storage()))
        if number is None or tensor.is_conj() or tensor.is_neg():
            raise Unprovable("a tensor that comes from nowhere")
        return TensorPlace(
            number,
            int(tensor.storage_offset()),
            tuple(tensor.shape),
            tuple(tensor.stride()),
            str(tensor.dtype),
            tensor.element_size(),
        )

    def launch(
        self, kernel: JITFunction, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        with seams.without_modes():
            binding = seams.bind(kernel, args, kwargs)
            sizes = _grid_sizes(grid, binding.arguments)
            program = lower(kernel, binding)
            given = [_argument(binding.arguments[name], path) for name, path in program.parameters]
            arguments = tuple(
                self.place(value) if isinstance(value, torch.Tensor) else value for value in given
            )
        self.trace.events.append(KernelLaunch(program, sizes, arguments))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "zero_":
            self._zeroed(args[0])
            return out
        if any(a.alias_info is not None and a.alias_info.is_write for a in _arguments(func)):
            raise Unprovable(f"{name} on the host")
        for tensor in tensors_in(out):
            self._known_or_added(name, tensor)
        if not isinstance(out, (torch.Tensor, tuple, list)):
            raise Unprovable(f"{name} looks at data")
        return out

    def _known_or_added(self, name: str, tensor: torch.Tensor) -> None:
        if seams.storage_key(tensor.untyped_storage()) in self._numbers:
            return
        if name not in _ZEROS | _EMPTY:
            raise Unprovable(f"{name} on the host")
        label = f"{ALLOCATION} {len(self.trace.storages)}"
        self._add(label, tensor, zero=name in _ZEROS)

    def _zeroed(self, tensor: torch.Tensor) -> None:
        place = self.place(tensor)
        if tensor.numel() * place.itemsize != tensor.untyped_storage().nbytes():
            raise Unprovable("a part of a storage set to zero")
        self.trace.events.append(Zeroed(place.storage))


def _arguments(func: Any) -> list[Any]:
    return list(seams.schema_of(func).arguments)


def _argument(value: Any, path: tuple[int, ...]) -> Any:
    for number in path:
        value = value[number]
    return value


def _grid_sizes(grid: Any, arguments: dict[str, Any]) -> tuple[int, int, int]:
    if callable(grid):
        grid = grid(arguments)
    sizes = (grid,) if isinstance(grid, int) else tuple(int(size) for size in grid)
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]
