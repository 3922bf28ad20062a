"""Proofs that a mutant computes what the original computes, for all inputs of the declared shapes.

Integers are of the declared ranges, where ``get_inputs`` shows them (``verify.declared``). Two
proofs, neither of which draws inputs:

* ``identical_ttir``: every launch has the same canonical TTIR, the same grid and the same
  arguments, and the host does the same;
* ``same_terms``: both modules are run once with a symbol in the place of every element of every
  input (``machine``): masks, indices, bounds and grids, which depend on no data, are computed
  for every lane of every program instance; what depends on data becomes an expression.  If each
  element of each output is the same expression, outputs are equal bit for bit, whatever the data,
  but for signs of zeros and the order in which a reduction adds.
  The same is said of kernels that differ in comparisons alone that need not be strict (``ties``).
  ``same_terms_if_finite`` takes inputs for finite numbers besides, and what is computed from such
  but for what may be none (``poles``); ``same_reals`` takes them for real numbers (``field``):
  such outputs differ by how they are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.bench.proofs.runs import Runs
from builder.bench.proofs.terms import Reading
from builder.bench.proofs.ties import same_but_for_ties
from builder.bench.proofs.trace import HostTrace, trace_host
from builder.verify.modules import imported_text
from builder.verify.structure import tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        first, second = (_trace(prepared, index, text, bounds) for text in (original, mutant))
        proof = _proof(first, second, found)
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


def _proof(first: HostTrace, second: HostTrace, found: str) -> str | None:
    """The name of a proof for one shape, of a strength already needed if there is one."""
    if first.identity() == second.identity():
        return IDENTICAL
    if same_but_for_ties(first, second):
        return SAME_TERMS
    runs = Runs(first, second)
    if found in (IDENTICAL, SAME_TERMS) and runs.same_locally():
        return SAME_TERMS
    for proof in sorted(_READINGS, key=lambda name: name != found):
        if runs.same(_READINGS[proof]):
            return proof
    return None


def _trace(prepared: Prepared, index: int, text: str, bounds: Mapping[str, Bounds]) -> HostTrace:
    with prepared.surroundings(), imported_text(text) as module:
        trace = trace_host(prepared, prepared.question(index), module)
    trace.bounds = dict(bounds)
    return trace
