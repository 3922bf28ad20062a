"""Proofs that a mutant computes what the original computes, for all inputs of the declared shapes.

Integers are of the declared ranges, where ``get_inputs`` shows them (``verify.declared``). Two
proofs, neither of which draws inputs:

* ``identical_ttir``: every launch has the same canonical TTIR, the same grid and the same
  arguments, and the host does the same;
* ``same_terms``: both modules are run once with a symbol in the place of every element of every
  input (``term_machine``): masks, indices, bounds and grids, which depend on no data, are computed
  for every lane of every program instance; what depends on data becomes an expression.  If each
  element of each output is the same expression, outputs are equal bit for bit, whatever the data,
  but for signs of zeros and the order in which a reduction adds.
  ``same_terms_if_finite`` takes values for finite numbers besides, and ``same_reals`` for real
  numbers (``term_field``): such outputs differ by how they are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench.mutants.term_constants import constant_term
from builder.bench.mutants.term_machine import Budget, TermMachine
from builder.bench.mutants.term_memory import Memory, Storage
from builder.bench.mutants.terms import (
    Address,
    Known,
    Reading,
    Unprovable,
    Value,
    Words,
    wrapped,
)
from builder.bench.mutants.trace import ALLOCATION, HostTrace, KernelLaunch, TensorPlace, trace_host
from builder.verify.modules import imported_text
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.execute.ir import Type
    from builder.verify.declared import Bounds
    from builder.verify.preparation import Prepared

IDENTICAL = "identical_ttir"
SAME_TERMS = "same_terms"
FINITE_TERMS = "same_terms_if_finite"
SAME_REALS = "same_reals"
_STRENGTH = (IDENTICAL, SAME_TERMS, FINITE_TERMS, SAME_REALS)
_READINGS = {
    SAME_TERMS: Reading.BITS,
    FINITE_TERMS: Reading.FINITE,
    SAME_REALS: Reading.REAL,
}


def proven_equivalent(prepared: Prepared, original: str, mutant: str) -> str | None:
    """The name of a proof that two Triton texts compute the same; None if there is none.

    Only meaningful for texts that verification passes: accesses out of bounds, races and reads of
    unwritten memory are its to find.

    Args:
        prepared: the program; input sets give the shapes.
        original: the shipped text.
        mutant: the other text.

    Raises:
        Unprovable: the modules do what has no rule here; the message says what.
    """
    found = IDENTICAL
    for index in _smallest_first(prepared):
        bounds = prepared.declared_bounds(index)
        traces = [_trace(prepared, index, text, bounds) for text in (original, mutant)]
        proof = _proof(*traces)
        if proof is None:
            return None
        found = max(found, proof, key=_STRENGTH.index)
    return found


def _smallest_first(prepared: Prepared) -> list[int]:
    """An input set of each shape; what differs on a small one needs no large one."""
    sets: dict[str, tuple[int, int]] = {}
    for index in range(len(prepared)):
        tensors = tensors_in(prepared.question(index).case.inputs)
        size = sum(tensor.numel() for tensor in tensors)
        sets.setdefault(repr([tuple(tensor.shape) for tensor in tensors]), (size, index))
    return [index for _, index in sorted(sets.values())]


def _proof(first: HostTrace, second: HostTrace) -> str | None:
    if first.identity() == second.identity():
        return IDENTICAL
    for proof, reading in _READINGS.items():
        if _same_results(first, second, reading):
            return proof
    return None


def _trace(prepared: Prepared, index: int, text: str, bounds: Mapping[str, Bounds]) -> HostTrace:
    with prepared.surroundings(), imported_text(text) as module:
        trace = trace_host(prepared, prepared.question(index), module)
    trace.bounds = dict(bounds)
    return trace


def _same_results(first: HostTrace, second: HostTrace, reading: Reading) -> bool:
    if first.nesting != second.nesting or len(first.outputs) != len(second.outputs):
        return False
    memories = [_run(trace, reading) for trace in (first, second)]
    outputs = zip(first.outputs, second.outputs, strict=True)
    if not all(_same_leaf(one, other, memories) for one, other in outputs):
        return False
    return all(
        _same_storage(*pair)
        for pair in zip(*(memory.storages for memory in memories), strict=False)
        if pair[0].label == pair[1].label and not pair[0].label.startswith(ALLOCATION)
    )


def _run(trace: HostTrace, reading: Reading) -> Memory:
    memory, budget = Memory(), Budget()
    for label, nbytes, zero in trace.storages:
        bounds = (0, 0) if zero else trace.bounds.get(label)
        blank = label.startswith(ALLOCATION) and not zero
        memory.add(Storage(label, nbytes, zero, bounds=bounds, blank=blank))
    for event in trace.events:
        if isinstance(event, KernelLaunch):
            module = event.program.module
            kinds = [module.entry.types[slot] for slot in module.entry.arguments]
            arguments = [_argument(a, k) for a, k in zip(event.arguments, kinds, strict=True)]
            if 0 not in event.grid:
                machine = TermMachine(
                    module, event.grid, arguments, memory, budget, reading=reading
                )
                machine.run()
        else:
            storage = memory.storages[event.storage]
            storage.cells, storage.zero, storage.finite = None, True, True
            storage.bounds, storage.blank = (0, 0), False
    return memory


def _argument(argument: TensorPlace | float, kind: Type) -> Value:
    if isinstance(argument, TensorPlace):
        offset = Known(np.full(1, argument.offset, dtype=np.int64))
        address = Address(argument.storage, argument.itemsize, offset)
        if kind.pointee is None or kind.pointee.itemsize != argument.itemsize:
            raise Unprovable("a pointer to elements of another size")
        return address
    if kind.is_float:
        return constant_term(np.full(1, argument, dtype=np.float64), kind.element)
    return Known(wrapped(np.full(1, int(argument), dtype=np.int64), kind.bits))


def _same_leaf(one: Any, other: Any, memories: list[Memory]) -> bool:
    if not isinstance(one, TensorPlace) or not isinstance(other, TensorPlace):
        return bool(one == other)
    if (one.size, one.significant, one.dtype) != (other.size, other.significant, other.dtype):
        return False
    ours, theirs = _elements(memories[0], one), _elements(memories[1], other)
    return bool(np.array_equal(ours, theirs))


def _elements(memory: Memory, place: TensorPlace) -> Words:
    cells = memory.storages[place.storage].at(place.itemsize)
    index = np.full((1,) * len(place.size), place.offset, dtype=np.int64)
    for axis, (size, stride) in enumerate(zip(place.size, place.stride, strict=True)):
        shape = [1] * len(place.size)
        shape[axis] = size
        index = index + (np.arange(size, dtype=np.int64) * stride).reshape(shape)
    if not index.size:
        return np.zeros(0, dtype=np.uint64)
    return cells[index]


def _same_storage(one: Storage, other: Storage) -> bool:
    sizes = {storage.itemsize for storage in (one, other) if storage.cells is not None}
    if not sizes:
        return True
    if len(sizes) > 1:
        raise Unprovable("elements of two sizes in one storage")
    size = sizes.pop()
    return bool(np.array_equal(one.at(size), other.at(size)))
