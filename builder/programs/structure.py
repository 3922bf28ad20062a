"""The structure of a program: its graph of ATen operators, without names, numbers and sizes.

The program runs once, on fake tensors unless it is small, under a dispatch mode that sees each
operator with its operands.  In-place operators count as those they are made of (``add_`` is
``add``), overloads as one operator.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from builder.programs.fake import fake_program, fake_tensors
from builder.programs.tree import leaves, tensors

if TYPE_CHECKING:
    from torch import nn

    from builder.programs.load import LoadedProgram

_SMALL = 1 << 19
"""Elements of the inputs up to which real tensors are quicker than fake ones."""
_SOURCES = ("input", "state")


@dataclass(frozen=True)
class Structure:
    """What a program is made of.

    Attributes:
        calls: the ATen operators in the order in which they are called, by name, as ``add``.
        pairs: which operator's result which operator takes, without repetition; sorted.
        fingerprint: 16 hexadecimal digits; equal for graphs that differ in names, constants and
            sizes alone.
    """

    calls: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    fingerprint: str


def structure_of(loaded: LoadedProgram, variant: int | None = None) -> Structure:
    """The structure of a program on one of its input sets.

    Raises:
        ProgramRejected: the kinds of loading and running; a large program's code that asks tensors
            for values raises.
    """
    inputs = loaded.make_inputs(0, variant)
    if is_quick(inputs):
        return recorded_run(loaded, loaded.make_module(), inputs)[1]
    fake = fake_program(loaded)  # executes the text once more
    module, inputs = fake.make_module(), fake.make_inputs(0, variant)
    with fake_tensors(fake.mode):
        return recorded_run(fake, module, inputs)[1]


def is_quick(inputs: list[Any]) -> bool:
    """Whether a run on real tensors is quicker than one on fake ones, and may keep them."""
    return sum(tensor.numel() for tensor in tensors(inputs)) <= _SMALL


def recorded_run(
    program: LoadedProgram, module: nn.Module, inputs: list[Any]
) -> tuple[Any, Structure]:
    """What a forward gives, and its structure.

    Raises:
        ProgramRejected: see ``LoadedProgram.run``.
    """
    recorder = _Recorder()
    for tensor in tensors(inputs):
        recorder.name(tensor, "input")
    for tensor in (*module.parameters(), *module.buffers()):
        recorder.name(tensor, "state")
    with torch.no_grad(), recorder:
        outputs = program.run(module, inputs)
    return outputs, recorder.structure(tensors(outputs))


def folded(name: str) -> str:
    """The operator of which one is the in-place form: ``add`` of ``add_``."""
    in_place = name.endswith("_") and not name.endswith("__")
    return name[:-1] if in_place else name


def is_view(name: str) -> bool:
    """Whether an ATen operator gives another view of its operand's memory."""
    packet = getattr(torch.ops.aten, name)
    return any(getattr(packet, overload).is_view for overload in packet.overloads())


class _Recorder(TorchDispatchMode):
    """Notes every operator, and what each tensor came out of.

    Tensors are kept, so that no identity is given twice; those of large programs take no memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[torch.Tensor] = []
        self._producers: dict[int, str] = {}
        self._words: dict[int, str] = {}
        self._written: dict[int, tuple[int, str]] = {}
        self._seen: dict[int, int] = {}
        self._calls: list[str] = []
        self._pairs: set[tuple[str, str]] = set()
        self._nodes: list[str] = []

    def name(self, tensor: torch.Tensor, source: str) -> None:
        """Says what a tensor is that no operator makes."""
        kind = "float" if tensor.is_floating_point() else str(tensor.dtype)
        self._note(tensor, source, _hashed(source, kind, str(tensor.dim())))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace != "aten":  # such as the question for a fake tensor's device
            return func(*args, **kwargs)
        operator = folded(func.overloadpacket.__name__)
        given = [leaf for _, leaf in leaves((args, kwargs))]
        operands = [leaf for leaf in given if isinstance(leaf, torch.Tensor)]
        words = [self._word(leaf) for leaf in given if isinstance(leaf, (torch.Tensor, bool))]
        result = func(*args, **kwargs)
        self._calls.append(operator)
        for operand in operands:
            producer = self._producers.get(id(operand), "state")
            if producer not in _SOURCES:
                self._pairs.add((producer, operator))
        self._record(operator, _hashed(operator, *words), result, operands)
        return result

    def structure(self, outputs: list[torch.Tensor]) -> Structure:
        """What was noted, given what the program returned."""
        parts = [self._word(tensor) for tensor in outputs]
        whole = _hashed(*parts, *sorted(self._nodes))
        return Structure(tuple(self._calls), tuple(sorted(self._pairs)), whole[:16])

    def _record(self, operator: str, word: str, result: Any, operands: list[torch.Tensor]) -> None:
        self._nodes.append(word)
        known = {id(operand) for operand in operands}
        for place, tensor in enumerate(tensors(result)):
            if id(tensor) in known:  # other views of the same memory change with it
                times, _ = self._written.get(_memory(tensor), (0, ""))
                self._written[_memory(tensor)] = times + 1, word
            self._note(tensor, operator, _hashed(word, str(place)))

    def _note(self, tensor: torch.Tensor, producer: str, word: str) -> None:
        self._kept.append(tensor)
        self._producers[id(tensor)] = producer
        self._words[id(tensor)] = word
        self._seen[id(tensor)] = self._written.get(_memory(tensor), (0, ""))[0]

    def _word(self, leaf: torch.Tensor | bool) -> str:
        if isinstance(leaf, bool):
            return str(leaf)
        word = self._words.get(id(leaf), "constant")
        times, written = self._written.get(_memory(leaf), (0, ""))
        return word if times == self._seen.get(id(leaf), 0) else _hashed(word, written)


def _memory(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
