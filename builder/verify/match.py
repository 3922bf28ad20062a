"""Holds a run of the Triton module against the program's: structure, memory, values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from builder.errors import VerificationRejected
from builder.verify.bits import bits_equal
from builder.verify.compare import compare
from builder.verify.noise import ILL_CONDITIONED
from builder.verify.structure import significant_strides
from builder.verify.vanishing import is_noise

if TYPE_CHECKING:
    from builder.verify.expected import Expected, Outcome
    from builder.verify.floors import History
    from builder.verify.gradients import Gradients
    from builder.verify.runner import Original, Run

Tensor = torch.Tensor
Answers = Iterable["dict[str, Expected]"]

SCALAR_TOLERANCE = 2.0**-18


@dataclass(frozen=True)
class Matched:
    """Figures of a match: the largest error of a value, floor and tolerance."""

    error: float
    floor: float
    tolerance: float


def match(
    original: Original,
    run: Run,
    before: dict[str, Tensor],
    answers: Answers,
    dot_precision: str = "ieee",
    *,
    samples: Answers = (),
    noise: Callable[[History], float] = lambda _: ILL_CONDITIONED,
    averages_out: bool = True,
    note: Callable[[str, Outcome], None] | None = None,
) -> Matched:
    """Compares all that a caller can see of the two runs.

    Args:
        original: the program's run.
        run: the Triton module's.
        before: inputs, parameters and buffers by name, before either run.
        answers: other right answers, heard only where the first does not explain a value.
        dot_precision: ``ieee`` or ``tf32``.
        samples: other runs of eager, heard only where a value is nearly right.
        noise: for the history of a value, the largest error of eager that does not drown it.
        averages_out: the inputs vary enough for roundings to go to either side.
        note: told how each value compares, the one that is wrong included.

    Raises:
        VerificationRejected: what differs first; ``structure``, ``dtype``, ``shape``,
            ``strides``, ``aliasing``, ``gradient``, ``mutated``, ``wrong_values``,
            ``wrong_non_finite``, ``wrong_discrete`` or ``ill_conditioned``.
    """
    _match_structure(original.run, run)
    _match_aliasing(original.run, run)
    match_gradients(original.run.gradients, run.gradients)
    outcomes: dict[str, Outcome] = {}
    for name in _names_to_compare(original.run, run, before):
        outcome = compare(
            run.values[name],
            original.expected[name],
            _of(name, answers),
            dot_precision,
            samples=_of(name, samples),
            noise=noise(original.expected[name].history),
            averages_out=averages_out,
        )
        is_gradient = name in run.gradients.values
        if (
            outcome.kind is not None
            and is_gradient
            and is_noise(run.values[name], original.expected[name], _of(name, samples))
        ):
            continue
        if note is not None:
            note(name, outcome)
        if outcome.kind is not None:
            raise VerificationRejected(outcome.kind, f"{name}: {outcome.message}")
        outcomes[name] = outcome
    return Matched(
        max((outcome.error for outcome in outcomes.values()), default=0.0),
        max((outcome.floor for outcome in outcomes.values()), default=0.0),
        max((outcome.tolerance for outcome in outcomes.values()), default=0.0),
    )


def match_gradients(original: Gradients, ours: Gradients) -> None:
    """Compares which gradients there are, and their types and shapes.

    Where an output has no tangent, zeros may stand for no gradient: one kernel may compute the
    gradients of all outputs.

    Raises:
        VerificationRejected: ``gradient``.
    """
    if original.outputs != ours.outputs:
        message = f"outputs {list(ours.outputs)} can be differentiated, not {[*original.outputs]}"
        raise VerificationRejected("gradient", message)
    for name, theirs in original.values.items():
        mine = ours.values.get(name)
        if theirs is None and mine is not None and original.is_partial and not bool(mine.any()):
            continue
        if theirs is None or mine is None:
            if theirs is not mine:
                message = f"{name} is {_kind(mine)}, the program's is {_kind(theirs)}"
                raise VerificationRejected("gradient", message)
        elif (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            raise VerificationRejected(
                "gradient",
                f"{name} is {mine.dtype} of {tuple(mine.shape)}, the program's is {theirs.dtype} "
                f"of {tuple(theirs.shape)}",
            )


def _kind(gradient: Tensor | None) -> str:
    return "None" if gradient is None else "a tensor"


def same_bits(first: Run, second: Run) -> str | None:
    """The name of a value whose bits differ between two runs; None if all are the same."""
    for name, tensor in first.values.items():
        if not bits_equal(tensor, second.values[name]):
            return name
    return None


def _match_structure(original: Run, run: Run) -> None:
    if original.nesting != run.nesting:
        message = f"the program returns {original.nesting}, the Triton module {run.nesting}"
        raise VerificationRejected("structure", message)
    for index, (ours, theirs) in enumerate(zip(run.leaves, original.leaves, strict=True)):
        if isinstance(theirs, Tensor) and isinstance(ours, Tensor):
            _match_layout(f"output {index}", ours, theirs)
        elif not _same_scalar(ours, theirs):
            message = f"output {index} is {ours!r:.80}, the program returns {theirs!r:.80}"
            raise VerificationRejected("structure", message)


def _match_layout(name: str, ours: Tensor, theirs: Tensor) -> None:
    facts: tuple[tuple[str, Any, Any], ...] = (
        ("dtype", ours.dtype, theirs.dtype),
        ("shape", tuple(ours.shape), tuple(theirs.shape)),
        ("strides", significant_strides(ours), significant_strides(theirs)),
    )
    for kind, mine, wanted in facts:
        if mine != wanted:
            message = f"{name} has {kind} {mine}, the program's has {wanted}"
            raise VerificationRejected(kind, message)


def _same_scalar(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Tensor) or isinstance(theirs, Tensor) or type(ours) is not type(theirs):
        return False
    if isinstance(ours, float):
        both_nan = math.isnan(ours) and math.isnan(theirs)
        return both_nan or math.isclose(ours, theirs, rel_tol=SCALAR_TOLERANCE)
    return bool(ours == theirs)


def _match_aliasing(original: Run, run: Run) -> None:
    for index, (ours, theirs) in enumerate(zip(run.shared, original.shared, strict=True)):
        if ours != theirs:
            message = f"tensor output {index} lies in {ours}, the program's in {theirs}"
            raise VerificationRejected("aliasing", message)


def _names_to_compare(original: Run, run: Run, before: dict[str, Tensor]) -> list[str]:
    """Outputs, and what the program changed; what it did not change must be untouched."""
    names = [name for name in original.values if name not in original.held]
    names = [name for name in names if name in run.values]  # zeros may stand for no gradient
    for name, tensor in original.held.items():
        changed = not bits_equal(tensor, before[name])
        ours = run.held.get(name)
        if changed and ours is None:
            message = f"the program changes {name}, which the Triton module does not have"
            raise VerificationRejected("mutated", message)
        if changed:
            names.append(name)
        elif ours is not None and not bits_equal(ours, before[name]):
            raise VerificationRejected("mutated", f"{name} is changed; the program leaves it alone")
    return names


def _of(name: str, runs: Answers) -> Iterable[Expected]:
    """What other runs expect of one value, as lazily as they are computed."""
    return _Lazily(name, runs)


@dataclass(frozen=True)
class _Lazily:
    name: str
    runs: Answers

    def __iter__(self) -> Iterator[Expected]:
        return (run[self.name] for run in self.runs if self.name in run)
