"""How far a Triton text is from the float64 reference, on the verifier's own draws.

A text that computes the same in real numbers, or in another precision, is another text only if it
is less exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from builder.verify.compare import is_float
from builder.verify.expected import EAGER_FACTOR
from builder.verify.modules import imported_text, load_state, triton_module
from builder.verify.runner import run_triton

if TYPE_CHECKING:
    import torch

    from builder.verify.compare import Expected
    from builder.verify.norm import Errors
    from builder.verify.preparation import Prepared
    from builder.verify.question import Question

WORSE_FACTOR = 2.0
Sizes: TypeAlias = tuple[float, float]
"""The largest error of an output's elements, and their root mean square."""


@dataclass
class Exactness:
    """The errors of a text.

    For a float output an error is the largest of its elements' in the verifier's norm, for a
    discrete one the number of elements that differ from eager's.

    Attributes:
        largest: the error of each output, on the input set where it is largest.
        times_eager: the error of a float output on an input set, the largest of its elements' or
            their root mean square, beside eager's own there, taken at its worst where it takes more
            than one run (``reruns.eager_samples``), infinite beside none.
        has_floats: some output is one of floats.
        decides_otherwise: a discrete output has elements that are not eager's.
    """

    largest: dict[str, float] = field(default_factory=dict)
    times_eager: float = 0.0
    has_floats: bool = False
    decides_otherwise: bool = False

    def within_eager(self, *, agrees: bool) -> bool:
        """On no input set is an output's error more than what the rule of comparison allows.

        That is twice eager's, which is sampled as the verifier samples it, without regard to
        floors: such a text is right by definition.  The root mean square must be, too, lest one
        element on which eager is far off excuse all others.
        Decisions, which rounding flips, tell that of no text by themselves.

        Args:
            agrees: the text passes, so that where it decides otherwise than eager that is right.
        """
        if self.decides_otherwise and not (agrees and self.has_floats):
            return False
        return self.times_eager <= EAGER_FACTOR


def errors_of(prepared: Prepared, triton_code: str) -> Exactness | None:
    """The errors of a text; None if it fails somewhere."""
    found = Exactness()
    try:
        with prepared.surroundings(), imported_text(triton_code) as text:
            new = triton_module(prepared.program, text, prepared.original, 0)
            for index in range(len(prepared)):
                question = prepared.question(index)
                for name, errors in _errors(question, new).items():
                    found.largest[name] = max(errors[0], found.largest.get(name, 0.0))
                    _note(found, errors, name, question)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (any failure to run is the verdict's to name)
        return None
    return found


def _note(found: Exactness, errors: Sizes, name: str, question: Question) -> None:
    """Enters the errors of an output beside eager's."""
    if is_float(question.original.expected[name].eager.dtype):
        eagers = _eagers(errors, name, question)
        times = max(map(_times, errors, eagers))
        found.times_eager, found.has_floats = max(found.times_eager, times), True
    else:
        found.decides_otherwise |= errors[0] > 0.0


def _eagers(errors: Sizes, name: str, question: Question) -> Sizes:
    """Eager's, which are small by luck now and then: further runs are heard as it takes them.

    Those that say what a single element may be off by, or round no casts, say nothing of eager.
    """
    found = _sizes(question.original.expected[name].eager_errors)
    for sample in question.samples:
        if all(ours <= EAGER_FACTOR * theirs for ours, theirs in zip(errors, found, strict=True)):
            break
        heard = sample.get(name)
        if heard is not None and heard.as_written and not heard.is_blurred:
            largest, typical = _sizes(heard.eager_errors)
            found = max(found[0], largest), max(found[1], typical)
    return found


def _times(value: float, eager: float) -> float:
    if not value:
        return 0.0
    return value / eager if eager else math.inf


def _errors(question: Question, new: torch.nn.Module) -> dict[str, Sizes]:
    load_state(new, question.case.module)
    run = run_triton(question.case, new)
    return {
        name: _error(value, question.original.expected[name])
        for name, value in run.values.items()
        if name in question.original.expected
    }


def _error(actual: torch.Tensor, expected: Expected) -> Sizes:
    if actual.shape != expected.eager.shape or actual.dtype != expected.eager.dtype:
        return math.inf, math.inf
    if not is_float(actual.dtype):
        differing = float((actual != expected.eager).sum())
        return differing, differing
    return _sizes(expected.yardstick.errors(actual))


def _sizes(errors: Errors) -> Sizes:
    largest, typical = (
        math.inf if math.isnan(size) else size for size in (errors.worst, errors.mean)
    )
    return largest, typical


def is_worse(mutant: Exactness, original: Exactness) -> bool:
    """Whether the error of any output is more than twice the original's."""
    errors, originals = mutant.largest, original.largest
    if errors.keys() != originals.keys():
        return True
    return any(value > WORSE_FACTOR * originals[name] for name, value in errors.items())
